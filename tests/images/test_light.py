"""Linear light: every level is restored with any curve; pixels are mixed as light; tiles and alpha do not matter."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support.oracles import assert_same_pixels, hostile_pixels
from support.running import pixels_of, upsample

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.color.light import light_of
from upsample_cli.images.model import Layout


def profile(space=b"RGB ", **tags):
    """An ICC profile with only curves: enough for the reader under test, and built independently of it."""
    head = bytearray(128)
    head[16:20], head[36:40] = space, b"acsp"
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name.encode(), at + len(data), len(body))
        data += body.ljust(-(-len(body) // 4) * 4, b"\0")
    return bytes(head) + table + data


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def parametric(kind, *numbers):
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(number * 65536) for number in numbers))


def rgb_profile(tag):
    return profile(rTRC=tag, gTRC=tag, bTRC=tag)


SRGB_NUMBERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TABLE = b"curv\0\0\0\0" + struct.pack(">I", 256) + b"".join(
    struct.pack(">H", round(65535 * (index / 255) ** 1.8)) for index in range(256)
)  # fmt: skip
PROFILES = {
    "none": None,
    "Pillow's sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "identity": rgb_profile(b"curv" + bytes(8)),
    "gamma 2.2": rgb_profile(gamma(2.19921875)),
    "gamma 2.6": rgb_profile(gamma(2.6)),
    "table": rgb_profile(TABLE),
    "para 0": rgb_profile(parametric(0, 1.8)),
    "para 1": rgb_profile(parametric(1, 2.2, 0.9, 0.1)),
    "para 3": rgb_profile(parametric(3, *SRGB_NUMBERS)),
    "para 4": rgb_profile(parametric(4, *SRGB_NUMBERS, 0, 0)),
    "grey": profile(b"GRAY", kTRC=gamma(2.2)),
}


@pytest.mark.parametrize("name", PROFILES)
def test_every_8_bit_level_is_restored(name):
    layout = Layout("rgb")
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    light = light_of("a.png", layout, PROFILES[name])
    assert_same_pixels(light.levels(light.linear(levels)), levels)


def test_8_bit_linear_light_would_lose_levels():
    """The control of the test above: light in 255 steps, as in a naive conversion."""
    levels = np.arange(256) / 255
    coarse = np.rint(255 * np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4))
    assert len(np.unique(coarse)) < 200


def test_every_16_bit_level_is_restored():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for icc in (None, PROFILES["grey"], PROFILES["gamma 2.2"]):
        light = light_of("a.png", Layout("grey", depth=16), icc)
        back = light.levels(light.linear(levels))
        # A pure power is flat at black: level 64 of 65535 is 2**-22 of the light, so the darkest levels are equal.
        dark = 0 if icc is None else 64
        assert_same_pixels(back.ravel()[dark:], levels.ravel()[dark:])


@pytest.mark.parametrize("kind", ["RGB", "L", "RGBA"])
def test_a_flat_image_of_any_level_stays_flat(kind, tmp_path):
    """All 256 levels in one image, each in a patch so large that its middle depends only on itself."""
    patch = 3
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(patch, 0).repeat(patch, 1)
    image = Image.fromarray(levels).convert(kind)
    if kind == "RGBA":
        image.putalpha(Image.fromarray(255 - levels // 2))
    image.save(tmp_path / "a.png")
    upsample_file(tmp_path / "a.png", tmp_path / "b.png", 3, linear_light=True)
    middle = pixels_of(tmp_path / "b.png")[4::9, 4::9]
    assert_same_pixels(middle, pixels_of(tmp_path / "a.png")[1::patch, 1::patch])


def expected_light(pixels, factor):
    """sRGB decoded, mixed and encoded in float64, pixel by pixel, with independent formulas."""
    value = pixels / np.iinfo(pixels.dtype).max
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    for axis in (0, 1):
        length = light.shape[axis]
        place = (np.arange(length * factor) + 0.5) / factor - 0.5
        left = np.floor(place).astype(int)
        weight = np.expand_dims(place - left, tuple({0, 1, 2} - {axis}))
        near, far = (np.take(light, np.clip(each, 0, length - 1), axis) for each in (left, left + 1))
        light = near * (1 - weight) + far * weight
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(encoded * np.iinfo(pixels.dtype).max).astype(pixels.dtype)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_mixed_as_light(tmp_path, dtype, factor):
    pixels = hostile_pixels((17, 11, 1), dtype)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    upsample_file(tmp_path / "a.png", tmp_path / "b.png", factor, linear_light=True)
    found = pixels_of(tmp_path / "b.png").astype(int)
    error = np.abs(found - expected_light(pixels, factor).astype(int))
    assert error.max() <= 1  # the boundary between two levels is midway between the levels, not between their light
    upsample_file(tmp_path / "a.png", tmp_path / "c.png", factor)
    plain = np.abs(found - pixels_of(tmp_path / "c.png").astype(int))
    # The control: without the option, black and white mix to a darker grey.
    assert plain.max() > 20 * np.iinfo(dtype).max / 255


def test_half_the_light_is_level_188():
    """A well-known value of sRGB: 0.5 in light is 187.5 in levels. It is the middle pixel between black and white."""
    light = light_of("a.png", Layout("grey"), None)
    middle = light.linear(np.array([[[0], [255]]], np.uint8)).mean(axis=1, keepdims=True)
    assert light.levels(middle).item() == 188


@settings(deadline=None, max_examples=15)
@given(tile=st.integers(1, 9), seed=st.integers(0, 99), kind=st.sampled_from(["RGB", "RGBA", "LA"]))
def test_tiles_do_not_change_pixels(tmp_path_factory, tile, seed, kind):
    folder = tmp_path_factory.mktemp("light")
    Image.frombytes(kind, (13, 9), hostile_pixels((9, 13, len(kind)), np.uint8, seed).tobytes()).save(folder / "a.png")
    upsample_file(folder / "a.png", folder / "b.png", 3, linear_light=True)
    upsample_file(folder / "a.png", folder / "c.png", 3, linear_light=True, tile=tile)
    assert_same_pixels(pixels_of(folder / "c.png"), pixels_of(folder / "b.png"))


def test_hidden_colour_does_not_bleed_in_linear_light(tmp_path):
    pixels = np.zeros((5, 7, 4), np.uint8)
    pixels[:] = (0, 255, 0, 0)
    pixels[:, 3:] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    upsample_file(tmp_path / "a.png", tmp_path / "b.png", linear_light=True)
    found = pixels_of(tmp_path / "b.png")
    assert (found[found[..., 3] > 0][:, :3] == (255, 0, 0)).all()
    upsample_file(tmp_path / "a.png", tmp_path / "c.png", linear_light=True, alpha="straight")
    straight = pixels_of(tmp_path / "c.png")
    assert (straight[straight[..., 3] > 0][:, 1] > 0).any()  # the control
    assert_same_pixels(found[..., 3], straight[..., 3])


def test_the_profile_defines_the_light(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGB").save(
        tmp_path / "a.png", icc_profile=PROFILES["identity"]
    )
    upsample_file(tmp_path / "a.png", tmp_path / "b.png", linear_light=True)
    upsample_file(tmp_path / "a.png", tmp_path / "c.png")
    assert_same_pixels(pixels_of(tmp_path / "b.png"), pixels_of(tmp_path / "c.png"))  # its numbers are already linear
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("RGB").save(tmp_path / "d.png")
    upsample_file(tmp_path / "d.png", tmp_path / "e.png", linear_light=True)
    assert pixels_of(tmp_path / "e.png")[0, 1, 0] > pixels_of(tmp_path / "b.png")[0, 1, 0] + 40


@pytest.mark.parametrize(
    ("layout", "icc", "message"),
    [
        (Layout("cmyk"), None, "inks"),
        (Layout("rgb", depth=32), None, "linear already"),
        (Layout("rgb"), profile(), "has no curves"),
        (Layout("rgb"), b"rubbish", r"of no use to linear_light \(it is damaged\)"),
        (Layout("rgb"), rgb_profile(b"mft2" + bytes(20)), "unknown kind"),
        (Layout("rgb"), rgb_profile(parametric(0, -1.0)), "do not rise"),
        (Layout("rgb"), rgb_profile(b"curv\0\0\0\0" + struct.pack(">I3H", 3, 9, 5, 1)), "do not rise"),
        (Layout("rgb"), rgb_profile(b"para\0\0\0\0\0\x09"), r"of no use to linear_light \(it is damaged\)"),
    ],
)
def test_images_without_linear_light_are_refused_in_one_line(layout, icc, message):
    with pytest.raises(ImageError, match=message) as refused:
        light_of("a.png", layout, icc)
    assert "leave out linear_light" in str(refused.value)


def test_linear_light_is_refused_before_any_work(tmp_path):
    Image.new("CMYK", (5, 3)).save(tmp_path / "a.jpg")
    ended = upsample(tmp_path / "a.jpg", "--linear-light", "--dry-run")
    assert ended.status == 1
    assert "holds inks (CMYK)" in ended.errors[0]
