"""A resolution, or the proportion of pixels, is kept or reported, however large it is. Read by Pillow and tifffile."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from upsample_cli.enlarge.run import upsample_file

pytestmark = pytest.mark.usefixtures("in_tmp_path")

RGB = Image.new("RGB", (8, 6), (200, 40, 40))
ABSURD = "the resolution makes no sense and is left out"


def exif(across, down, unit, order="<"):
    """An Exif block that states a resolution as two pairs of numerator and denominator."""
    entries = struct.pack(order + "HHII", 0x011A, 5, 1, 50) + struct.pack(order + "HHII", 0x011B, 5, 1, 58)
    entries += struct.pack(order + "HHIHH", 0x0128, 3, 1, unit, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    return head + entries + bytes(4) + struct.pack(order + "4I", *across, *down)


def with_exif(name, block):
    RGB.save(name, exif=b"Exif\0\0" + block, **({"quality": 90} if name.endswith("g") else {}))
    return name


def with_phys(name, across, down, unit):
    RGB.save(name)
    data, body = Path(name).read_bytes(), b"pHYs" + struct.pack(">IIB", across, down, unit)
    Path(name).write_bytes(data[:33] + struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body)) + data[33:])


def info_of(path):
    with Image.open(path) as image:
        return image.info


def enlarged(source, target):
    return upsample_file(source, target, overwrite=True).warnings


@pytest.mark.parametrize("target", ["b.tif", "b.png", "b.jpg", "b.webp", "b.bmp"])
@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize("number", [(2**32 - 1, 1), (1, 2**32 - 1), (0, 1), (1, 0), (0, 0), (2**32 - 1, 2**32 - 2)])
def test_no_resolution_stops_an_image(target, unit, number):
    enlarged(with_exif("a.webp", exif(number, number, unit)), target)
    with Image.open(target) as image:
        assert image.size == (16, 12)


@pytest.mark.parametrize(("dpi", "holds"), [(0.25, False), (1, True), (65535, True), (65536, False), (1e6, False)])
def test_a_resolution_that_a_jpeg_cannot_hold_is_reported(dpi, holds):
    settings = {"photometric": "rgb", "resolutionunit": 2, "metadata": None, "software": None}
    tifffile.imwrite("a.tif", np.asarray(RGB), resolution=(dpi, dpi), **settings)
    text = f"JPEG cannot hold a resolution of {dpi:.6g}x{dpi:.6g} dpi; it is left out"
    assert enlarged("a.tif", "b.jpg") == (() if holds else (text,))
    found = info_of("b.jpg")
    assert (found["jfif_unit"], found["jfif_density"]) == ((1, (dpi, dpi)) if holds else (0, (1, 1)))
    assert enlarged("a.tif", "b.tif") == ()


@pytest.mark.parametrize("per_metre", [2**31 - 1, 11811])
def test_an_absurd_resolution_of_a_png_is_reported(per_metre):
    with_phys("a.png", per_metre, per_metre, 1)
    assert enlarged("a.png", "b.png") == ((ABSURD,) if per_metre > 2**30 else ())
    assert (b"pHYs" in Path("b.png").read_bytes()) == (per_metre < 2**30)


@pytest.mark.parametrize("order", "<>")
def test_the_proportion_of_pixels_that_exif_states_without_a_unit_is_kept(order):
    source = with_exif("a.webp", exif((20, 1), (10, 1), 1, order))
    assert enlarged(source, "b.tif") == ()
    with tifffile.TiffFile("b.tif") as tiff:
        tags = tiff.pages[0].tags
        assert (tags[282].value, tags[283].value, tags[296].value) == ((2, 1), (1, 1), 1)
    assert enlarged(source, "b.png") == ()
    assert struct.pack(">IIB", 2, 1, 0) in Path("b.png").read_bytes()
    assert enlarged(source, "b.webp") == ()  # its Exif still states it
    assert enlarged(source, "b.bmp") == (
        "BMP cannot hold EXIF; it is left out",
        "BMP cannot hold the proportion of its pixels; it is left out",
    )
    assert enlarged(with_exif("c.webp", exif((20, 1), (20, 1), 1, order)), "b.tif") == ()
    with tifffile.TiffFile("b.tif") as tiff:
        assert tiff.pages[0].tags.get(282) is None


def test_the_proportion_of_the_pixels_of_a_png_is_kept_in_a_tiff():
    with_phys("a.png", 3, 2, 0)
    assert enlarged("a.png", "b.tif") == ()
    with tifffile.TiffFile("b.tif") as tiff:
        tags = tiff.pages[0].tags
        assert (tags[282].value, tags[283].value, tags[296].value) == ((3, 1), (2, 1), 1)
