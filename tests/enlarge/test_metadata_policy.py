"""Metadata from file to file, read by ExifTool if installed: kept, stripped, or reduced to the orientation."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from support.running import save, upsample

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.metadata.iptc import jpeg_segments, png_text, resources_in_text

pytestmark = pytest.mark.usefixtures("in_tmp_path")

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="ExifTool is the second reader: libimage-exiftool-perl")
FORMATS = ["jpg", "png", "webp", "tif", "avif"]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
)
CAPTION = "a harbour at noon"
IPTC = b"\x1c\x02\x78" + struct.pack(">H", len(CAPTION)) + CAPTION.encode()


def camera_jpeg():
    """A JPEG with everything that a camera and an archive add: rotation, sizes, captions and a rating."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0131] = "ACME", 6, "firmware 1.2"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 17, 0xA003: 11}
    save(
        "a.jpg", (11, 17), exif=exif.tobytes(), xmp=XMP, icc_profile=PROFILE, dpi=(300, 300), extra=jpeg_segments(IPTC)
    )
    return Path("a.jpg")


def exif_tags(path):
    """Tags that ExifTool reads, by group and name; numbers stay numbers."""
    command = [EXIFTOOL, "-json", "-n", "-G0:1", "-a", "-u", str(path)]
    (tags,) = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return {name.partition(":")[0] + ":" + name.rpartition(":")[2]: value for name, value in tags.items()}


@needs_exiftool
@pytest.mark.parametrize("extension", FORMATS)
def test_kept_metadata_can_be_read_by_another_reader(extension):
    before = exif_tags(camera_jpeg())
    assert (before["EXIF:Orientation"], before["IPTC:Caption-Abstract"]) == (6, CAPTION)
    result = upsample_file("a.jpg", f"b.{extension}")
    after = exif_tags(f"b.{extension}")
    for name in ("EXIF:Make", "EXIF:Software", "EXIF:DateTimeOriginal", "XMP:Rating", "ICC_Profile:ProfileDescription"):
        assert after[name] == before[name], name
    assert after.get("EXIF:Orientation", 1) == 1  # AVIF and TIFF omit the tag
    assert (after["EXIF:ExifImageWidth"], after["EXIF:ExifImageHeight"]) == (22, 34)
    assert after.get("File:ImageWidth", 22) == 22
    has_captions = extension in {"jpg", "png", "tif"}
    assert after.get("IPTC:Caption-Abstract") == (CAPTION if has_captions else None)
    assert any("IPTC" in line for line in result.warnings) == (not has_captions)
    dots = {"png": ("PNG:PixelsPerUnitX", 11811)}.get(extension, ("EXIF:XResolution", 300))
    jfif = after.get("JFIF:XResolution")
    assert jfif == 300 if extension == "jpg" else after[dots[0]] == dots[1]
    assert not [line for line in result.warnings if "IPTC" not in line]


@needs_exiftool
@pytest.mark.parametrize("extension", FORMATS)
def test_stripped_metadata_is_removed_but_the_profile_stays(extension):
    camera_jpeg()
    result = upsample_file("a.jpg", f"b.{extension}", metadata="strip", strict=True)
    after = exif_tags(f"b.{extension}")
    assert result.warnings == ()
    assert after["ICC_Profile:ProfileDescription"] == exif_tags("a.jpg")["ICC_Profile:ProfileDescription"]
    groups = {name.partition(":")[0] for name in after}
    assert not groups & {"XMP", "IPTC", "Photoshop"}
    words = {"Make", "Software", "DateTimeOriginal", "Caption-Abstract", "Rating", "ExifImageWidth", "Orientation"}
    assert not {name.partition(":")[2] for name in after} & words
    assert (result.output_height, result.output_width) == (34, 22)  # turned upright nevertheless


@needs_exiftool
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_orientation_only_keeps_an_upright_orientation_and_nothing_else(extension):
    camera_jpeg()
    upsample_file("a.jpg", f"b.{extension}", metadata="orientation-only")
    after = exif_tags(f"b.{extension}")
    exif = {name: value for name, value in after.items() if name.startswith("EXIF:")}
    assert exif.pop("EXIF:Orientation") == 1
    assert exif.keys() <= {"EXIF:XResolution", "EXIF:YResolution", "EXIF:ResolutionUnit", "EXIF:YCbCrPositioning"}
    assert "ICC_Profile:ProfileDescription" in after


def test_an_image_without_an_orientation_gets_no_exif():
    save("a.png", (3, 5))
    upsample_file("a.png", "b.png", metadata="orientation-only")
    assert b"eXIf" not in Path("b.png").read_bytes()


def test_stripping_metadata_also_removes_its_warnings():
    xmp = b'<x xmpNote:HasExtendedXMP="0123"/>'
    save("a.jpg", xmp=xmp)
    assert upsample_file("a.jpg", "b.jpg").warnings == ("only the main part of the XMP is kept, not its extension",)
    assert upsample_file("a.jpg", "c.jpg", metadata="strip").warnings == ()


def test_text_of_a_png_is_stripped_too():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "Ada")
    save("a.png", pnginfo=info)
    upsample_file("a.png", "kept.png")
    upsample_file("a.png", "bare.png", metadata="strip")
    assert b"Ada" in Path("kept.png").read_bytes()
    assert b"Ada" not in Path("bare.png").read_bytes()
    assert upsample("a.png", "-o", "c.png", "--metadata", "some").status == 2


@pytest.mark.parametrize("steps", [("b.png", "c.jpg"), ("b.tif", "c.png"), ("b.png", "c.png")])
def test_captions_survive_several_formats(steps):
    camera_jpeg()
    upsample_file("a.jpg", steps[0], 1)
    upsample_file(steps[0], steps[1], 1)
    data = Path(steps[1]).read_bytes()
    assert IPTC in data or IPTC.hex().encode() in data.replace(b"\n", b"")


@pytest.mark.parametrize("value", ["", "\niptc\n      20\nzz", "\niptc\n  4\n3842494d", "\niptc\n 12\n3842494d0404ff"])
def test_damaged_captions_are_ignored(value):
    resources = resources_in_text(value)
    assert resources is None or resources.captions is None


def test_captions_may_have_an_odd_length_and_no_header():
    for size in range(1, 60):
        assert resources_in_text(png_text(bytes([28] * size))).captions == bytes([28] * size)
    assert resources_in_text("\niptc\n 3\n1c0205").captions == b"\x1c\x02\x05"
