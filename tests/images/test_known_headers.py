"""The header of a JPEG is read once for all files that have the same, and never for one that differs."""

from io import BytesIO

import pytest
from PIL import Image

from upsample_cli.errors import ImageError
from upsample_cli.images import open as opening
from upsample_cli.images.codecs.jpeg_markers import essential_head
from upsample_cli.images.open import open_image, read_header


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
