"""Every TIFF tag is kept with a true value or reported as lost. Counted by tifffile and Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.oracles import hostile_pixels
from support.running import upsample
from support.tiffs import ASCII, BYTE, DOUBLE, LONG, RATIONAL, SHORT, UNDEFINED, built, page

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.metadata.tiff_tags import STORAGE

pytestmark = pytest.mark.usefixtures("in_tmp_path")

POINTERS = {34665, 34853, 40965}
DATA = hostile_pixels((6, 9), np.uint8).tobytes()
GPS = {0: (BYTE, b"\2\3\0\0"), 1: (ASCII, b"N\0"), 2: (RATIONAL, (48, 1, 6, 1, 0, 1)), 29: (ASCII, b"2026:01:02\0")}
EXIF = {33434: (RATIONAL, (1, 50)), 36864: (UNDEFINED, b"0232"), 37121: (UNDEFINED, b"\1\2\3\0"),
        37510: (UNDEFINED, b"ASCII\0\0\0a word")}  # fmt: skip
SCALE, TIES = (10.0, 10.0, 0.0), (0.0, 0.0, 0.0, 400000.0, 5000000.0, 0.0)
AREA, POINT = ((1, 1, 0, 1, 1025, 0, 1, kind) for kind in (1, 2))


def saved(name="a.tif", order="<", **tags):
    Path(name).write_bytes(built(page(6, 9, DATA, **tags), order=order))
    return name


def tags_of(path):
    """The tags and values of the first page with its Exif and GPS, by two readers that must agree."""
    with tifffile.TiffFile(path) as tiff:
        first = {tag.code: tag.value for tag in tiff.pages[0].tags}
    with Image.open(path) as image:
        assert set(image.tag_v2) == set(first)
        exif = image.getexif()
        below = {(parent, tag): value for parent in (34665, 34853) for tag, value in exif.get_ifd(parent).items()}
    return {(0, tag): value for tag, value in first.items() if tag not in POINTERS} | below


def accounted(source, target="b.tif", **options):
    """Enlarge; returns the kept tags and the others, which the warnings must count."""
    result = upsample_file(source, target, overwrite=True, **options)
    before, after = tags_of(source), tags_of(target)
    lost = {tag for tag in before if tag not in after and not (tag[0] == 0 and tag[1] in STORAGE)}
    return after, lost, result


KINDS = {
    "words": {"t269": (ASCII, b"contract\0"), "t270": (ASCII, b"a page\0"), "t285": (ASCII, b"page 1\0"),
              "t297": (SHORT, (0, 1)), "t305": (ASCII, b"Ours\0"), "t315": (ASCII, b"Me\0")},
    "Exif and GPS": {"t34665": EXIF, "t34853": GPS},
    "colour": {"t318": (RATIONAL, (31, 100, 33, 100)), "t319": (RATIONAL, (64, 9, 33, 9, 21, 9, 71, 9, 15, 9, 6, 9))},
    "GDAL": {"t42112": (ASCII, b"<GDALMetadata/>\0"), "t42113": (ASCII, b"-9999\0")},
    "blocks": {"t700": (BYTE, b"<x:xmpmeta/>"), "t33723": (UNDEFINED, b"\x1c\2\5\0\3Sea")},
}  # fmt: skip


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", KINDS)
def test_tags_that_stay_true_are_kept_unchanged(kind, order):
    source = saved(order=order, **KINDS[kind])
    before = tags_of(source)
    after, lost, result = accounted(source)
    assert (lost, result.warnings) == (set(), ())
    for tag, value in before.items():
        assert tag[1] in STORAGE or after[tag] == value, tag


OTHERS = {
    "t34377": (UNDEFINED, b"8BIM"), "t37724": (UNDEFINED, b"Adobe"), "t50838": (LONG, 4), "t50909": (ASCII, b"<g/>\0"),
    "t65000": (ASCII, b"ours alone\0"), "t291": (SHORT, tuple(range(256))), "t40000": (DOUBLE, 2.5),
}  # fmt: skip


@pytest.mark.parametrize("order", "<>")
def test_other_tags_are_counted_and_verbose_lists_them(order):
    source = saved(order=order, **OTHERS, t34853=GPS | {40: (13, 8)})
    _, lost, result = accounted(source)
    assert lost == {(0, int(name[1:])) for name in OTHERS}
    others = len(OTHERS) - 2
    assert sorted(result.warnings) == [
        f"{others} other tags are left out",
        "Photoshop's layers are left out",
        "resources of Photoshop are left out: damaged ones",
    ]
    done = upsample(source, "-o", "c.tif", "-v")
    assert (
        f"{others} other tags are left out (GrayResponseCurve, XPos, IJMetadataByteCounts, GEO_METADATA, 65000)"
        in done.err
    )
    assert "(" not in upsample(source, "-o", "d.tif").err.split("5 other tags")[1].splitlines()[0]
    assert "left out" in upsample(source, "-o", "e.tif", "--strict").errors[0]
    assert upsample(source, "-o", "f.tif", "--strict", "--metadata", "strip").status == 0


def test_the_version_of_dng_in_exif_does_not_make_the_output_a_raw_file():
    """Photographs that were converted from DNG may keep its version. Readers take a TIFF that has it for a RAW file."""
    exif = Image.Exif()
    exif[271], exif[50706], exif[50707], exif[50708] = "Maker", b"\1\4\0\0", b"\1\1\0\0", "Model"
    Image.new("RGB", (9, 6)).save("a.jpg", exif=exif)
    upsample_file("a.jpg", "b.tif")
    with tifffile.TiffFile("b.tif") as tiff:
        assert {271, 50706, 50707, 50708} & {tag.code for tag in tiff.pages[0].tags} == {271, 50708}
    upsample_file("b.tif", "c.tif")


@pytest.mark.parametrize("tag", [269, 33550, 42113, 65000, 37724, 40000, 318])
def test_any_single_tag_is_kept_or_reported(tag):
    """Any tag is either in the output or in a warning."""
    values = {33550: (DOUBLE, SCALE), 318: (RATIONAL, (1, 3, 1, 3))}
    _, lost, result = accounted(saved(**{f"t{tag}": values.get(tag, (ASCII, b"words\0"))}))
    assert bool(lost) == bool(result.warnings)


@pytest.mark.parametrize("target", ["b.png", "b.jpg", "b.webp"])
def test_other_formats_report_the_tags_they_cannot_store(target):
    saved(t269=(ASCII, b"contract\0"), t297=(SHORT, (0, 1)), t33550=(DOUBLE, SCALE), t33922=(DOUBLE, TIES))
    (warning,) = upsample_file("a.tif", target).warnings
    assert warning.endswith("cannot hold the georeference (GeoTIFF) and the TIFF tag DocumentName; they are left out")
    saved("p.tif", t297=(SHORT, (0, 1)))
    assert upsample_file("p.tif", f"p{target}").warnings == ()  # a page number has no meaning in a single image


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("keys", [AREA, POINT])
def test_the_georeference_is_adapted_to_the_larger_image(keys, order):
    """Independent formulas give the same location for points in both images. GeoTIFF counts from pixel centres."""
    matrix = (10.0, 1.0, 0.0, 400.0, 2.0, -10.0, 0.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    ties = (2.0, 3.0, 0.0, 400000.0, 5000000.0, 0.0)
    half = 0.5 if keys == POINT else 0.0
    for tags in ({"t33550": (DOUBLE, SCALE), "t33922": (DOUBLE, ties)}, {"t34264": (DOUBLE, matrix)}):
        after, lost, result = accounted(saved(order=order, t34735=(SHORT, keys), **tags), size=(15, 18))
        assert lost == set()
        assert [warning for warning in result.warnings if "proportion" not in warning] == []
        for x, y in ((0.0, 0.0), (9.0, 6.0), (4.5, 1.25)):  # from the corner of the image, in its pixels
            assert place(tags_of("a.tif"), x - half, y - half) == pytest.approx(
                place(after, x * 2 - half, y * 2.5 - half)
            )


def place(tags, i, j):
    if (0, 34264) in tags:
        a = tags[0, 34264]
        return a[0] * i + a[1] * j + a[3], a[4] * i + a[5] * j + a[7]
    (sx, sy, _), (ti, tj, _, x, y, _) = tags[0, 33550], tags[0, 33922]
    return x + (i - ti) * sx, y - (j - tj) * sy


def test_a_damaged_georeference_or_one_of_a_turned_image_is_left_out():
    tags = {"t33550": (DOUBLE, SCALE), "t33922": (DOUBLE, TIES)}
    for more, why in (({"t274": (SHORT, 6)}, "before it was turned"), ({"t33550": (DOUBLE, SCALE[:2])}, "is damaged")):
        after, _, result = accounted(saved(**(tags | more)))
        assert why in result.warnings[0]
        assert not {(0, 33550), (0, 33922)} & set(after)


def ome(**metadata):
    file = io.BytesIO()
    stack = hostile_pixels((3, 6, 9), np.uint16)
    tifffile.imwrite(file, stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **metadata})
    Path("a.ome.tif").write_bytes(file.getvalue())
    return stack


def test_ome_xml_states_the_new_sizes():
    ome(PhysicalSizeX=0.5, PhysicalSizeXUnit="µm", PhysicalSizeY=1e-3, PhysicalSizeZ=7.0)
    assert upsample_file("a.ome.tif", "b.ome.tif", factor=4).warnings == ()
    with tifffile.TiffFile("b.ome.tif") as tiff:
        assert tiff.series[0].shape == (3, 24, 36)
        sizes = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (sizes["SizeX"], sizes["SizeY"], sizes["SizeZ"]) == (36, 24, 3)
    assert (sizes["PhysicalSizeX"], sizes["PhysicalSizeY"], sizes["PhysicalSizeZ"]) == (0.125, 0.00025, 7)
    assert sizes["PhysicalSizeXUnit"] == "µm"


@pytest.mark.parametrize(
    ("options", "target"), [({"frame": 2}, "b.tif"), ({"frame": 1}, "b.tif"), ({"depth": "8"}, "b.tif"), ({}, "b.png")]
)
def test_ome_xml_that_would_be_false_is_left_out_with_a_warning(options, target):
    ome()
    result = upsample_file("a.ome.tif", target, **options)
    is_first = options.get("frame") != 2
    assert any("OME-XML" in line or "ImageDescription" in line for line in result.warnings) == is_first
    assert b"SizeX" not in Path(target).read_bytes()


ODD = {
    "regions": b'</Pixels></Image><ROI ID="1"/>',
    "several images": b'</Pixels></Image><Image><Pixels SizeX="9"></Pixels></Image>',
    "other files": b"<TiffData><UUID>urn:a</UUID></TiffData><TiffData><UUID>urn:b</UUID></TiffData></Pixels></Image>",
}


@pytest.mark.parametrize("why", ODD)
def test_ome_xml_with_unsupported_content_is_left_out(why):
    head = b'<?xml version="1.0"?><OME><Image><Pixels Type="uint8" SizeX="9" SizeY="6" SizeZ="1" SizeC="1" SizeT="1">'
    for body, is_kept in ((ODD[why], False), (b"</Pixels></Image>", True)):
        after, _, result = accounted(saved(t270=(ASCII, head + body + b"</OME>\0")))
        assert ((0, 270) in after) == is_kept == (result.warnings == ())


def test_the_imagej_description_gets_the_new_scale():
    stack = hostile_pixels((3, 6, 9), np.uint8)
    tifffile.imwrite("a.tif", stack, imagej=True, resolution=(4.0, 2.5), metadata={"unit": "um", "axes": "ZYX"})
    assert upsample_file("a.tif", "b.tif", factor=3).warnings == ()
    with tifffile.TiffFile("b.tif") as tiff:
        assert tiff.series[0].shape == (3, 18, 27)
        assert tiff.imagej_metadata["unit"] == "um"
        tags = tiff.pages[0].tags
        assert [tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283)] == [12, 7.5]
        assert tags[296].value == 1
    assert "PNG cannot hold ImageJ's description; it is left out" in upsample_file("a.tif", "b.png").warnings


def test_the_imagej_origin_is_scaled_and_a_false_page_count_is_left_out():
    text = b"ImageJ=1.53t\nimages=%d\nunit=mm\nxorigin=4\nyorigin=1.5\n\0"
    after, _, _ = accounted(saved(t270=(ASCII, text % 1)))
    assert "xorigin=8\nyorigin=3" in after[0, 270]
    after, _, _ = accounted(saved(t270=(ASCII, (text % 1).replace(b"=4", b"=4e999"))))
    assert "xorigin=4e999\nyorigin=3" in after[0, 270]  # it raised an OverflowError
    after, _, result = accounted(saved(t270=(ASCII, text % 7)))
    assert "it describes 7 pages, and 1 can be read" in result.warnings[0]
    assert (0, 270) not in after


def test_a_page_counted_by_the_description_cannot_be_left_out():
    first = page(6, 9, DATA, t270=(ASCII, b"ImageJ=1.53t\nimages=2\n\0"))
    bad = page(6, 9, bytes(20), t259=(SHORT, 8))
    Path("a.tif").write_bytes(built(first, bad))
    with pytest.raises(ImageError, match=r"page 2 of 2 is left out: .*, and the first page describes it"):
        upsample_file("a.tif", "b.tif")
    assert upsample_file("a.tif", "b.tif", metadata="strip").warnings[0].startswith("page 2 of 2")


def test_other_descriptions_are_left_out_with_a_warning():
    tifffile.imwrite("a.tif", np.zeros((6, 9), np.uint8), metadata={"axes": "YX", "laser": 5})
    assert "tifffile's description is left out" in upsample_file("a.tif", "b.tif").warnings[0]
    tifffile.imwrite("c.tif", np.zeros((6, 9), np.uint8), metadata={"axes": "YX"})
    assert upsample_file("c.tif", "d.tif").warnings == ()
    saved("e.tif", t270=(ASCII, b"Aperio Image Library v11\r\n46000x32914 |MPP = 0.4990\0"))
    assert "Aperio's description of the slide is left out" in upsample_file("e.tif", "f.tif").warnings[0]


@pytest.mark.parametrize(("unit", "x", "y", "kept"), [(1, 2, 1, True), (1, 7, 7, False), (2, 300, 150, True)])
def test_the_proportion_of_a_pixel_is_kept_or_reported(unit, x, y, kept):
    saved(t282=(RATIONAL, (x, 1)), t283=(RATIONAL, (y, 1)), t296=(SHORT, unit))
    after, _, result = accounted("a.tif")
    assert result.warnings == ()
    found = after.get((0, 282)), after.get((0, 283)), after.get((0, 296))
    assert found == (((x, 1), (y, 1), unit) if kept else (None, None, None))
    warnings = upsample_file("a.tif", "b.png", overwrite=True).warnings
    assert warnings == (
        ("PNG cannot hold the proportion of a pixel; it is left out",) if (unit, kept) == (1, True) else ()
    )


def test_the_resolution_of_a_turned_image_is_turned():
    saved(t282=(RATIONAL, (300, 1)), t283=(RATIONAL, (150, 1)), t296=(SHORT, 2), t274=(SHORT, 6))
    after, _, _ = accounted("a.tif")
    assert (after[0, 282], after[0, 283]) == ((150, 1), (300, 1))


def test_images_in_a_subifd_are_reported_unless_they_are_reduced_copies():
    for reduced, count in ((1, 0), (0, 1)):
        saved(t330={254: (LONG, reduced), 256: (LONG, 3), 257: (LONG, 2)})
        found = upsample_file("a.tif", "b.tif", overwrite=True).warnings
        assert found == (("1 more image in a SubIFD is left out",) * count)


def test_unknown_exif_tags_of_a_jpeg_are_kept_in_a_tiff():
    """They are in the block's first directory; a list of known tags would lose them."""
    exif = Image.Exif()
    exif[0xC4A5], exif[0x010D], exif[0x0110] = b"PrintIM\0" + bytes(6), "a document", "a camera"
    exif.get_ifd(0x8825)[0] = b"\2\3\0\0"  # the GPS version, whose tag is 0
    exif[0x0103] = 6  # like a thumbnail's compression tag: how pixels are stored
    Image.new("RGB", (16, 8)).save("a.jpg", exif=exif)
    upsample_file("a.jpg", "b.tif")
    found = tags_of("b.tif")
    assert found[0, 0x010D] == "a document"
    assert (0, 0xC4A5) in found
    assert found[0, 259] == 8
    assert found[34853, 0] == b"\2\3\0\0"
