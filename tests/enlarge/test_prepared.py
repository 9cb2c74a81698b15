"""What is prepared once for images with the same header: never for images that differ, and the input as it was read."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upsample_cli.enlarge import prepared as module
from upsample_cli.enlarge import run
from upsample_cli.enlarge.by_header import ByHeader
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.input_file import in_memory, opened_regular
from upsample_cli.images.codecs.jpeg import _head_places, _places_in

pytestmark = pytest.mark.usefixtures("in_tmp_path")


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(module, "_known", ByHeader())
    return module._known


def jpeg(name, seed, **settings):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(name, **settings)
    return name


def alone(name, output, monkeypatch, **options):
    """The bytes of an output when nothing was prepared before."""
    monkeypatch.setattr(module, "_known", ByHeader())
    upsample_file(name, output, **options)
    return Path(output).read_bytes()


def twofold(pixels):
    """Bilinear by two: 9, 3, 3 and 1 sixteenths of four neighbours, rounded half up."""
    for axis in (0, 1):
        edge = np.pad(pixels, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
        before, here, after = (edge.take(range(at, at + pixels.shape[axis]), axis) for at in range(3))
        pair = np.stack([3 * here + before, 3 * here + after], axis + 1)
        pixels = pair.reshape([2 * side if each == axis else side for each, side in enumerate(pixels.shape)])
    return (pixels + 8) >> 4


CASES = {
    "again": ("again.jpg", {}, "jpg", {}),
    "other pixels": ("other.jpg", {}, "jpg", {}),
    "another quality": ("again.jpg", {}, "jpg", {"quality": 50}),
    "another factor": ("again.jpg", {}, "jpg", {"factor": 3}),
    "another kernel": ("again.jpg", {}, "jpg", {"kernel": "bicubic"}),
    "another border": ("again.jpg", {}, "jpg", {"border": "zeros"}),
    "light": ("again.jpg", {}, "jpg", {"linear_light": True}),
    "another format": ("again.jpg", {}, "png", {}),
    "a resolution": ("dpi.jpg", {"dpi": (300, 300)}, "jpg", {}),
    "a comment": ("comment.jpg", {"comment": b"sea"}, "jpg", {}),
    "another subsampling": ("chroma.jpg", {"subsampling": 0}, "jpg", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_output_does_not_depend_on_the_images_before_it(case, known, monkeypatch):
    name, stored, extension, options = CASES[case]
    jpeg("first.jpg", 0)
    jpeg(name, 0 if name == "again.jpg" else 1, **stored)
    upsample_file("first.jpg", "first_x2.jpg")
    upsample_file(name, f"after.{extension}", **options)
    assert len(known._known) == (1 if case in ("again", "other pixels", "light") else 2)
    after = Path(f"after.{extension}").read_bytes()
    assert after == alone(name, f"alone.{extension}", monkeypatch, **options)
    assert (after == Path("first_x2.jpg").read_bytes()) == (case == "again")  # the control


def test_tables_of_linear_light_are_not_kept(known):
    """They have megabytes for each colour profile."""
    jpeg("a.jpg", 0)
    upsample_file("a.jpg", "light.jpg", linear_light=True)
    assert not known._known
    upsample_file("a.jpg", "a_x2.jpg")
    assert known._known  # the control


@pytest.mark.parametrize("limit", [None, 100])
def test_a_small_file_is_read_in_one_piece(limit, monkeypatch):
    """A file system may return fewer bytes than are there."""
    content = bytes(range(256)) * 4
    Path("a").write_bytes(content)
    if limit is not None:
        read = os.read
        monkeypatch.setattr(os, "read", lambda file, count: read(file, min(count, limit)))
    with in_memory("a", opened_regular("a")[0], len(content), most_bytes=len(content)) as found:
        assert isinstance(found, io.BytesIO) == (limit is None)
        assert (found.read(), found.name) == (content, "a")


def test_a_file_that_has_grown_is_not_read_whole():
    """It may have no end. The control is the test above."""
    Path("a").write_bytes(bytes(2000))
    with in_memory("a", opened_regular("a")[0], 1000, most_bytes=5000) as found:
        assert not isinstance(found, io.BytesIO)
        assert found.read() == bytes(2000)


def test_a_file_that_is_not_small_is_not_read_whole():
    content = bytes(range(256)) * 4
    Path("a").write_bytes(content)
    with in_memory("a", opened_regular("a")[0], len(content), most_bytes=len(content) - 1) as found:
        assert not isinstance(found, io.BytesIO)
        assert (found.read(), found.name) == (content, "a")


def test_a_small_file_that_cannot_be_read_in_one_piece_is_read_in_pieces(monkeypatch):
    jpeg("a.jpg", 0)

    def fail(_file, _count):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        upsample_file("a.jpg", "once.jpg")
    assert Path("once.jpg").read_bytes() == alone("a.jpg", "alone.jpg", monkeypatch)


@pytest.mark.parametrize("largest", [0, 1 << 18])
def test_an_image_read_from_memory_is_the_one_read_from_its_file(largest, monkeypatch):
    monkeypatch.setattr(run, "_SMALL_BYTES", largest)
    jpeg("a.jpg", 0)
    upsample_file("a.jpg", "a.png")
    with Image.open("a.png") as made, Image.open("a.jpg") as image:
        assert np.array_equal(np.asarray(made), twofold(np.asarray(image, int)))
    Path("b.jpg").write_bytes(Path("a.jpg").read_bytes()[:300])
    with pytest.raises(ImageError, match=r"^b\.jpg: "):  # its name, in memory too
        upsample_file("b.jpg", "b.png")


def test_the_marker_of_a_scan_inside_a_table_is_not_the_scan():
    file = io.BytesIO()
    tables = [[255, 218, *[16] * 62], [17] * 64]  # the bytes FF DA
    Image.new("RGB", (20, 12)).save(file, "JPEG", qtables=tables)
    data = file.getvalue()
    assert data.find(b"\xff\xda") < _places_in(data).scan_start  # the control
    assert _head_places(data) == _head_places(data) == _places_in(data)
    file = io.BytesIO()
    Image.new("RGB", (20, 12)).save(file, "JPEG")
    assert _head_places(file.getvalue()) == _places_in(file.getvalue())
