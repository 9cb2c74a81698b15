"""Reading images: all orientations, bands, frames, limits, and bad files."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.corpus import good_files, saved, tiff
from support.corpus import png_of_rows as png
from support.facts import lines
from support.reading import rows_of

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.open import open_image, probe, read_header
from upsample_cli.images.output_form import nearest_form

HEIGHT, WIDTH = 21, 37
RNG = np.random.default_rng(20)
GREY8 = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


UPRIGHT = {
    # Exif 2.32: the upright positions of row 0 and column 0 of the stored image, in numpy terms.
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


def turned(kind, turn, **settings_):
    exif = Image.Exif()
    exif[0x0112] = turn
    return saved(Image.fromarray(RGB), kind, exif=exif, **settings_)


@pytest.mark.parametrize("turn", UPRIGHT)
@pytest.mark.parametrize(
    ("kind", "settings_"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {}), ("AVIF", {})]
)
def test_all_orientations_are_read_upright(kind, settings_, turn):
    data = turned(kind, turn, **settings_)
    stored, _ = rows_of(turned(kind, 1, **settings_))
    rows, info = rows_of(data)
    wanted = UPRIGHT[turn](stored)
    assert (info.height, info.width) == wanted.shape[:2]
    assert probe(io.BytesIO(data)) == info
    np.testing.assert_array_equal(rows, wanted)
    others = [other for other in UPRIGHT if other != turn]
    assert not any(np.array_equal(rows, UPRIGHT[other](stored)) for other in others)  # the control: all of them differ


def test_an_upright_image_is_not_turned_again():
    rows, _ = rows_of(turned("PNG", 6))
    again, info = rows_of(saved(Image.fromarray(rows), "PNG"))
    np.testing.assert_array_equal(again, rows)
    assert (info.height, info.width) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_xmp_turns_an_image_without_an_orientation_in_exif(kind):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "TIFF":
        data = tiff(RGB, photometric="rgb", extratags=[(700, 1, len(xmp), xmp, True)])
    elif kind == "PNG":
        data = saved(Image.fromarray(RGB), kind)
        at = data.index(b"IDAT") - 4
        body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp
        data = data[:at] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[at:]
    else:
        data = saved(Image.fromarray(RGB), kind, xmp=xmp)
    rows, info = rows_of(data)
    assert (info.height, info.width) == rows.shape[:2] == (WIDTH, HEIGHT)
    assert probe(io.BytesIO(data)) == info


@settings(deadline=None, max_examples=60, derandomize=True)
@given(turn=st.sampled_from(list(UPRIGHT)), piece_bytes=st.integers(1, 5000), data=st.data())
def test_bands_of_any_height_equal_the_whole(turn, piece_bytes, data):
    with pytest.MonkeyPatch.context() as patch, open_image(io.BytesIO(turned("PNG", turn))) as source:
        whole = source.read_rows(0, source.info.height)
        patch.setattr("upsample_cli.images.codecs.pillow_source.PIECE_BYTES", piece_bytes)
        top = data.draw(st.integers(0, source.info.height - 1))
        bottom = data.draw(st.integers(top + 1, source.info.height))
        np.testing.assert_array_equal(source.read_rows(top, bottom), whole[top:bottom])


@pytest.mark.parametrize(("top", "bottom"), [(-1, 3), (3, 3), (0, HEIGHT + 1), (5, 4)])
def test_rows_outside_the_image_are_a_programming_error(top, bottom):
    with open_image(io.BytesIO(GOOD["PNG"])) as source, pytest.raises(ValueError, match="no rows"):
        source.read_rows(top, bottom)


def test_a_closed_image_cannot_be_read():
    with open_image(io.BytesIO(GOOD["PNG"])) as source:
        pass
    with pytest.raises(ValueError, match="closed"):
        source.read_rows(0, 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF"])
def test_the_first_of_several_frames_is_read_and_the_others_are_reported(kind):
    image, other = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    options = {"lossless": True} if kind == "WEBP" else {}
    rows, info = rows_of(saved(image, kind, save_all=True, append_images=[other], **options))
    alone, single = rows_of(saved(image, kind, **options))
    if kind == "AVIF":  # the encoder takes sequences in a different way
        assert np.abs(rows.astype(int) - RGB).mean() < np.abs(rows.astype(int) - (255 - RGB)).mean()
    else:
        np.testing.assert_array_equal(rows, alone)
    assert (info.frames.count, info.frames.kind) == (2, {"TIFF": "pages", "MPO": "views"}.get(kind, "animation"))
    assert single.frames is None
    assert lines(info.losses) == ()
    parts = {"TIFF": "pages", "MPO": "views"}.get(kind, "frames")
    assert (
        f"is not written with several {parts}; of 2 the first is kept"
        in nearest_form(info, Metadata(), FORMATS["bmp"]).losses[0].text
    )
    assert single.losses == ()
    assert info.format == ("jpeg" if kind == "MPO" else kind.lower())


def test_the_chroma_subsampling_of_a_jpeg_is_reported():
    for subsampling in (0, 1, 2):
        data = saved(Image.fromarray(RGB), "JPEG", subsampling=subsampling)
        assert probe(io.BytesIO(data)).jpeg_subsampling == subsampling
    assert probe(io.BytesIO(saved(Image.fromarray(GREY8), "JPEG"))).jpeg_subsampling is None


def test_too_many_pixels_are_refused_before_decoding_with_the_option():
    data = saved(Image.fromarray(RGB), "PNG")
    rows_of(data, max_pixels=HEIGHT * WIDTH)
    for opener in (probe, open_image):
        with pytest.raises(ImageError, match=r"37×21 is 777 pixels.*776; add max_pixels=777"):
            opener(io.BytesIO(data), max_pixels=HEIGHT * WIDTH - 1)


def webp_claiming(kind):
    size = (16383, 16383)
    if kind == b"VP8 ":
        body = bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", *size)
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", (size[0] - 1) | (size[1] - 1) << 14)
    else:
        body = bytes(4) + b"".join(struct.pack("<I", side - 1)[:3] for side in size)
    chunk = kind + struct.pack("<I", len(body)) + body.ljust(32, b"\0")
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


@pytest.mark.parametrize("kind", [b"VP8 ", b"VP8L", b"VP8X"])
def test_a_webp_is_refused_before_its_decoder_allocates_memory(kind, monkeypatch):
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile", None)  # must not be reached
    with pytest.raises(ImageError, match="16383×16383 is 268402689 pixels"):
        probe(io.BytesIO(webp_claiming(kind)), max_pixels=1_000_000)


def test_pillows_limit_neither_applies_nor_changes(monkeypatch):
    """With Pillow's limit at 10 pixels our reader opens the image; Pillow alone refuses it before and after."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for kind in ("PNG", "TIFF", "WEBP", "GIF", "JPEG"):
        data = saved(Image.fromarray(RGB), kind)
        rows, _ = rows_of(data)
        assert rows.shape == (HEIGHT, WIDTH, 3)
        assert Image.MAX_IMAGE_PIXELS == 10
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(data))


def test_pillows_limit_is_restored_by_the_last_thread(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    filters = list(warnings.filters)
    inside, leave = threading.Barrier(5), threading.Event()

    def stay():
        with quiet_pillow():
            inside.wait()
            leave.wait()

    threads = [threading.Thread(target=stay) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.wait()
    with quiet_pillow():
        pass
    assert Image.MAX_IMAGE_PIXELS is None  # four threads are still inside
    leave.set()
    for thread in threads:
        thread.join()
    assert Image.MAX_IMAGE_PIXELS == 10
    assert list(warnings.filters) == filters


def test_pillows_warnings_are_suppressed():
    """An animation without frames makes Pillow warn, and warnings are errors in these tests."""
    data = png(WIDTH, 8, 0, [row.tobytes() for row in GREY8], (b"acTL", bytes(8)))
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(data))
    rows, _ = rows_of(data)
    np.testing.assert_array_equal(rows[..., 0], GREY8)


GOOD = {kind: saved(Image.fromarray(RGB), kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")}


def one_line(caught, path):
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "; " in message
    assert "\n" not in message
    assert not any(word in message for word in ("<", "0x", "Error", "BytesIO", "PIL", "Pillow"))
    return message


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_file_is_one_line(kind, tenth, tmp_path):
    path = tmp_path / f"cut {tenth}.{kind.lower()}"
    path.write_bytes(GOOD[kind][: len(GOOD[kind]) * tenth // 10])
    with pytest.raises(ImageError) as caught:
        open_image(path)
    message = one_line(caught, path)
    assert ("is empty" in message) == (tenth == 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Dear diary, today", "is not an image in a format we know"),
        (b"%PDF-1.7\n", "is PDF, which is not supported"),
        (b"8BPS\0\1", "is truncated"),
        (b"v/1\1\2\0\0\0", "is OpenEXR, which is not supported"),
        (b"\xff\xd8\xff", "is truncated"),
        (b"\x89PNG\r\n\x1a\n", "is damaged"),
        (b"RIFF\x04\0\0\0WEBP", "is damaged"),
        (png(0, 8, 0, [b"", b""]), "is damaged"),
        (GOOD["JPEG"].replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "is a JPEG of 12 bits, which"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused_by_its_kind(content, expected, tmp_path):
    path = tmp_path / "a [b] é.png"
    path.write_bytes(content)
    for opener in (probe, open_image):
        with pytest.raises(ImageError) as caught:
            opener(path)
        assert expected in one_line(caught, path)


def test_the_content_decides_the_format_and_not_the_name(tmp_path):
    path = tmp_path / "really.png"
    path.write_bytes(GOOD["JPEG"])
    assert probe(path).format == "jpeg"
    bare = tmp_path / "no extension"
    bare.write_bytes(GOOD["PNG"])
    found = probe(bare)._replace(decoding_bytes=0)  # which depends on a compiled module
    assert found == ImageInfo("png", HEIGHT, WIDTH, Layout("rgb"), lossless=True)


def test_missing_files_folders_and_pipes_are_one_line_at_once(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "text").write_text("x")
    for name, expected in {
        "missing.png": "no such file",
        "text/below.png": "no such file",
        "folder.png": "is a folder",
        "pipe.png": "is not a regular file",
        "loop.png": "leads in a circle",
        "x" * 300: "longer than the file system allows",
        "zero\0byte": "zero byte",
    }.items():
        path = tmp_path / name
        with pytest.raises(ImageError) as caught:
            probe(path)
        assert expected in one_line(caught, path)
    with pytest.raises(ImageError, match="is not a regular file"):
        probe("/dev/zero")


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    """The refusal is simulated: root may read everything."""
    path = tmp_path / "secret.png"
    path.write_bytes(GOOD["PNG"])

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("upsample_cli.images.codecs.input_file.open_at_once", refuse)
    with pytest.raises(ImageError) as caught:
        probe(path)
    assert "may not be read; check its permissions" in one_line(caught, path)


def test_a_file_object_is_left_open_and_a_pipe_is_read_to_its_end():
    file = io.BytesIO(GOOD["PNG"])
    file.seek(5)
    info = probe(file)
    assert not file.closed
    with open_image(file) as source:
        assert source.info == info
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as pipe, os.fdopen(write_end, "wb") as feed:
        feed.write(GOOD["PNG"])  # less than the capacity of a pipe
        feed.close()
        with open_image(pipe) as source:
            np.testing.assert_array_equal(source.read_rows(0, HEIGHT), RGB)


def test_the_header_equals_that_of_the_opened_image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(Image.fromarray(RGB), "JPEG", dpi=(300, 300), icc_profile=b"p" * 200, comment=b"hi"))
    with open_image(path) as source:
        assert read_header(path) == (source.info, source.metadata)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    kind=st.sampled_from(list(GOOD)),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0, 1),
)
def test_a_reader_gives_rows_or_one_line_for_any_bytes(kind, changes, keep):
    data = bytearray(GOOD[kind])
    for at, value in changes:
        data[at % len(data)] = value
    if keep < 0.3:
        data = data[: int(len(data) * keep / 0.3)]
    line = None
    try:
        rows, info = rows_of(bytes(data), max_pixels=100_000)
    except ImageError as error:
        line = str(error)
    if line is None:
        assert rows.shape == (info.height, info.width, info.layout.channels)
    else:
        assert "\n" not in line


@pytest.mark.parametrize("name", good_files())
def test_the_last_rows_can_be_read_before_all_others(name):
    """As an image that repeats itself needs them: then from the start, in order, with the same losses."""
    data = good_files()[name]
    expected, info = rows_of(data)
    height = info.height
    with open_image(io.BytesIO(data)) as in_order:
        in_order.read_rows(0, height)
        losses = set(in_order.losses)
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(height - 3, height), expected[-3:])
        assert np.array_equal(source.read_rows(0, 3), expected[:3])
        for top in range(0, height, 5):
            bottom = min(top + 7, height)
            assert np.array_equal(source.read_rows(top, bottom), expected[top:bottom])
        assert set(source.losses) == losses
