"""CMYK becomes RGB through its profile, checked with a profile built here with known corners."""

import struct

import numpy as np
import pytest
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import pixels_of

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.color.profiles import srgb_of_profile
from upsample_cli.images.model import Layout

# Paper is white, and each ink alone has an unusual Lab colour: cyan ink is brown, for example.
WHITE, BLACK = (100, 0, 0), (0, 0, 0)
INKS = {(1, 0, 0, 0): (40, 20, 30), (0, 1, 0, 0): (60, -30, 20), (0, 0, 1, 0): (50, 10, -40)}


def ink_profile():
    """A CMYK output profile with two steps per ink (ICC.1:2022, lut8Type). Corners that are not in INKS are black."""
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\2\x20\0\0", b"prtrCMYKLab ", b"acsp"
    head[68:80] = struct.pack(">3I", 63190, 65536, 54061)  # the illuminant, D50
    corners = b""
    for corner in np.ndindex(2, 2, 2, 2):
        lightness, a, b = WHITE if not any(corner) else INKS.get(corner, BLACK)
        corners += bytes([round(lightness * 255 / 100), a + 128, b + 128])
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0\4\3\2\0" + matrix + ramp * 4 + corners + ramp * 3
    desc = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": desc, b"A2B0": lut, b"A2B1": lut, b"wtpt": white, b"cprt": b"text\0\0\0\0none\0"}
    at = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        padded = body.ljust(-(-len(body) // 4) * 4, b"\0")
        table += struct.pack(">4sII", name, at + len(data), len(body))
        data += padded
    head[0:4] = struct.pack(">I", at + len(data))
    return bytes(head) + table + data


PROFILE = ink_profile()


def srgb_of_lab(lightness, a, b):
    """CIE Lab (D50) as sRGB by the formulas: CIE 15 and, adapted by Bradford, IEC 61966-2-1."""
    f = (lightness + 16) / 116
    steps = np.array([f + a / 500, f, f - b / 200])
    xyz = np.where(steps > 6 / 29, steps**3, 3 * (6 / 29) ** 2 * (steps - 4 / 29)) * [0.9642, 1, 0.8249]
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    light = np.clip(matrix @ xyz, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("corner", [(0, 0, 0, 0), *INKS, (0, 0, 0, 1)])
@pytest.mark.parametrize("depth", [8, 16])
def test_inks_have_the_colours_of_their_profile(corner, depth):
    layout = Layout("cmyk", depth=depth)
    rows = np.full((3, 5, 4), 2**depth - 1, layout.dtype) * np.array(corner, layout.dtype)
    made = convert_rows(rows, layout, Layout("rgb", depth=depth), PROFILE)
    wanted = srgb_of_lab(*(WHITE if not any(corner) else INKS.get(corner, BLACK)))
    full = (2**depth - 1) / 255
    # 8-bit Lab is off by up to half a unit, and a unit of a or b is about two levels; black point compensation adds.
    assert np.abs(made[0, 0] / full - wanted).max() < 4
    naive = convert_rows(rows, layout, Layout("rgb", depth=depth))
    assert (np.abs(naive[0, 0] / full - wanted).max() > 40) == (corner in INKS)  # the control
    assert made.dtype == layout.dtype


def test_16_bit_inks_keep_16_bits_through_the_profile():
    """A ramp within a hundredth of cyan: each step is smaller than an 8-bit step, and every step is present."""
    rows = np.zeros((1, 600, 4), np.uint16)
    rows[0, :, 0] = np.arange(600) + 30_000
    red = convert_rows(rows, Layout("cmyk", depth=16), Layout("rgb", depth=16), PROFILE)[0, :, 0].astype(int)
    steps = np.diff(red)
    assert (steps <= 0).all()  # more ink, less light
    # From white's 255 to 133 in 65535 steps of ink, at most twice as steep: no step exceeds 1 plus rounding.
    assert -steps.min() <= 2
    assert len(np.unique(red)) > 250
    in_eight = convert_rows((rows >> 8).astype(np.uint8), Layout("cmyk"), Layout("rgb"), PROFILE)
    assert len(np.unique(in_eight[..., 0])) < 5  # the control: what 8 bits would leave


@pytest.mark.parametrize("damage", [b"", b"rubbish", PROFILE[:200], PROFILE[:16] + b"RGB " + PROFILE[20:]])
def test_an_unusable_profile_is_ignored(damage):
    assert srgb_of_profile(damage) is None
    rows = np.array([[[9, 99, 200, 3]]], np.uint8)
    made = convert_rows(rows, Layout("cmyk"), Layout("rgb"), damage)
    assert_same_pixels(made, convert_rows(rows, Layout("cmyk"), Layout("rgb")))


def save_inks(path, profile):
    pixels = hostile_pixels((11, 17, 4), np.uint8)
    Image.frombytes("CMYK", (17, 11), pixels.tobytes()).save(path, icc_profile=profile)
    return pixels


def test_inks_and_profile_are_kept_if_the_format_supports_them(tmp_path):
    pixels = save_inks(tmp_path / "a.tif", PROFILE)
    result = upsample_file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert_same_pixels(pixels_of(tmp_path / "b.tif"), expected_pixels(pixels, 2))
    assert upsample_file(tmp_path / "a.tif", tmp_path / "b.jpg").warnings == result.warnings == ()
    for name in ("b.tif", "b.jpg"):
        with Image.open(tmp_path / name) as image:
            assert (image.mode, image.info["icc_profile"]) == ("CMYK", PROFILE)


def test_other_formats_convert_inks_and_the_warning_says_how(tmp_path):
    pixels = save_inks(tmp_path / "a.tif", PROFILE)
    result = upsample_file(tmp_path / "a.tif", tmp_path / "b.png")
    assert result.warnings == (
        "PNG cannot hold CMYK; it becomes RGB through its colour profile (ICC) (JPEG and TIFF can)",
    )
    with Image.open(tmp_path / "b.png") as image:
        assert "icc_profile" not in image.info  # it is sRGB now
    through = convert_rows(expected_pixels(pixels, 2), Layout("cmyk"), Layout("rgb"), PROFILE)
    assert_same_pixels(pixels_of(tmp_path / "b.png"), through)
    save_inks(tmp_path / "c.tif", None)
    assert "by rule of thumb, without a profile" in upsample_file(tmp_path / "c.tif", tmp_path / "d.png").warnings[0]
    assert not np.array_equal(pixels_of(tmp_path / "d.png"), through)  # the control


def test_a_damaged_profile_is_a_warning(tmp_path):
    save_inks(tmp_path / "a.tif", PROFILE[:200])
    warnings = upsample_file(tmp_path / "a.tif", tmp_path / "b.png").warnings
    assert warnings[0] == "the colour profile (ICC) is damaged or not one for CMYK and is left out"
    assert "by rule of thumb" in warnings[1]


@pytest.mark.parametrize("target", ["b.png", "b.jpg"])
def test_a_jpeg_with_inverted_inks_is_not_a_negative(tmp_path, target):
    """Adobe stores inverted CMYK and says so in APP14, and so does Pillow. The absence of ink must be white."""
    Image.new("CMYK", (16, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()[:60]
    upsample_file(tmp_path / "a.jpg", tmp_path / target)
    assert (pixels_of(tmp_path / target, "RGB") >= 254).all()
