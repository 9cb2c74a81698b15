"""One table of orientations turns both boxes and images, and ignores invalid numbers."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from upsample_cli.images.about import about_image
from upsample_cli.images.open import open_image
from upsample_cli.images.orientation import TURNS

HEIGHT, WIDTH = 5, 3
STORED = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1)
BY_NUMPY = {
    1: STORED, 2: STORED[:, ::-1], 3: STORED[::-1, ::-1], 4: STORED[::-1],
    5: STORED.swapaxes(0, 1), 6: np.rot90(STORED, -1), 7: np.rot90(STORED, 2).swapaxes(0, 1), 8: np.rot90(STORED),
}  # fmt: skip


@pytest.mark.parametrize("orientation", list(BY_NUMPY))
def test_a_box_in_the_upright_image_maps_to_the_stored_image(orientation):
    turn, upright = TURNS[orientation], BY_NUMPY[orientation]
    np.testing.assert_array_equal(turn.upright(STORED), upright)
    height, width = upright.shape[:2]
    top, bottom, left, right = turn.stored((1, height, 0, width - 1), height, width)
    np.testing.assert_array_equal(turn.upright(STORED[top:bottom, left:right]), upright[1:, : width - 1])


@pytest.mark.parametrize(("stated", "found"), [(6, 6), (9, 1), (0, 1)])
def test_the_stated_orientation_of_a_tiff_is_used_if_valid(stated, found):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = stated
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(file, "TIFF", tiffinfo=tags)
    assert about_image(io.BytesIO(file.getvalue()), factor=2, max_pixels=100).orientation == found


INTEGERS = {
    "BYTE": (1, "B"),
    "SHORT": (3, "H"),
    "LONG": (4, "I"),
    "SBYTE": (6, "b"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "i"),
}


def exif_with(kind, order="<", value=6):
    """An Exif block whose orientation has this type."""
    number, code = INTEGERS[kind]
    stored = struct.pack(order + code, value).ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHI", 8, 1, 0x0112, number, 1) + stored + bytes(4)


def stored_as(image_format, exif):
    """A 16x8 image in this format with this block, or a TIFF with the block's only tag in its directory."""
    file = io.BytesIO()
    pixels = Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 16)).convert("RGB")
    if image_format != "TIFF":
        pixels.save(file, image_format, exif=exif if image_format == "PNG" else b"Exif\0\0" + exif)
        return file.getvalue()
    tifffile.imwrite(file, np.asarray(pixels), photometric="rgb", extratags=[(0x0112, 3, 1, 1, True)])
    data, order = bytearray(file.getvalue()), exif[:2]
    assert order == b"II"
    at = data.index(struct.pack("<HHI", 0x0112, 3, 1))
    data[at : at + 12] = exif[10:22]
    return bytes(data)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("kind", INTEGERS)
def test_an_orientation_of_any_integer_type_is_used(kind, image_format):
    data = stored_as(image_format, exif_with(kind))
    with open_image(io.BytesIO(data)) as source:
        assert (source.info.height, source.info.width) == (16, 8)
        stored = np.asarray(Image.open(io.BytesIO(stored_as(image_format, exif_with(kind, value=1)))).convert("RGB"))
        np.testing.assert_array_equal(source.read_rows(0, 16), np.rot90(stored, -1))
    assert about_image(io.BytesIO(data), factor=2, max_pixels=1000).orientation == 6


@pytest.mark.parametrize("kind", ["SBYTE", "SSHORT", "SLONG"])
def test_a_negative_orientation_is_ignored(kind):
    with open_image(io.BytesIO(stored_as("JPEG", exif_with(kind, ">", -6)))) as source:
        assert (source.info.height, source.info.width) == (8, 16)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_an_exif_block_with_a_repeated_prefix_is_read(image_format):
    exif = b"Exif\0\0" * (2 if image_format == "PNG" else 1) + exif_with("SHORT")
    with open_image(io.BytesIO(stored_as(image_format, exif))) as source:
        assert (source.info.height, source.info.width) == (16, 8)
        assert source.metadata.exif == exif_with("SHORT")
