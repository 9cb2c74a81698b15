"""`--print` and `--dpi`: the size on paper, and the resolution in all places of an output that state one."""

import math
import re
import struct
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from support.running import save, upsample, upsample_process

from upsample_cli import upsample_file
from upsample_cli.batch.record.identity import settings_text
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError
from upsample_cli.geometry.print_size import MAX_DPI, PrintSize, parsed_print
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.exif import with_resolution
from upsample_cli.images.metadata.exif_density import resolution
from upsample_cli.images.open import read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:XResolution="720000/10000">'
    b"<tiff:YResolution>72/1</tiff:YResolution><tiff:ResolutionUnit>3</tiff:ResolutionUnit></rdf:Description>"
    b"</rdf:RDF></x:xmpmeta>"
)
HOLDING = [name for name, fmt in FORMATS.items() if fmt.holds & {"dpi", "exif"}]
WITHOUT = [name for name, fmt in FORMATS.items() if fmt.layouts and name not in HOLDING]


def photo(path="photo.jpg", *, dpi=(72, 72), exif=True, size=(40, 60)):
    """An image whose file, Exif block and XMP state a resolution."""
    tags = Image.Exif()
    tags.update({271: "Maker", 282: 72.0, 283: 72.0, 296: 2})
    save(path, size, **({"dpi": dpi, "xmp": XMP} | ({"exif": tags} if exif else {})))
    return path


def stated(path):
    """Every resolution in a file as (x, y) or None: the one that is used, and those of Exif and of XMP."""
    metadata = read_header(path, max_pixels=10**8)[1]
    xmp = re.findall(rb"tiff:[XY]Resolution(?:=\"|>)(\d+)/(\d+)", metadata.xmp or b"")
    return (
        metadata.dpi and tuple(round(side) for side in metadata.dpi),
        metadata.exif and resolution(metadata.exif),
        tuple(int(above) / int(below) for above, below in xmp) or None,
    )


@pytest.mark.parametrize("name", HOLDING)
@pytest.mark.parametrize("with_exif", [True, False])
def test_every_format_with_a_resolution_gets_the_requested_one_wherever_it_states_one(name, with_exif):
    fmt, target = FORMATS[name], f"out{FORMATS[name].extensions[0]}"
    result = upsample_file(photo(exif=with_exif), target, 2, dpi=300)
    assert not [warning for warning in result.warnings if "resolution" in warning]
    used, exif, xmp = stated(target)
    assert used == (300, 300)
    # The tags of a TIFF are its Exif block.
    has_block = "exif" in fmt.holds and (with_exif or "dpi" not in fmt.holds) and name != "tiff"
    assert exif == ((300.0, 300.0) if has_block else None)
    assert xmp == ((300.0, 300.0) if "xmp" in fmt.holds else None)
    if "xmp" in fmt.holds:
        unit = re.search(rb"ResolutionUnit>(\d)<", read_header(target, max_pixels=10**8)[1].xmp)
        assert unit[1] == b"2"
    if fmt.pillow_name not in Image.OPEN:
        return
    with Image.open(target) as image:
        by_pillow = image.info.get("dpi") or tuple(image.getexif().get(tag) for tag in (282, 283))
    assert [round(float(side)) for side in by_pillow] == [300, 300]


@pytest.mark.parametrize("name", HOLDING)
def test_control_without_dpi_the_resolution_is_kept_so_the_print_grows(name):
    target = f"out{FORMATS[name].extensions[0]}"
    upsample_file(photo(), target, 2)
    assert stated(target)[0] == (72, 72)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_format_without_a_resolution_gets_one_line(name):
    photo()
    target = f"out{FORMATS[name].extensions[0]}"
    ended = upsample("photo.jpg", "-o", target, "--dpi", 300, "--metadata", "strip")
    title = FORMATS[name].title
    assert ended.status == 0
    assert f"warning: photo.jpg: {title} cannot hold the resolution in dpi; it is left out" in ended.err.splitlines()
    strict = upsample("photo.jpg", "-o", f"strict{target}", "--dpi", 300, "--metadata", "strip", "--strict")
    assert (strict.status, len(strict.errors)) == (1, 1)


@pytest.mark.parametrize("policy", ["strip", "orientation-only"])
def test_a_requested_resolution_is_written_even_if_metadata_are_not_kept(policy):
    upsample_file(photo(), "out.png", 2, dpi=200, metadata=policy)
    assert stated("out.png") == ((200, 200), None, None)


def test_pages_of_a_tiff_and_frames_of_an_animation_get_it():
    pages = [Image.new("RGB", (5, 4), (shade, 0, 0)) for shade in (1, 2)]
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:], dpi=(50, 50))
    upsample_file("pages.tif", "out.tif", 2, dpi=300)
    with Image.open("out.tif") as image:
        found = []
        for page in range(2):
            image.seek(page)
            found.append(tuple(map(float, image.info["dpi"])))
    assert found == [(300.0, 300.0)] * 2
    pages[0].save("moving.png", save_all=True, append_images=pages[1:])
    upsample_file("moving.png", "out.png", 2, dpi=300)
    assert stated("out.png")[0] == (300, 300)


def test_pixels_that_are_not_square_and_scales_are_replaced_with_a_warning():
    save("fax.png", dpi=(204, 98))
    fax = upsample_file("fax.png", "fax_out.png", 2, dpi=300)
    assert fax.warnings == ("the proportion of its pixels, or their scale, is replaced by dpi=300",)
    assert stated("fax_out.png")[0] == (300, 300)
    with Image.open("fax.png") as image:
        image.save("scale.tif", description="ImageJ=1.54f\nunit=micron\n", resolution=4, resolution_unit=1)
    scaled = upsample_file("scale.tif", "scale_out.tif", 2, dpi=300)
    assert scaled.warnings == fax.warnings
    with Image.open("scale_out.tif") as image:
        assert [image.tag_v2[tag] for tag in (282, 283, 296)] == [300, 300, 2]
    upsample_file("fax.png", "kept.png", 2)
    assert stated("kept.png")[0] == (204, 98)
    assert upsample_file(photo(), "square.png", 2, dpi=300).warnings == ()


def test_a_resolution_in_exif_is_set_in_place_unless_other_data_share_its_bytes():
    separate = with_resolution(None, (72, 72))
    assert len(with_resolution(separate, (300, 200))) == len(separate)
    assert resolution(with_resolution(separate, (300, 200))) == (300.0, 200.0)
    shared = [ifd_write.Field(tag, ifd.RATIONAL, 1, struct.pack("<II", 72, 1)) for tag in (282, 283, 0x829A)]
    shared.append(ifd_write.integers(296, ifd.SHORT, "<", 2))
    block = bytearray(b"II*\0\x08\0\0\0" + ifd_write.directory_bytes(shared, order="<", at=8))
    directory = ifd.read_directory(ifd.tiff_in_bytes(block), 8)
    for tag in (283, 0x829A):  # all three point to one value
        at = directory.find(tag).at + 8
        block[at : at + 4] = directory.find(282).value_at.to_bytes(4, "little")
    changed = with_resolution(bytes(block), (300, 200))
    tiff = ifd.tiff_in_bytes(changed)
    exposure = ifd.read_directory(tiff, tiff.first).find(0x829A)
    assert resolution(changed) == (300.0, 200.0)
    assert ifd.value_bytes(tiff, exposure) == struct.pack("<II", 72, 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30x20cm@30", (354, 236)),
        ("12x8in@10", (120, 80)),
        ("30x40cm@30", (354, 236)),  # the box is not turned
        ("300x100mm@127", (750, 500)),
        ("20xcm@127", (1000, 667)),
        ("x10cm@127", (750, 500)),
    ],
)
def test_an_image_is_fitted_into_a_box_on_paper(text, size):
    photo()
    ended = upsample("photo.jpg", "-o", "out.png", "--print", text, "--json")
    (file,) = ended.document["files"]
    assert (file["output_width"], file["output_height"]) == size
    dpi = int(text.rpartition("@")[2])
    assert (ended.document["dpi"], ended.document["factor"]) == (dpi, None)
    assert stated("out.png")[0] == (dpi, dpi)


def test_a_print_size_names_outputs_and_folders_by_pixels_and_is_a_setting_of_the_record():
    photo("in/a.png")
    photo("in/b.png")
    assert upsample("in", "--print", "6xcm", "--dpi", 254).status == 0
    assert Path("in_w600/a_600x400.png").exists()
    again = upsample("in", "--print", "6.0 x CM@254")
    assert "done already" in again.out
    other = upsample("in", "--print", "6xcm@127", "-o", "in_w600")
    assert other.status == 0
    options = Options(print="30.0X20cm@300")
    assert options == Options(print="30x20cm", dpi=300)
    assert '"dpi":300' in settings_text(options)
    assert '"print":"30x20cm"' in settings_text(options)
    assert settings_text(Options(dpi=300)) != settings_text(Options())


def test_a_changed_resolution_is_said_and_made_again():
    photo("in/a.png")
    photo("in/b.png")
    upsample("in", "--dpi", 300, "-o", "out")
    ended = upsample("in", "--dpi", 200, "-o", "out", "-v")
    assert "was made with --dpi 300; --overwrite replaces it" in ended.err
    assert upsample("in", "--dpi", 200, "-o", "out", "--overwrite").status == 0
    assert stated("out/a_x2.png")[0] == (200, 200)


BAD_DPI = ["0", "-300", "nan", "inf", "1e3", "300.5", "", "65536", "9" * 400, "300dpi", "\u0663\u0660\u0660"]


@pytest.mark.parametrize("text", BAD_DPI)
def test_a_resolution_that_is_none_is_one_line(text):
    photo()
    ended = upsample("photo.jpg", f"--dpi={text}")
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert ended.err.endswith("is not a resolution; give whole dots per inch, 1 to 65535, such as --dpi 300\n")


@pytest.mark.parametrize("dpi", [0, -1, MAX_DPI + 1, 72.5, math.nan, True, "300"])
def test_the_function_refuses_the_same(dpi):
    with pytest.raises(UsageError, match="is not a resolution; give whole dots per inch"):
        Options(dpi=dpi)


def test_the_bounds_of_a_resolution_are_written():
    for dpi in (1, MAX_DPI):
        for target in ("out.jpg", "out.png", "out.tif", "out.bmp", "out.webp"):
            upsample_file(photo(), target, 2, dpi=dpi, overwrite=True)
            assert stated(target)[0] == (dpi, dpi), target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("30x20cm@0", "has a resolution of 0 dots per inch; give 1 to 65535, as in --print 30x20cm@300"),
        ("30x20cm@99999", "has a resolution of 99999 dots per inch"),
        ("0x20cm@300", "has a side of length 0"),
        ("30x20cm", "has no resolution; write --print 30x20cm@300, or give --dpi"),
        ("30x20@300", "is not a size on paper; write --print 30x20cm@300: width, then height, in cm, mm or in"),
        *(
            (text, "is not a size on paper")
            for text in ("xcm@300", "-3x2cm@300", "nanx2cm@9", "A4@300", "30x20cm@-1", "30x20cm@300.5", "")
        ),
    ],
)
def test_a_size_on_paper_that_is_none_is_one_line(text, said):
    photo()
    ended = upsample("photo.jpg", f"--print={text}")
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert said in ended.err


@pytest.mark.parametrize(
    "other", [("--factor", "2"), ("--size", "9x9"), ("--width", "9"), ("--height", "9"), ("--fit", "9x9")]
)
def test_another_size_next_to_print_is_one_line(other):
    photo()
    ended = (
        upsample_process("photo.jpg", "--print", "3x2cm@300", *other)
        if other[0] == "--fit"
        else upsample("photo.jpg", "--print", "3x2cm@300", *other)
    )
    assert ended.err == f"upsample: {other[0]} and --print both say how large; give one of them\n"
    both = upsample("photo.jpg", "--print", "3x2cm@300", "--dpi", "300")
    assert both.err == "upsample: --print '3x2cm@300' and --dpi both give a resolution; leave one out\n"


def test_a_box_far_larger_than_the_image_is_one_line():
    photo()
    ended = upsample("photo.jpg", "--print", "999999x999999in@65535")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)
    assert "ask for 64 times at the most" in ended.err


lengths = st.fractions(Fraction(1, 1000), Fraction(10**6 - 1), max_denominator=1000).map(
    lambda length: f"{float(length):.6f}"
)


@given(st.none() | lengths, st.none() | lengths, st.sampled_from(["cm", "mm", "in", "CM"]), st.integers(1, MAX_DPI))
@example("29.7", "21", "cm", 300)
def test_a_size_on_paper_is_read_as_written_and_its_pixels_are_the_nearest(width, height, unit, dpi):
    text = f"{width or ''}x{height or ''}{unit}@{dpi}"
    if (width or height) is None or any(side is not None and Fraction(side) == 0 for side in (width, height)):
        with pytest.raises(UsageError):
            parsed_print(text)
        return
    size, found_dpi = parsed_print(text)
    assert found_dpi == dpi
    assert parsed_print(str(size)) == (size, None)
    made = size.pixels(dpi)
    box = made.get("fit") or (made.get("height"), made.get("width"))
    per_inch = {"cm": Fraction("2.54"), "mm": Fraction("25.4"), "in": 1}[unit.lower()]
    for pixels, side in zip(box, (height, width), strict=True):
        assert (pixels is None) == (side is None)
        if side is not None:
            exact = Fraction(side) / per_inch * dpi
            assert abs(pixels - exact) <= Fraction(1, 2) or (pixels == 1 and exact < 1)


@given(st.text(st.sampled_from("0123456789.x×*@ cmin-eE\u0663"), max_size=16))
def test_any_other_text_is_refused(text):
    try:
        size, dpi = parsed_print(text)
    except UsageError:
        return
    assert isinstance(size, PrintSize)
    assert dpi is None or 1 <= dpi <= MAX_DPI
    assert all(side is None or side > 0 for side in (size.width, size.height))
