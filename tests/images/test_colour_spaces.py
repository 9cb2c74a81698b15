"""Colour spaces without an ICC profile: kept if the output supports them, made a profile, or reported as lost."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.corpus import ICC, RGB, png_chunk, png_of_rows, saved, with_codes
from support.facts import lines

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.about import about_image
from upsample_cli.images.color.coded import profile_of
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import ColourSpace, ImageInfo, Layout, Metadata
from upsample_cli.images.open import probe, read_header
from upsample_cli.images.output_form import nearest_form

pytestmark = pytest.mark.usefixtures("in_tmp_path")

HEIGHT, WIDTH = RGB.shape[:2]
GAMMA_1 = struct.pack(">I", 100000)
P3_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
# Published matrices for D65: SMPTE EG 432-1 (Display P3), BT.2020 and IEC 61966-2-1.
P3_TO_XYZ = np.array([[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0, 0.0451134, 1.0439444]])
BT2020_TO_XYZ = np.array(
    [[0.6369580, 0.1446169, 0.1688810], [0.2627002, 0.6779981, 0.0593017], [0, 0.0280727, 1.0609851]]
)
SRGB_TO_XYZ = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)


def png_with(*chunks):
    return png_of_rows(WIDTH, 8, 2, [row.tobytes() for row in RGB], *chunks)


def chunks_of(path):
    data, at, found = Path(path).read_bytes(), 8, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += 12 + size
    return found


def opened(path):
    return Image.open(io.BytesIO(Path(path).read_bytes()))


def avif_with(primaries, transfer, *, kind="RGB", **settings):
    return with_codes(saved(Image.fromarray(RGB).convert(kind), "AVIF", speed=10, **settings), primaries, transfer)


def codes_in(path):
    data = Path(path).read_bytes()
    return struct.unpack_from(">HH", data, data.index(b"colrnclx") + 8)


def made(data, *outputs, **options):
    """The warnings of enlarging these bytes into each output."""
    Path("in.png").write_bytes(data)
    return [upsample_file("in.png", output, overwrite=True, **options).warnings for output in outputs]


def srgb_curve(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def srgb_light(level):
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def through(profile, levels):
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB", 1)
    return np.array(ImageCms.applyTransform(Image.fromarray(levels), transform))


@pytest.mark.parametrize(
    ("colour", "matrix", "light"),
    [
        (ColourSpace(codes=(12, 13)), P3_TO_XYZ, srgb_light), (ColourSpace(codes=(12, 2)), P3_TO_XYZ, srgb_light),
        (ColourSpace(codes=(9, 8)), BT2020_TO_XYZ, lambda level: level),
        (ColourSpace(codes=(12, 4)), P3_TO_XYZ, lambda level: level**2.2),
        (ColourSpace(gamma=100000), SRGB_TO_XYZ, lambda level: level),
        (ColourSpace(gamma=55556, chromaticities=struct.unpack(">8I", P3_CHROMATICITIES)), P3_TO_XYZ,
         lambda level: level**1.8),
        (ColourSpace(codes=(1, 1)), SRGB_TO_XYZ,
         lambda level: np.where(level < 0.081243, level / 4.5, ((level + 0.099297) / 1.099297) ** (1 / 0.45))),
    ],
)  # fmt: skip
def test_a_profile_equals_the_published_colour_space(colour, matrix, light):
    """Compared with the published matrices and formulas through LittleCMS; colours outside sRGB are left out."""
    levels = np.random.default_rng(2).integers(0, 256, (1, 4000, 3), np.uint8)
    linear = light(levels / 255) @ matrix.T @ np.linalg.inv(SRGB_TO_XYZ).T
    inside = ((linear > 0.002) & (linear < 0.998)).all(axis=2)
    found, right = through(profile_of(colour, "rgb"), levels)[inside], 255 * srgb_curve(linear[inside])
    assert inside.sum() > 500
    assert np.abs(found - right).max() < 1.6
    control = through(profile_of(ColourSpace(codes=(1, 13)), "rgb"), levels)[inside]
    assert np.abs(control - right).max() > 4


def test_png_to_png_keeps_every_chunk():
    chunks = {b"cICP": b"\x09\x10\0\1", b"mDCV": bytes(range(24)), b"cLLI": bytes(range(8)), b"gAMA": GAMMA_1,
              b"cHRM": P3_CHROMATICITIES}  # fmt: skip
    assert made(png_with(*chunks.items()), "out.png") == [()]
    assert {kind: data for kind, data in chunks_of("out.png").items() if kind in chunks} == chunks
    assert made(png_with((b"sRGB", b"\2"), (b"gAMA", struct.pack(">I", 45455))), "out.png") == [()]
    assert chunks_of("out.png")[b"sRGB"] == b"\2"


@pytest.mark.parametrize("output", ["out.jpg", "out.webp", "out.tif", "out.avif"])
def test_gamma_and_chromaticities_become_a_profile(output):
    data = png_with((b"gAMA", GAMMA_1), (b"cHRM", P3_CHROMATICITIES))
    assert not any("colour" in line for line in made(data, output)[0])
    profile = opened(output).info["icc_profile"]
    right = profile_of(ColourSpace(gamma=100000, chromaticities=struct.unpack(">8I", P3_CHROMATICITIES)), "rgb")
    assert profile == right


@pytest.mark.parametrize("output", ["out.bmp", "out.gif", "out.ppm"])
def test_a_colour_space_that_the_format_cannot_store_is_a_warning(output):
    assert "cannot hold the colour space (gamma 1)" in " ".join(made(png_with((b"gAMA", GAMMA_1)), output)[0])
    assert "colour space" not in " ".join(made(png_with((b"gAMA", struct.pack(">I", 45455))), output)[0])


def test_grey_images_get_a_grey_profile():
    data = png_of_rows(WIDTH, 8, 0, [row[:, 0].tobytes() for row in RGB], (b"gAMA", GAMMA_1))
    assert made(data, "out.jpg") == [()]
    assert opened("out.jpg").info["icc_profile"][16:20] == b"GRAY"


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("codes", [(12, 13), (9, 16), (9, 18), (1, 1)])
def test_colour_codes_are_kept_in_avif_and_written_to_png(kind, codes):
    assert made(avif_with(*codes, kind=kind), "out.avif", "out.png") == [(), ()]
    assert codes_in("out.avif") == codes
    assert chunks_of("out.png")[b"cICP"] == bytes((*codes, 0, 1))
    assert (b"iCCP" in chunks_of("out.png")) == (codes[1] not in {16, 18})
    assert opened("out.avif").size == (2 * WIDTH, 2 * HEIGHT)
    assert np.array_equal(np.array(opened("out.avif")), np.array(Image.open(io.BytesIO(plain_of("out.avif")))))


def plain_of(path):
    """The same file with the codes of sRGB: its pixels must not depend on them."""
    return with_codes(Path(path).read_bytes(), 1, 13)


def test_colour_codes_of_a_png_are_written_to_avif():
    assert made(png_with((b"cICP", b"\x0c\x0d\0\1")), "out.avif") == [()]
    assert codes_in("out.avif") == (12, 13)


def test_wide_gamut_codes_become_a_profile_and_hdr_is_a_warning():
    assert made(avif_with(12, 13), "out.jpg", "out.tif", "out.webp") == [()] * 3
    assert opened("out.jpg").info["icc_profile"] == profile_of(ColourSpace(codes=(12, 13)), "rgb")
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        (warnings,) = made(avif_with(9, transfer), "out.jpg")
        assert f"JPEG cannot hold the colour space (BT.2020, {name})" in warnings[0]
        with pytest.raises(ImageError, match="refused by strict"):
            made(avif_with(9, transfer), "out.jpg", strict=True)


@pytest.mark.parametrize("codes", [(1, 13), (2, 2), (1, 2), (2, 13)])
def test_srgb_codes_need_neither_a_profile_nor_a_warning(codes):
    assert made(avif_with(*codes), "out.jpg", "out.png", "out.bmp") == [(), (), ()]
    assert "icc_profile" not in opened("out.jpg").info
    assert not {b"cICP", b"iCCP"} & chunks_of("out.png").keys()


def test_a_profile_in_an_avif_takes_precedence_over_codes():
    assert made(saved(Image.fromarray(RGB), "AVIF", icc_profile=ICC, speed=10), "out.avif", "out.jpg") == [(), ()]
    assert opened("out.jpg").info["icc_profile"] == ICC


def test_strip_keeps_the_colour_space():
    made(png_with((b"gAMA", GAMMA_1)), "out.png", metadata="strip")
    assert chunks_of("out.png")[b"gAMA"] == GAMMA_1


def test_linear_light_uses_the_colour_space():
    """For black and white, gamma 1 mixes the stored numbers; sRGB mixes light."""
    half = [np.repeat(np.array([0, 255], np.uint8), 3).tobytes()]
    for chunks, middle in ((((b"gAMA", GAMMA_1),), 64), ((), 137), (((b"cICP", b"\x01\x08\0\1"),), 64)):
        made(png_of_rows(2, 8, 2, half, *chunks), "out.png", linear_light=True)
        assert opened("out.png").getpixel((1, 0))[0] == middle
    with pytest.raises(ImageError, match=r"BT\.2020, PQ"):
        made(png_of_rows(2, 8, 2, half, (b"cICP", b"\x09\x10\0\1")), "out.png", linear_light=True)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize(
    ("space", "colour"), [(b"RGB ", "grey"), (b"GRAY", "rgb"), (b"CMYK", "rgb"), (b"RGB ", "cmyk")]
)
def test_a_profile_for_another_pixel_type_is_left_out_with_a_warning(name, space, colour):
    profile = ICC[:16] + space + ICC[20:]
    form = nearest_form(ImageInfo("jpeg", 3, 5, Layout(colour)), Metadata(icc_profile=profile), FORMATS[name])
    if form.layout.colour == colour:
        assert form.metadata.icc_profile is None
        assert "not one for" in lines(form.losses)[-1]
    right = {"grey": b"GRAY", "rgb": b"RGB ", "cmyk": b"CMYK"}[colour]
    profile = ICC[:16] + right + ICC[20:]
    kept = nearest_form(ImageInfo("jpeg", 3, 5, Layout(colour)), Metadata(icc_profile=profile), FORMATS[name])
    assert kept.layout.colour != colour or kept.metadata.icc_profile == profile


def test_non_square_pixels_are_kept_or_reported():
    data = png_with((b"pHYs", struct.pack(">IIB", 4, 3, 0)))
    warnings = made(data, "out.png", "out.bmp")
    assert chunks_of("out.png")[b"pHYs"] == struct.pack(">IIB", 4, 3, 0)
    assert [bool(line) for line in warnings] == [False, True]
    assert "proportion of its pixels" in warnings[1][0]
    assert probe(io.BytesIO(png_with((b"pHYs", struct.pack(">IIB", 3, 3, 0))))).losses == ()


def avif_with_property(kind, body):
    """An AVIF whose primary item has another property: pixi, renamed."""
    data = saved(Image.fromarray(RGB), "AVIF", speed=10)
    at = data.index(b"pixi") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    return data[:at] + (8 + len(body)).to_bytes(4, "big") + kind + body + free(size - 8 - len(body)) + data[at + size :]


def free(size_bytes):
    return b"" if not size_bytes else size_bytes.to_bytes(4, "big") + b"free" + bytes(size_bytes - 8)


def test_unknown_properties_and_chunks_are_reported():
    assert "(clli)" in lines(probe(io.BytesIO(avif_with_property(b"clli", bytes(8)))).losses)[0]
    assert read_header(io.BytesIO(avif_with_property(b"pasp", struct.pack(">II", 4, 3))))[1].aspect == (3, 4)
    webp = saved(Image.fromarray(RGB), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    assert probe(io.BytesIO(webp)).losses == ()
    webp += b"C2PA" + struct.pack("<I", 2) + b"xy"
    webp = webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:]
    assert "(C2PA)" in lines(probe(io.BytesIO(webp)).losses)[0]


def test_control_the_chunks_in_these_tests_are_valid():
    assert png_chunk(b"gAMA", GAMMA_1) in png_with((b"gAMA", GAMMA_1))


def test_data_in_a_gif_other_than_frames_is_reported():
    data = saved(Image.fromarray(RGB).quantize(16), "GIF")
    assert probe(io.BytesIO(data)).losses == ()
    at = 13 + (3 << (data[10] & 7) + 1)
    extended = data[:at] + b"\x21\xff\x0bXMP DataXMP\x03<x>\0" + b"\x21\x01\x0c" + bytes(12) + b"\0" + data[at:]
    assert "(XMP Data, plain text)" in lines(probe(io.BytesIO(extended)).losses)[0]
    wide = data[:12] + bytes([113]) + data[13:]  # twice as wide as high: (113 + 15) / 64
    assert read_header(io.BytesIO(wide))[1].aspect == (64, 128)


def test_info_names_the_colour_space():
    about = about_image(io.BytesIO(avif_with(9, 16)), factor=2, max_pixels=10**6)
    assert about.colour_space == "BT.2020, PQ"
    assert about_image(io.BytesIO(avif_with(1, 13)), factor=2, max_pixels=10**6).colour_space is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"Exif", b"abcd", "items that we do not keep are left out (abcd)"),
        (b"Exif", b"tmap", "the gain map"),
        (b"auxiliary:alpha", b"auxiliary:depth", "auxiliary images"),
        (b"rdf+xml", b"rdf+xyz", "(application/rdf+xyz)"),
        (b"Exif", b"Exif", ""),
    ],
)
def test_avif_items_that_are_not_kept_are_reported(old, new, message):
    image = Image.fromarray(RGB)
    image.putalpha(Image.fromarray(RGB[..., 0]))
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    data = saved(image, "AVIF", speed=10, exif=exif, xmp=b"<x/>")
    changed = read_header(io.BytesIO(data.replace(old, new, 1)))[0].losses
    assert (message in " ".join(lines(changed))) if message else not changed


@pytest.mark.parametrize("colour", [
    ColourSpace(codes=(1, 13), is_limited=True),
    ColourSpace(gamma=1),
    ColourSpace(gamma=2**31),
    ColourSpace(chromaticities=(31270, 32900, 10000, 10000, 20000, 20000, 30000, 30000)),  # primaries on a line
    ColourSpace(chromaticities=(17612, 74607, 8272, 33433, 15456, 64938, 99741, 58916)),  # white outside of them
    ColourSpace(chromaticities=(56724, 79619, 99914, 277, 91205, 58378, 34909, 94574)),  # white that no eye sees
], ids=str)  # fmt: skip
@pytest.mark.parametrize("model", ["rgb", "grey"])
def test_colours_that_no_profile_can_describe_have_none(colour, model):
    assert profile_of(colour, model) is None
    assert profile_of(ColourSpace(chromaticities=struct.unpack(">8I", P3_CHROMATICITIES)), model) is not None
