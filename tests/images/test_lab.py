"""Lab images stay Lab in TIFF, exactly, and become sRGB by the formulas elsewhere; a* and b* are signed."""

import io
import shutil
import subprocess

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.color import lab2xyz
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import pixels_of

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.metadata.reading import Metadata
from upsample_cli.images.model import ImageInfo, Layout
from upsample_cli.images.open import open_image
from upsample_cli.images.output_form import nearest_form

KINDS = [(colour, depth) for colour in ("cielab", "icclab") for depth in (8, 16)]
SIGNED = {8: np.int8, 16: np.int16}


def stored(lab, colour, depth):
    """L* 0 to 100, a*, b* in a file's encoding, written here from TIFF 6.0 and technical note 4."""
    lightest = 65280 if (colour, depth) == ("icclab", 16) else 2**depth - 1
    unit = 1 if depth == 8 else 256
    numbers = np.rint(lab * (lightest / 100, unit, unit)).astype(np.int64)
    if colour == "icclab":
        numbers[..., 1:] += 128 * unit
    return (numbers % 2**depth).astype(f"u{depth // 8}")


def lab_of(file_numbers, colour, depth):
    """L*, a*, b* from what tifffile reads: the inverse of `stored`."""
    lightest = 65280 if (colour, depth) == ("icclab", 16) else 2**depth - 1
    unit = 1 if depth == 8 else 256
    chroma = file_numbers[..., 1:]
    signed = chroma.view(SIGNED[depth]) if colour == "cielab" else chroma.astype(np.int64) - 128 * unit
    return np.concatenate([file_numbers[..., :1] * (100 / lightest), signed / unit], axis=2)


def write(path, numbers, colour, **settings):
    tifffile.imwrite(path, numbers, photometric=colour, metadata=None, **settings)


def srgb_of_lab(lab):
    """sRGB, 0 to 1: scikit-image's conversion to XYZ with D50, Bradford's adaptation, and IEC 61966-2-1."""
    xyz = lab2xyz(lab, illuminant="D50")
    matrix = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                       [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip
    light = np.clip(xyz @ matrix.T, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def some_lab(height=11, width=17):
    """Colours with positive and negative chroma, most of them within sRGB."""
    random = np.random.default_rng(11)
    return random.uniform((20, -25, -25), (85, 25, 25), (height, width, 3))


@pytest.mark.parametrize(("colour", "depth"), KINDS)
@pytest.mark.parametrize("settings", [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)},
                                      {"planarconfig": "separate"}], ids=str)  # fmt: skip
def test_lab_stays_lab_with_signed_chroma(colour, depth, settings, tmp_path):
    """The oracle interpolates numbers that increase with a*; signed numbers read as unsigned do not."""
    offset = hostile_pixels((11, 17, 3), np.dtype(f"u{depth // 8}"))
    flip = np.array([0, 1, 1], offset.dtype) << (depth - 1) if colour == "cielab" else np.zeros(3, offset.dtype)
    numbers = offset ^ flip.astype(offset.dtype)
    planes = np.moveaxis(numbers, 2, 0) if "planarconfig" in settings else numbers
    write(tmp_path / "a.tif", np.ascontiguousarray(planes), colour, **settings)
    assert upsample_file(tmp_path / "a.tif", tmp_path / "b.tif").warnings == ()
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].photometric.name == colour.upper()
        found = tiff.pages[0].asarray()
    assert_same_pixels(found ^ flip.astype(found.dtype), expected_pixels(offset, 2))
    if colour == "cielab":
        assert not np.array_equal(found, expected_pixels(numbers, 2))  # the control


def test_a_little_red_and_a_little_green_mix_to_grey(tmp_path):
    """a* of 4 and -4 (stored as 252): between them are 2 and -2, not 66 and 190."""
    row = np.array([[[128, 4, 0], [128, 252, 0]]], np.uint8)
    write(tmp_path / "a.tif", row, "cielab")
    upsample_file(tmp_path / "a.tif", tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif").view(np.int8)[0, :, 1]
    assert found.tolist() == [4, 2, -2, -4]


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_lab_becomes_the_srgb_of_the_formulas(colour, depth, tmp_path):
    numbers = stored(some_lab(), colour, depth)
    write(tmp_path / "a.tif", numbers, colour)
    result = upsample_file(tmp_path / "a.tif", tmp_path / "b.png", 1)
    assert result.warnings == (
        "PNG cannot hold Lab colours; they become sRGB, and those beyond it its nearest (TIFF can)",
    )
    with open_image(tmp_path / "b.png") as source:
        found = source.read_rows(0, 11)
    assert found.dtype == f"u{depth // 8}"
    wanted = srgb_of_lab(lab_of(numbers, colour, depth)) * (2**depth - 1)
    # LittleCMS rounds to levels, and its D50 differs from CIE's in the fourth digit: a quarter of an 8-bit level.
    assert np.abs(found - wanted).max() < (0.75 if depth == 8 else 100)
    turned = srgb_of_lab(lab_of(numbers, colour, depth) * (1, -1, -1)) * (2**depth - 1)
    assert np.abs(found - turned).max() > 20  # the control


@pytest.mark.parametrize("colour", ["cielab", "icclab"])
def test_white_and_black_are_exact(colour):
    lab = np.array([[[100, 0, 0], [0, 0, 0]]])
    for depth in (8, 16):
        file = io.BytesIO()
        write(file, stored(lab, colour, depth), colour)
        with open_image(file) as source:
            rows = convert_rows(source.read_rows(0, 1), source.info.layout, Layout("rgb", depth=depth))
        assert rows.tolist() == [[[2**depth - 1] * 3, [0] * 3]]


@pytest.mark.parametrize("colour", ["cielab", "icclab"])
def test_a_change_of_depth_keeps_the_colours(colour, tmp_path):
    lab = some_lab()
    write(tmp_path / "8.tif", stored(lab, colour, 8), colour)
    write(tmp_path / "16.tif", stored(lab, colour, 16), colour)
    upsample_file(tmp_path / "8.tif", tmp_path / "to16.tif", 1, depth="16")
    upsample_file(tmp_path / "16.tif", tmp_path / "to8.tif", 1, depth="8")
    gained, lost = tifffile.imread(tmp_path / "to16.tif"), tifffile.imread(tmp_path / "to8.tif")
    np.testing.assert_allclose(
        lab_of(gained, colour, 16), lab_of(tifffile.imread(tmp_path / "8.tif"), colour, 8), atol=1e-9
    )
    assert np.abs(lab_of(lost, colour, 8) - lab).max() <= 0.51  # half a unit, and half of a 256th before it


@pytest.mark.parametrize("colour", ["cielab", "icclab"])
@pytest.mark.parametrize("depth", [8, 16])
def test_transparency_is_kept_or_blended_with_white(colour, depth, tmp_path):
    numbers = np.concatenate([stored(some_lab(), colour, depth), np.zeros((11, 17, 1), f"u{depth // 8}")], axis=2)
    write(tmp_path / "a.tif", numbers, colour, extrasamples=["unassalpha"])
    assert upsample_file(tmp_path / "a.tif", tmp_path / "b.tif", alpha="straight").warnings == ()
    assert tifffile.imread(tmp_path / "b.tif").shape == (22, 34, 4)
    with open_image(tmp_path / "a.tif") as source:
        layout = source.info.layout
        assert layout == Layout(colour, alpha=True, depth=depth)
        white = convert_rows(source.read_rows(0, 11), layout, Layout("rgb", depth=depth))
    assert (white == 2**depth - 1).all()


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="ExifTool is the second reader: libimage-exiftool-perl")
def test_other_readers_agree_about_the_file(tmp_path):
    """Pillow gives the stored bytes, whose chroma is signed; exiftool names the encodings."""
    for colour, name in (("cielab", "CIELab"), ("icclab", "ICCLab")):
        write(tmp_path / "a.tif", stored(some_lab(), colour, 8), colour)
        upsample_file(tmp_path / "a.tif", tmp_path / f"{colour}.tif")
        command = ["exiftool", "-s3", "-PhotometricInterpretation", str(tmp_path / f"{colour}.tif")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == name
    seen = pixels_of(tmp_path / "cielab.tif")
    with Image.open(tmp_path / "cielab.tif") as image:
        assert image.mode == "LAB"
    with open_image(tmp_path / "cielab.tif") as source:
        assert_same_pixels(seen ^ np.array([0, 128, 128], np.uint8), source.read_rows(0, 22))


def test_unsupported_kinds_of_lab_are_refused_in_one_line(tmp_path):
    lab = np.concatenate([stored(some_lab(), "cielab", 8), np.full((11, 17, 1), 9, np.uint8)], axis=2)
    write(tmp_path / "associated.tif", lab, "cielab", extrasamples=["assocalpha"])
    write(tmp_path / "float.tif", some_lab().astype(np.float32), "cielab")
    for name in ("associated", "float"):
        with pytest.raises(ImageError, match=r"not supported|make no sense"):
            open_image(tmp_path / f"{name}.tif")
    write(tmp_path / "a.tif", lab[..., :3], "cielab")
    with pytest.raises(ImageError, match="Lab colours, which have no linear light"):
        upsample_file(tmp_path / "a.tif", tmp_path / "b.tif", linear_light=True)


def test_a_profile_with_lab_is_kept_in_tiff_and_dropped_elsewhere():
    info, profile = ImageInfo("tiff", 3, 5, Layout("icclab")), Metadata(icc_profile=b"p" * 200)
    assert nearest_form(info, profile, FORMATS["tiff"]).metadata == profile
    form = nearest_form(info, profile, FORMATS["png"])
    assert (form.metadata.icc_profile, len(form.losses)) == (None, 1)
