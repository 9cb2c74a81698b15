"""Formats by name, their limits compared with the encoders, and a line for every loss."""

import io
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.facts import lines

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.formats import FORMATS, check_output_size, check_quality, format_named, format_of_path
from upsample_cli.images.metadata.exif_density import resolution
from upsample_cli.images.model import ImageInfo, Layout, Metadata
from upsample_cli.images.output_form import OutputForm, nearest_form

GREY_PROFILE, RGB_PROFILE, CMYK_PROFILE = (bytes(16) + space + bytes(108) for space in (b"GRAY", b"RGB ", b"CMYK"))
LAYOUTS = [
    Layout(colour, alpha, depth)
    for colour in ("grey", "rgb", "cmyk")
    for alpha in (False, True)
    for depth in (8, 16)
    if not (colour == "cmyk" and alpha)
]


def info_of(layout, format_name="png"):
    return ImageInfo(format_name, 13, 7, layout)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/B.JPG", "jpeg"),
        ("b.jpeg", "jpeg"),
        ("c.mpo", "jpeg"),
        ("d.d/e.TiF", "tiff"),
        ("f.tiff", "tiff"),
        ("g.png", "png"),
        ("h.webp", "webp"),
        ("i.bmp", "bmp"),
        ("j.gif", "gif"),
        ("k.avif", "avif"),
    ],
)
def test_the_extension_gives_the_format_in_any_case(name, expected):
    assert format_of_path(name) is FORMATS[expected]


@pytest.mark.parametrize("name", ["a.txt", "png", ".png", "a.png.bak", "a", ""])
def test_other_extensions_are_not_images(name):
    assert format_of_path(name) is None


def test_an_unknown_format_is_an_error_that_lists_the_formats():
    with pytest.raises(UsageError) as caught:
        format_named("xyz")
    assert caught.value.exit_status == 2
    assert all(name in str(caught.value) for name in FORMATS)


def encoded(fmt, height, width):
    file = io.BytesIO()
    Image.new("L", (width, height), 7).save(file, fmt.pillow_name)
    return Image.open(file).size


@pytest.mark.parametrize("name", ["jpeg", "webp", "gif"])
def test_the_limit_of_a_side_equals_the_encoders(name):
    """Our limit accepts a size exactly if Pillow's encoder succeeds, for both sides."""
    fmt = FORMATS[name]
    for height, width in ((fmt.max_side, 1), (1, fmt.max_side)):
        check_output_size("x", fmt, height, width)
        assert encoded(fmt, height, width) == (width, height)
    for height, width in ((fmt.max_side + 1, 1), (1, fmt.max_side + 1)):
        with pytest.raises(ImageError, match=rf"^x: .*{fmt.max_side}.*; write PNG or TIFF"):
            check_output_size("x", fmt, height, width)
        with pytest.raises((OSError, ValueError, OverflowError, struct.error)):
            encoded(fmt, height, width)


def avif_header_opens(height, width):
    """Whether Pillow opens an AVIF with this size in its header: the size box of a small file is overwritten."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "AVIF")
    data = bytearray(file.getvalue())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    try:
        return Image.open(io.BytesIO(bytes(data))).size == (width, height)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("height", "width"), [(32768, 8192), (32769, 10), (10, 32769), (16384, 16384), (16384, 16385), (32768, 8193)]
)
def test_the_limits_of_avif_equal_the_decoders(height, width, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    try:
        check_output_size("x", FORMATS["avif"], height, width)
        accepted = True
    except ImageError:
        accepted = False
    assert accepted == avif_header_opens(height, width)


def test_a_bmp_is_limited_to_4_gib_of_stored_bytes():
    """Three bytes a pixel for colour, one for grey: 38000 x 38000 pixels are too many only for colour."""
    with pytest.raises(ImageError, match=r"4 GiB.*4\.0 GiB; write PNG or TIFF"):
        check_output_size("x", FORMATS["bmp"], 38_000, 38_000)
    check_output_size("x", FORMATS["bmp"], 38_000, 38_000, Layout("grey"))


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_png_and_tiff_support_every_size_that_the_package_can_compute(name):
    check_output_size("x", FORMATS[name], 2_000_000_000, 2_000_000_000, Layout("rgb", alpha=True, depth=16))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
def test_a_quality_outside_the_range_is_an_error_with_the_range(fmt):
    check_quality(fmt, None)
    if fmt.quality_range is None:
        with pytest.raises(UsageError, match="has no quality"):
            check_quality(fmt, 50)
        return
    least, greatest = fmt.quality_range
    check_quality(fmt, least)
    check_quality(fmt, greatest)
    for quality in (least - 1, greatest + 1):
        with pytest.raises(UsageError, match=f"give {least} to {greatest}"):
            check_quality(fmt, quality)


WORDS = {"icc_profile": "(ICC)", "exif": "EXIF", "xmp": "XMP", "dpi": "resolution", "text": "text"}


def silent_losses(info, metadata, made):
    """What a fit drops without reporting it. This oracle knows images, not formats."""
    message = " | ".join(lines(made.losses))
    lost = []
    if info.layout.alpha and not made.layout.alpha and "transparency" not in message:
        lost.append("alpha")
    if info.layout.depth > made.layout.depth and "16 bits" not in message:
        lost.append("depth")
    if info.layout.colour == "cmyk" and made.layout.colour != "cmyk" and "CMYK" not in message:
        lost.append("colour")
    for part, word in WORDS.items():
        before, after = getattr(metadata, part), getattr(made.metadata, part)
        in_exif = part == "dpi" and made.metadata.exif and resolution(made.metadata.exif)
        grown = part == "exif" and metadata.dpi and not made.metadata.dpi and after
        if before and after != before and not in_exif and not grown and word not in message:
            lost.append(part)
    return lost


metadata_strategy = st.builds(
    Metadata,
    icc_profile=st.sampled_from([None, GREY_PROFILE, RGB_PROFILE, CMYK_PROFILE]),
    exif=st.sampled_from([None, b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"MM\0*\0\0\0\x08\0\0\0\0\0\0" + bytes(70_000)]),
    xmp=st.sampled_from([None, b"<x/>", b"<x/>" + b" " * 70_000]),
    dpi=st.sampled_from([None, (300.0, 299.5)]),
    text=st.sampled_from([(), (("Comment", "hi"),), (("Author", "Ada"), ("Comment", "é"), ("Author", "Bo"))]),
)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(layout=st.sampled_from(LAYOUTS), metadata=metadata_strategy, fmt=st.sampled_from(list(FORMATS.values())))
def test_every_loss_is_reported(layout, metadata, fmt):
    info = info_of(layout)
    made = nearest_form(info, metadata, fmt)
    assert made.layout in fmt.layouts
    assert silent_losses(info, metadata, made) == []
    assert all("\n" not in line and not line.endswith(".") for line in lines(made.losses))


def test_the_check_detects_silent_losses():
    """Negative control: a fit that silently drops everything."""
    info = info_of(Layout("cmyk", depth=16))
    metadata = Metadata(RGB_PROFILE, b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>", (300, 300), (("Author", "Ada"),))
    silent = OutputForm(Layout("rgb"), Metadata(), ())
    assert silent_losses(info, metadata, silent) == ["depth", "colour", *WORDS]
    alpha = info_of(Layout("grey", alpha=True))
    assert silent_losses(alpha, Metadata(), OutputForm(Layout("grey"), Metadata(), ())) == ["alpha"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
def test_supported_layouts_are_kept_without_a_loss(fmt, layout):
    """No false alarms: a supported layout is kept unchanged, and only GIF mentions colours."""
    made = nearest_form(info_of(layout), Metadata(), fmt)
    if layout in fmt.layouts and fmt.name != "gif":
        assert made == OutputForm(layout, Metadata(), ())
    if layout.alpha and fmt.name in {"png", "tiff", "webp", "avif"}:
        assert made.layout.alpha


def test_a_cmyk_profile_is_kept_only_with_cmyk():
    for name in ("jpeg", "tiff"):
        assert nearest_form(info_of(Layout("cmyk")), Metadata(CMYK_PROFILE), FORMATS[name]).metadata.icc_profile
    made = nearest_form(info_of(Layout("cmyk")), Metadata(CMYK_PROFILE), FORMATS["png"])
    assert made.layout == Layout("rgb")
    assert made.metadata.icc_profile is None
    assert lines(made.losses) == (
        "PNG cannot hold CMYK; it becomes RGB through its colour profile (ICC) (JPEG and TIFF can)",
    )
    bare = nearest_form(info_of(Layout("cmyk")), Metadata(), FORMATS["png"])
    assert lines(bare.losses) == (
        "PNG cannot hold CMYK; it becomes RGB by rule of thumb, without a profile (JPEG and TIFF can)",
    )


def test_a_grey_profile_is_dropped_for_rgb_and_an_rgb_profile_is_kept_for_grey():
    assert nearest_form(info_of(Layout("grey")), Metadata(GREY_PROFILE), FORMATS["webp"]).metadata.icc_profile is None
    assert (
        nearest_form(info_of(Layout("grey")), Metadata(RGB_PROFILE), FORMATS["webp"]).metadata.icc_profile
        == RGB_PROFILE
    )


def test_losses_name_a_format_without_the_loss():
    deep = nearest_form(info_of(Layout("rgb", depth=16)), Metadata(), FORMATS["jpeg"])
    assert lines(deep.losses) == ("JPEG cannot hold 16 bits per channel; they become 8 (PNG, TIFF and JPEG XL can)",)


@pytest.mark.parametrize("name", ["webp", "avif", "jxl"])
def test_a_resolution_is_stored_in_exif_if_the_format_has_no_field_for_it(name):
    made = nearest_form(info_of(Layout("rgb")), Metadata(dpi=(300, 299.5)), FORMATS[name])
    assert lines(made.losses) == ()
    exif = Image.Exif()
    exif.load(made.metadata.exif)
    assert (exif[0x011A], exif[0x011B], exif[0x0128]) == (300, 299.5, 2)


def test_an_exif_block_too_long_for_jpeg_is_reported():
    limit = FORMATS["jpeg"].max_exif_bytes
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0".ljust(limit, b"\0")
    assert nearest_form(info_of(Layout("rgb")), Metadata(exif=exif), FORMATS["jpeg"]).metadata.exif == exif
    longer = nearest_form(info_of(Layout("rgb")), Metadata(exif=exif + b"\0"), FORMATS["jpeg"])
    assert longer.metadata.exif is None
    assert lines(longer.losses) == (f"JPEG holds at most {limit} bytes of EXIF, not {limit + 1}; it is left out",)


def test_a_jpeg_keeps_the_comment_and_names_the_other_text():
    text = (("Author", "Ada"), ("Comment", "hello"))
    made = nearest_form(info_of(Layout("rgb")), Metadata(text=text), FORMATS["jpeg"])
    assert made.metadata.text == (("Comment", "hello"),)
    assert lines(made.losses) == ("JPEG cannot hold the text Author; it is left out",)
    assert nearest_form(info_of(Layout("rgb")), Metadata(text=text), FORMATS["png"]) == OutputForm(
        Layout("rgb"), Metadata(text=text), ()
    )


def test_nearest_form_does_not_change_its_arguments():
    metadata = Metadata(RGB_PROFILE, dpi=(72, 72))
    before = replace(metadata)
    nearest_form(info_of(Layout("rgb")), metadata, FORMATS["gif"])
    assert metadata == before


def test_the_table_of_formats_needs_neither_pillow_nor_numpy():
    code = "import sys, upsample_cli.images.formats; print([m for m in ('PIL', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
