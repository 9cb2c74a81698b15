"""Captions of a TIFF go where other programs look for them: the bytes are found in the outputs, without our readers."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.IptcImagePlugin import getiptcinfo
from support.oracles import hostile_pixels
from support.tiffs import ASCII, BYTE, LONG, UNDEFINED, built, page

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.open import read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

CAPTION = b"\x1c\2\x50\0\3Ada\x1c\2\x69\0\4Head"
BLOCK = b"8BIM\4\4\0\0" + struct.pack(">I", len(CAPTION)) + CAPTION + bytes(len(CAPTION) % 2)
PATH = b"8BIM\x07\xd0\0\0\0\0\0\4path"
PRINTING = b"8BIM\3\xf3\0\0\0\0\0\2\0\0"
FOUND = {(2, 80): b"Ada", (2, 105): b"Head"}


def saved(order="<", **tags):
    pixels = hostile_pixels((6, 9), np.uint8).tobytes()
    Path("a.tif").write_bytes(built(page(6, 9, pixels, t271=(ASCII, b"Maker\0"), **tags), order=order))
    return "a.tif"


def captions_of(path):
    with Image.open(path) as image:
        return getiptcinfo(image)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [BYTE, UNDEFINED, LONG])
def test_captions_are_in_the_segment_that_programs_read(kind, order):
    padded = CAPTION + bytes(-len(CAPTION) % 4)
    value = struct.unpack(f"<{len(padded) // 4}I", padded) if kind == LONG else CAPTION
    result = upsample_file(saved(order, t33723=(kind, value)), "b.jpg")
    assert (captions_of("b.jpg"), result.warnings) == (FOUND, ())
    with Image.open("b.jpg") as image:
        exif = image.getexif()
        assert (33723 in exif, exif[271]) == (False, "Maker")


def test_large_captions_do_not_displace_exif():
    large = CAPTION + b"\x1c\2\x78\x80\4" + struct.pack(">I", 70_000) + b"x" * 70_000
    assert upsample_file(saved(t33723=(UNDEFINED, large)), "b.jpg").warnings == ()
    with Image.open("b.jpg") as image:
        assert image.getexif()[271] == "Maker"
    assert large[:60_000] in Path("b.jpg").read_bytes()


@pytest.mark.parametrize("target", ["b.gif", "b.bmp", "b.webp", "b.ppm"])
def test_formats_without_captions_report_them(target):
    assert any("IPTC captions" in text for text in upsample_file(saved(t33723=(BYTE, CAPTION)), target).warnings)
    assert not any("IPTC captions" in text for text in upsample_file(saved(), "c" + target).warnings)


@pytest.mark.parametrize("target", ["b.jpg", "b.tif"])
def test_captions_among_resources_are_read_and_the_others_named(target):
    result = upsample_file(saved(t34377=(BYTE, PRINTING + BLOCK + PATH)), target)
    assert result.warnings == ("resources of Photoshop are left out: clipping paths",)
    if target == "b.jpg":
        assert captions_of(target) == FOUND
    else:
        with tifffile.TiffFile(target) as tiff:
            assert bytes(tiff.pages[0].tags[33723].value) == CAPTION


def test_the_tag_of_captions_has_precedence_over_resources():
    other = BLOCK.replace(b"Ada", b"Bob")
    result = upsample_file(saved(t33723=(BYTE, CAPTION), t34377=(BYTE, PRINTING + other)), "b.jpg")
    assert (captions_of("b.jpg"), result.warnings) == (FOUND, ())


def test_damaged_xmp_is_one_warning():
    """The tag of XMP is not counted again among the other tags."""
    result = upsample_file(saved(t700=(BYTE, b"<x"), t65000=(ASCII, b"a\0")), "b.png")
    assert sorted(result.warnings) == ["1 other tag is left out", "the XMP is damaged and is left out"]
    assert upsample_file(saved(t700=(BYTE, b"<x")), "c.png").warnings == ("the XMP is damaged and is left out",)


def test_many_small_resources_and_large_captions_are_read_in_little_time():
    """All pages of a file may share these bytes, so they are read once for each page."""
    captions = (CAPTION * 800_000)[:-2]
    swapped = b"".join(captions[at : at + 4][::-1] for at in range(0, len(captions), 4))
    with Path(saved(t33723=(UNDEFINED, swapped))).open("rb") as file:
        started = time.process_time()
        assert read_header(file)[1].iptc == captions
    with Path(saved(t34377=(UNDEFINED, PRINTING * 1_000_000))).open("rb") as file:
        losses = read_header(file)[0].losses
        assert time.process_time() - started < 2
    assert [loss.text for loss in losses] == ["1 other tag is left out"]
