"""Damage outside the pixels of a PNG never costs the image and is always reported."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from support.corpus import RGB, RGB16, animated_png, partial_frames, png_chunk, png_of_rows
from support.facts import lines
from support.reading import rows_of

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.open import open_image, probe, read_header

HEIGHT, WIDTH = RGB.shape[:2]
ROWS = [row.tobytes() for row in RGB]
PHYS = struct.pack(">IIB", 11811, 11811, 1)
GOOD = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"sRGB": b"\0", b"cICP": b"\x0c\x0d\0\1", b"sBIT": b"\x08\x08\x08", b"pHYs": PHYS, b"bKGD": bytes(6),
    b"tIME": b"\x07\xea\x0b\x1d\0\0\0", b"tEXt": b"Title\0A title", b"zTXt": b"Title\0\0x\x9c\x03\0\0\0\0\1",
    b"iTXt": b"Title\0\0\0\0\0A title", b"eXIf": b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"acTL": struct.pack(">II", 1, 0),
    b"iCCP": b"p\0\0x\x9c\x03\0\0\0\0\1", b"mDCV": bytes(24), b"cLLI": bytes(8), b"tRNS": bytes(6),
}  # fmt: skip


def png_with(*chunks, behind=b""):
    data = png_of_rows(WIDTH, 8, 2, ROWS, *chunks)
    return data[:-12] + behind + data[-12:]


def wrong_sum(kind, data):
    chunk = png_chunk(kind, data)
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def spliced_in(data, chunk, before=b"IDAT"):
    at = data.index(before) - 4
    return data[:at] + chunk + data[at:]


def damaged(kind):
    data = GOOD[kind]
    yield "checksum", spliced_in(png_with(), wrong_sum(kind, data))
    yield "nothing in it", png_with((kind, b""))
    if kind not in {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"}:
        yield "short", png_with((kind, data[:-1]))
        yield "long", png_with((kind, data + b"\0"))
        yield "twice", png_with((kind, data), (kind, data[:-1] + bytes([data[-1] ^ 1])))
    if kind not in {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"}:
        yield "place", png_with(behind=png_chunk(kind, data))


CASES = [pytest.param(kind, data, id=f"{kind.decode()} {what}") for kind in GOOD for what, data in damaged(kind)]


@pytest.mark.parametrize(("kind", "data"), CASES)
def test_damage_in_a_chunk_is_reported_and_keeps_the_image(kind, data):
    with open_image(io.BytesIO(data)) as source:
        rows = source.read_rows(0, HEIGHT)
        assert np.array_equal(rows[..., :3], RGB)
        losses = [line for line in lines(source.info.losses) if kind.decode() in line or "EXIF" in line]
    assert losses


@pytest.mark.parametrize("kind", GOOD)
def test_control_an_intact_chunk_is_not_reported_as_damaged(kind):
    losses = lines(probe(io.BytesIO(png_with((kind, GOOD[kind])))).losses)
    assert not any("chunk" in line and "damaged" in line for line in losses) or kind == b"iCCP"  # it is empty


@pytest.mark.parametrize("kind", GOOD)
def test_damage_in_a_deep_png_makes_libpng_print_nothing(kind, capfd):
    data = png_of_rows(WIDTH, 16, 2, [row.astype(">u2").tobytes() for row in RGB16])
    data = spliced_in(data, wrong_sum(kind, GOOD[kind]) + png_chunk(kind, b""))
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(0, HEIGHT), RGB16)
    assert capfd.readouterr() == ("", "")


def test_a_palette_that_is_missing_or_incomplete_is_refused():
    """Decoders show black for its colours."""
    colours, rows = bytes(range(10, 22)), [bytes([0, 1, 2, 3])] * 2
    animated = animated_png(2, 4, 8, 3, ((np.zeros((2, 4, 1), int), 0, 0, 0, 0),) * 2)
    with open_image(io.BytesIO(png_of_rows(4, 8, 3, rows, (b"PLTE", colours)))) as source:
        assert source.read_rows(1, 2).tobytes() == colours  # the control
    wrong = [png_of_rows(4, 8, 3, rows, *chunks) for chunks in ((), [(b"PLTE", b"")], [(b"PLTE", colours[:-1])])]
    late = spliced_in(png_of_rows(4, 8, 3, rows), png_chunk(b"PLTE", colours), before=b"IEND")
    for data in (*wrong, late, animated):
        with pytest.raises(ImageError, match="palette is missing or incomplete; get a new copy"):
            probe(io.BytesIO(data))
    with pytest.raises(ImageError, match="is damaged"):
        rows_of(spliced_in(png_of_rows(4, 8, 3, rows), wrong_sum(b"PLTE", colours)))
    assert probe(io.BytesIO(png_of_rows(4, 8, 0, rows))).width == 4  # other kinds of pixels need none


def test_transparency_longer_than_the_palette_is_left_out():
    indices = [bytes([0, 1, 1, 0])] * 2
    plte = (b"PLTE", bytes([200, 30, 30, 1, 2, 3]))
    for alphas, opaque in ((bytes(3), True), (bytes(2), False), (b"\0", False)):
        info = probe(io.BytesIO(png_of_rows(4, 8, 3, indices, plte, (b"tRNS", alphas))))
        assert info.layout.alpha is not opaque
        assert [loss.kind for loss in info.losses] == ["alpha"] * opaque


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (6, 4)])
def test_a_transparent_colour_in_an_image_with_alpha_is_left_out(colour_type, channels):
    pixels = np.dstack((RGB, RGB[..., :1]))[..., :channels]
    data = png_of_rows(WIDTH, 8, colour_type, [row.tobytes() for row in pixels], (b"tRNS", bytes(2)))
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(0, HEIGHT), pixels)
        assert [loss.kind for loss in source.info.losses] == ["alpha"]


@pytest.mark.parametrize("depth", [1, 8])
def test_bits_of_a_transparent_grey_above_the_depth_are_ignored(depth):
    rows = [b"\x80\0\0\0" if depth == 1 else b"\x01\0\0\0"]
    level = 1
    for stated in (level, 0xFF00 | level):
        with open_image(io.BytesIO(png_of_rows(4, depth, 0, rows, (b"tRNS", struct.pack(">H", stated))))) as source:
            assert source.read_rows(0, 1)[0, :, 1].tolist() == [0, 255, 255, 255]


def test_text_between_the_pixels_is_read():
    whole = png_with()
    at = whole.index(b"IDAT") - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    data = whole[at + 8 : at + 8 + size]
    cut = png_chunk(b"IDAT", data[:9]) + png_chunk(b"tEXt", b"Title\0A title") + png_chunk(b"IDAT", data[9:])
    with open_image(io.BytesIO(whole[:at] + cut + whole[at + 12 + size :])) as source:
        assert np.array_equal(source.read_rows(0, HEIGHT), RGB)
        assert source.metadata.text == (("Title", "A title"),)
        assert "wrong place" in lines(source.info.losses)[0]


def test_an_unknown_chunk_is_reported_and_a_date_is_not():
    assert lines(probe(io.BytesIO(png_with((b"prVt", b"x"), (b"caBX", b"y"), (b"tIME", GOOD[b"tIME"])))).losses) == (
        "chunks that we do not keep are left out (caBX, prVt)",
    )


def test_significant_bits_are_reported_only_if_fewer_than_the_depth():
    assert probe(io.BytesIO(png_with((b"sBIT", b"\x08\x08\x08")))).losses == ()
    assert "sBIT" in lines(probe(io.BytesIO(png_with((b"sBIT", b"\x05\x06\x05")))).losses)[0]


def test_a_damaged_frame_count_costs_the_frames_and_keeps_the_image():
    data = animated_png(HEIGHT, WIDTH, 8, 2, partial_frames(RGB))
    at = data.index(b"acTL")
    info = probe(io.BytesIO(data[: at + 12] + bytes(4) + data[at + 16 :]))
    assert info.frames is None
    assert {loss.kind for loss in info.losses} == {"frames"}
    assert probe(io.BytesIO(data)).frames.count == 3


def test_a_png_in_apples_format_is_refused_by_name():
    data = png_with()
    with pytest.raises(ImageError, match="CgBI") as caught:
        probe(io.BytesIO(data[:8] + png_chunk(b"CgBI", bytes(4)) + data[8:]))
    assert caught.value.failure.kind == "unsupported"


def test_text_longer_than_a_megabyte_is_kept():
    value = "x" * (3 << 20)
    info, metadata = read_header(io.BytesIO(png_with((b"tEXt", b"Title\0" + value.encode()))))
    assert (metadata.text, info.losses) == ((("Title", value),), ())


def test_a_png_without_its_end_is_read():
    data = png_with()[:-12]
    with open_image(io.BytesIO(data)) as source:
        assert np.array_equal(source.read_rows(0, HEIGHT), RGB)
    assert Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_background_colour_is_kept_in_png_and_reported_for_other_formats(depth, tmp_path):
    pixels = np.dstack((RGB, RGB[..., :1])).astype(f">u{depth // 8}")
    background = struct.pack(">3H", 200, 30, 7)
    data = png_of_rows(WIDTH, depth, 6, [row.tobytes() for row in pixels], (b"bKGD", background))
    (tmp_path / "a.png").write_bytes(data)
    assert upsample_file(tmp_path / "a.png", tmp_path / "b.png").warnings == ()
    assert png_chunk(b"bKGD", background) in (tmp_path / "b.png").read_bytes()
    assert any("background" in line for line in upsample_file(tmp_path / "a.png", tmp_path / "b.webp").warnings)


def test_a_background_in_a_palette_becomes_its_colour(tmp_path):
    plte, chunks = (b"PLTE", bytes([200, 30, 30, 1, 2, 3])), ((b"tRNS", b"\0"), (b"bKGD", b"\1"))
    (tmp_path / "a.png").write_bytes(png_of_rows(4, 8, 3, [bytes([0, 1, 1, 0])], plte, *chunks))
    assert upsample_file(tmp_path / "a.png", tmp_path / "b.png").warnings == ()
    assert png_chunk(b"bKGD", struct.pack(">3H", 1, 2, 3)) in (tmp_path / "b.png").read_bytes()
    (tmp_path / "a.png").write_bytes(
        png_of_rows(4, 8, 3, [bytes([0, 1, 1, 0])], plte, (b"tRNS", b"\0"), (b"bKGD", b"\7"))
    )
    assert "bKGD" in upsample_file(tmp_path / "a.png", tmp_path / "b.png", overwrite=True).warnings[0]
