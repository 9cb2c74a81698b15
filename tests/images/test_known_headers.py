"""The header of a JPEG or small PNG is read once for all files that have the same, and never for one that differs."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from support.corpus import good_files, png_chunk, png_of_rows, truncated

from upsample_cli.errors import ImageError
from upsample_cli.images import open as opening
from upsample_cli.images.codecs import jpeg as jpeg_module
from upsample_cli.images.codecs.input_file import FileInMemory
from upsample_cli.images.codecs.jpeg_markers import essential_head
from upsample_cli.images.codecs.png.chunks import head_of
from upsample_cli.images.open import open_image, read_header

GOOD = good_files()
PNG = {name: data for name, data in GOOD.items() if data.startswith(b"\x89PNG")}
for kind, content in {
    b"gAMA": (45455).to_bytes(4, "big"), b"pHYs": bytes([0, 0, 11, 18, 0, 0, 11, 18, 1]), b"tEXt": b"Title\0early",
    b"sBIT": bytes([5, 6, 5]), b"tRNS": bytes(6), b"bKGD": bytes(6), b"tIME": bytes(7), b"abCd": b"unknown",
    b"sRGB": b"\7",
}.items():  # fmt: skip
    PNG[kind.decode()] = png_of_rows(3, 8, 2, [bytes(range(9)), bytes(9)], (kind, content))
PNG["checksum"] = PNG["gAMA"].replace(b"gAMA\0", b"gAMA\1")
JPEG = {name: data for name, data in GOOD.items() if data.startswith(b"\xff\xd8")}


def jpeg(level=0, size=(5, 3), **settings):
    file = BytesIO()
    Image.new("RGB", size, (level, 0, 0)).save(file, "JPEG", **settings)
    return file.getvalue()


@pytest.fixture
def read(monkeypatch):
    """Reads a header, and counts how often Pillow was needed."""
    by_pillow = opening.open_with_pillow

    def counted(*arguments, **keywords):
        read.by_pillow += 1
        return by_pillow(*arguments, **keywords)

    def read(data, **keywords):
        return read_header(BytesIO(data), **keywords)

    monkeypatch.setattr(opening, "open_with_pillow", counted)
    read.by_pillow = 0
    opening._opened_head.cache_clear()
    return read


def test_files_that_differ_only_in_their_pixels_and_tables_share_a_header(read):
    first = read(jpeg(0))
    assert read(jpeg(200)) == first
    assert read(jpeg(200, quality=20, optimize=True)) == first
    assert read.by_pillow == 1


@pytest.mark.parametrize(
    "settings", [{"size": (5, 4)}, {"comment": b"hello"}, {"dpi": (72, 72)}, {"subsampling": 0}, {"progressive": True}]
)
def test_files_that_differ_in_what_a_header_says_do_not(read, settings):
    first, second = read(jpeg()), read(jpeg(**settings))
    assert read.by_pillow == 2
    assert first != second
    opening._opened_head.cache_clear()
    assert read(jpeg(**settings)) == second  # the control: read alone, it is the same


def test_a_limit_is_part_of_what_is_known(read):
    read(jpeg())
    with pytest.raises(ImageError, match="15 pixels, more than the limit of 14"):
        read(jpeg(), max_pixels=14)
    with pytest.raises(ImageError, match="has no frame 2"):
        read(jpeg(), frame=2)


def test_errors_name_the_file(tmp_path, read):
    read(jpeg())
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(jpeg())
        with pytest.raises(ImageError, match=rf"{name}: 5×3 is 15 pixels"):
            read_header(tmp_path / name, max_pixels=1)


def test_a_head_that_refers_to_other_places_or_is_long_is_not_shared():
    data = jpeg()
    assert essential_head(data) is not None  # the control
    for segment in (b"MPF\0" + bytes(20), b"x" * 5000):
        body = b"\xff\xe2" + (len(segment) + 2).to_bytes(2, "big") + segment
        assert essential_head((data[:2] + body + data[2:])[:4096]) is None
    assert essential_head(data[:100]) is None
    assert essential_head(b"\xff\xd8\xff") is None


def test_a_scan_marker_inside_a_segment_is_not_taken_for_the_scan(read):
    decoy = jpeg(comment=b"a \xff\xda\0\x0c thumbnail")
    header = read(decoy)
    assert header[1].text == (("Comment", "a ÿÚ\0\f thumbnail"),)
    assert read(jpeg()) != header


def test_pixels_and_faults_are_those_of_each_file(tmp_path):
    for name, level in (("a.jpg", 0), ("b.jpg", 250)):
        (tmp_path / name).write_bytes(jpeg(level))
        with open_image(tmp_path / name) as source:
            assert abs(int(source.read_rows(0, 1)[0, 0, 0]) - level) < 5
    (tmp_path / "c.jpg").write_bytes(jpeg()[:-30])
    with pytest.raises(ImageError, match=r"c\.jpg: is truncated"):
        open_image(tmp_path / "c.jpg")
    with open_image(tmp_path / "b.jpg") as source:  # what was shared is as before
        assert source.info.losses == ()


def found(file):
    """Everything that is found in a file, or the cause of the error."""
    try:
        header = read_header(file)
        file.seek(0)
        with open_image(file) as source:
            rows = source.read_rows(0, source.info.height)
            return header, source.info, source.metadata, source.losses, rows.dtype, rows.tobytes()
    except ImageError as error:
        return error.failure.cause


def test_the_corpus_has_pngs_that_share_a_header_and_others():
    """The control of the next test."""
    heads = {name: head_of(data) for name, data in PNG.items()}
    assert len({head for head in heads.values() if head}) > 10
    assert any(head is None for head in heads.values())


@pytest.mark.parametrize("name", sorted(PNG))
def test_a_png_that_shares_a_header_is_read_as_if_alone(name):
    """Files that are not in memory do not share headers: they are the reference."""
    data = PNG[name]
    for _ in range(2):
        assert found(FileInMemory(data, "-")) == found(BytesIO(data))
    for _, cut in truncated(data):
        assert found(FileInMemory(cut, "-")) == found(BytesIO(cut))
    behind = data[:-12] + png_chunk(b"tEXt", b"Title\0late") + data[-12:]
    assert found(FileInMemory(behind, "-")) == found(BytesIO(behind)) != found(BytesIO(data))


def test_small_pngs_that_differ_only_in_their_pixels_share_a_header(tmp_path, read):
    for index, level in enumerate((0, 250)):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (5, 3), (level, 0, 0)).save(path)
        assert read_header(path)[0].width == 5
        with open_image(path) as source:
            assert np.array_equal(source.read_rows(0, 3), np.full((3, 5, 3), (level, 0, 0)))
    assert read.by_pillow == 1
    Image.new("RGB", (5, 4)).save(path)  # the control
    assert read_header(path)[0].height == 4
    assert read.by_pillow == 2


@pytest.mark.parametrize("name", sorted(JPEG))
def test_segments_that_are_found_once_are_those_of_each_file(name):
    decoy = jpeg(comment=b"a \xff\xda\0\x0c thumbnail")
    for data in (JPEG[name], decoy, jpeg(comment=bytes(5000)), *(cut for _, cut in truncated(JPEG[name]))):
        expected = list(jpeg_module.segments(data))
        assert [jpeg_module.all_segments(data) for _ in range(2)] == [expected] * 2
    assert len({tuple(jpeg_module.all_segments(data)) for data in (JPEG[name], decoy)}) == 2  # the control
