"""The size that a factor, a size, a side or a box gives: the arithmetic, the files of the command, and refusals."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.running import upsample

from upsample_cli import upsample_file
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.geometry.output_size import OutputSize, parsed_factor, parsed_size
from upsample_cli.images.open import open_image

pytestmark = pytest.mark.usefixtures("in_tmp_path")

SIDES = st.integers(1, 3000)


def save(name, size=(17, 11), mode="RGB", **settings):
    """Save noise with a size of (width, height)."""
    width, height = size
    channels = len(mode)
    shape = (height, width, channels) if channels > 1 else (height, width)
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(name, **settings)


@given(SIDES, SIDES, SIDES, SIDES)
@settings(deadline=None, max_examples=200)
def test_fit_touches_one_side_of_the_box_and_stays_inside_it(height, width, box_height, box_width):
    made = OutputSize(fit=(box_height, box_width)).of(height, width)
    assert made[0] <= box_height
    assert made[1] <= box_width
    # one side equals the box's; the other follows the proportion, rounded half up, and is at least one pixel
    if box_height * width <= box_width * height:
        assert made == (box_height, max(1, (2 * width * box_height + height) // (2 * height)))
    else:
        assert made == (max(1, (2 * height * box_width + width) // (2 * width)), box_width)


@given(SIDES, SIDES, SIDES)
@settings(deadline=None, max_examples=100)
def test_the_other_side_follows_the_proportion_rounded_half_up(height, width, wanted):
    made = OutputSize(width=wanted).of(height, width)
    assert made == (max(1, (2 * height * wanted + width) // (2 * width)), wanted)
    assert OutputSize(height=wanted).of(width, height) == made[::-1]


@given(SIDES, SIDES, st.fractions(1, 64, max_denominator=999))
@settings(deadline=None, max_examples=100)
def test_the_whole_factor_is_the_smallest_that_reaches_the_wanted_size(height, width, factor):
    target = OutputSize(factor=int(factor) if factor.denominator == 1 else factor)
    made, whole = target.of(height, width), target.whole_factor(height, width)
    assert all(length * whole - side >= 0 for length, side in zip((height, width), made, strict=True))
    assert factor <= whole < factor + 1
    size = OutputSize(size=made)
    assert size.whole_factor(height, width) == max(-(-made[0] // height), -(-made[1] // width))


def test_sizes_that_are_easy_to_check_by_hand():
    assert OutputSize(factor=Fraction(3, 2)).of(3, 5) == (5, 8)  # 4.5 and 7.5, half up
    assert OutputSize(fit=(2160, 3840)).of(4000, 6000) == (2160, 3240)  # a photograph on a screen: the height limits
    assert OutputSize(fit=(2160, 3840)).of(1000, 4000) == (960, 3840)
    assert OutputSize(width=10).of(1, 1000) == (1, 10)  # a hundredth of a pixel becomes one pixel
    assert OutputSize(size=(7, 9)).of(100, 1) == (7, 9)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "nothing says how large"),
        ({"factor": 2, "width": 9}, "factor and width both say how large; give one of them"),
        ({"size": (1, 2), "fit": (1, 2), "height": 3}, "size and height and fit"),
        ({"width": 0}, "0 is not a valid width; give whole pixels, 1 or more"),
        ({"fit": (5, -1)}, "height first"),
        ({"size": "3840x2160"}, "'3840x2160' is not a valid size"),
        ({"size": (1, 2, 3)}, "is not a valid size"),
        (
            {"factor": Fraction(1, 2)},
            "factor 0.5 would make the image smaller; to reduce images, give size, width, height or fit$",
        ),
        ({"factor": Fraction(129, 2)}, "factor 64.5 is too large; give a factor from 1 to 64$"),
        ({"factor": 65}, "factor 65 is too large; give a factor from 1 to 64$"),
        ({"factor": 0}, r"factor 0 is not a number from 1 to 64; give factor=2, factor=1\.5 or factor=4/3$"),
        ({"factor": 1.5}, "factor 1.5 is not"),
    ],
)
def test_an_invalid_target_size_is_refused(given_, message):
    with pytest.raises(UsageError, match=message):
        OutputSize(**given_)


@pytest.mark.parametrize("text", ["", "x", "1e3", "-2", "nan", "3/0", "1/00", "1,5", "2x", "1.2.3", "9" * 30])
def test_an_invalid_factor_is_refused(text):
    with pytest.raises(UsageError, match=r"is not a number from 1 to 64; give factor=2, factor=1\.5 or factor=4/3"):
        parsed_factor(text)


@pytest.mark.parametrize("text", ["", "3840", "3840x", "x2160", "3840x2160x3", "-3x4", "3.5x4", "4k", "0x5", "5x00"])
def test_an_invalid_size_is_refused_with_the_order_of_the_sides(text):
    with pytest.raises(UsageError, match="--fit 3840x2160: width, then height, in pixels"):
        parsed_size(text, "--fit")


def test_whole_factors_in_other_notations_are_equal():
    assert Options("2.0") == Options(2.0) == Options("6/3") == Options() == Options(None)
    assert Options(1.15).factor == Fraction(23, 20)  # the decimal as written, not the nearest binary fraction


@pytest.mark.parametrize(("name", "value"), [("size", (4, 5)), ("fit", (4, 5)), ("width", 4), ("height", 4)])
def test_options_with_a_factor_and_a_size_are_refused(name, value):
    with pytest.raises(UsageError, match=f"factor and {name} both say how large"):
        Options(factor=3, **{name: value})


def test_an_unknown_kernel_is_refused_with_a_size_too():
    with pytest.raises(UsageError, match="there is no kernel named 'cubic'"):
        Options(kernel="cubic", width=5)


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        ({"factor": "3/2"}, "a_x1.5.png", (26, 17)),
        ({"factor": "4/3"}, "a_x4-3.png", (23, 15)),
        ({"size": (30, 20)}, "a_20x30.png", (20, 30)),
        ({"width": 40}, "a_40x26.png", (40, 26)),
        ({"height": 5}, "a_8x5.png", (8, 5)),
        ({"fit": (100, 34)}, "a_34x22.png", (34, 22)),
        ({"fit": (22, 34), "name": "{factor}-{width}"}, "2-34.png", (34, 22)),
        ({"factor": 1.5, "name": "{factor}"}, "1.5.png", (26, 17)),
    ],
)
def test_the_file_has_the_requested_size_in_its_header_and_name(options, name, size):
    save("a.png")
    result = upsample_file("a.png", **options)
    with Image.open(name) as image:
        assert image.size == size
    assert (str(result.output), result.output_width, result.output_height) == (name, *size)


@pytest.mark.parametrize("options", [{"size": (22, 34)}, {"width": 34}, {"fit": (22, 99)}, {"factor": "4/2"}])
def test_a_size_equal_to_a_whole_factor_gives_the_same_bytes_as_the_factor(options):
    save("a.png")
    upsample_file("a.png", "whole.png", 2)
    upsample_file("a.png", "size.png", **options)
    assert Path("size.png").read_bytes() == Path("whole.png").read_bytes()


def test_the_size_of_the_input_copies_its_pixels_with_any_kernel():
    save("a.png")
    upsample_file("a.png", "same.png", width=17, kernel="gaussian")  # which would blur at factor 1
    with Image.open("a.png") as before, Image.open("same.png") as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))


def test_stretching_is_a_warning_that_strict_refuses_and_rounding_is_not():
    save("a.png")
    (warning,) = upsample_file("a.png", "b.png", size=(40, 40)).warnings
    assert warning == "17x11 pixels are stretched to 40x40 (fit keeps the proportion)"
    assert upsample_file("a.png", "c.png", size=(13, 20)).warnings == ()  # the exact height would be 12.94 rows
    with pytest.raises(ImageError, match="refused by strict: 17x11 pixels are stretched"):
        upsample_file("a.png", "d.png", size=(40, 40), strict=True)


def test_more_than_64_times_is_one_line():
    save("a.png")
    with pytest.raises(ImageError, match=r"a\.png: 1700x1100 is 100 times its size; ask for 64 times at the most"):
        upsample_file("a.png", width=1700)


def test_exif_has_the_new_size_and_keeps_the_resolution():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: 11 wide and 17 high upright
    exif.get_ifd(0x8769).update({0xA002: 17, 0xA003: 11})
    save("a.jpg", exif=exif.tobytes(), dpi=(300, 300))
    upsample_file("a.jpg", "b.jpg", factor=1.5)
    with Image.open("b.jpg") as image:
        found = image.getexif()
        assert image.size == (17, 26)
        assert (found.get_ifd(0x8769)[0xA002], found.get_ifd(0x8769)[0xA003], found.get(0x0112, 1)) == (17, 26, 1)
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize("format_", ["gif", "webp", "png"])
def test_frames_of_an_animation_all_have_the_size(format_):
    frames = [Image.new("RGB", (17, 11), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save("a.png", save_all=True, append_images=frames[1:], duration=100)
    upsample_file("a.png", f"b.{format_}", factor=1.5)
    with Image.open(f"b.{format_}") as image:
        assert image.n_frames == 3
        for index, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
            image.seek(index)
            assert image.size == (26, 17)
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert abs(shown - colour).max() <= 4  # WebP's own loss; flat frames stay flat


def test_each_page_keeps_its_own_proportion():
    pages = [Image.new("L", size, 90) for size in ((17, 11), (5, 20), (300, 300))]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:])
    upsample_file("a.tif", "b.tif", fit=(40, 40))
    sizes = []
    for page in (1, 2, 3):
        with open_image(Path("b.tif"), frame=page) as source:
            sizes.append((source.info.width, source.info.height))
    assert sizes == [(40, 26), (10, 40), (40, 40)]


def test_format_limits_apply_to_the_written_size():
    save("a.png", (300, 2))
    with pytest.raises(ImageError, match="WebP holds at most 16383 pixels a side, not 16384×2"):
        upsample_file("a.png", "b.webp", size=(2, 16384))
    assert upsample_file("a.png", "b.webp", size=(2, 16383)).output_width == 16383  # enlarged to 16500 on the way


def test_a_folder_is_mirrored_next_to_itself_and_the_report_has_the_sizes():
    save("shots/a.png")
    save("shots/deep/b.png", (5, 20))
    ended = upsample("shots", "-r", "--fit", "34x40", "--json")
    document = json.loads(ended.out)
    found = {
        file["output"].replace("\\", "/"): (file["output_width"], file["output_height"]) for file in document["files"]
    }
    assert found == {"shots_34x40/a_34x22.png": (34, 22), "shots_34x40/deep/b_10x40.png": (10, 40)}
    assert document["factor"] is None
    for name, size in found.items():
        with Image.open(name) as image:
            assert image.size == size
    planned = json.loads(upsample("shots", "-f", "1.5", "-n", "--json").out)
    assert planned["factor"] == 1.5
    assert planned["files"][0]["output"] == str(Path("shots_x1.5/a_x1.5.png"))


def test_two_size_options_are_a_usage_error():
    save("a.png")
    ended = upsample("a.png", "--size", "9x9", "--factor", "2")
    assert (ended.status, ended.out) == (2, "")
    assert "--factor and --size both say how large" in ended.err


def test_linear_light_applies_to_the_reduction_too():
    """Half black and half white: half the light is level 188 (sRGB), half the number 128; the ripple is less than 1."""
    stripes = np.tile(np.array([0, 255], np.uint8), (40, 20))
    Image.fromarray(stripes).save("a.png")
    for linear_light, level in ((True, 188), (False, 128)):
        upsample_file("a.png", "b.png", width=20, linear_light=linear_light, overwrite=True)
        with Image.open("b.png") as image:
            inner = np.asarray(image).astype(int)[5:-5, 5:-5]
        assert abs(inner - level).max() <= 1


def test_8_bits_that_become_16_gain_levels_from_the_reduction():
    save("a.png", mode="L")
    upsample_file("a.png", "b.png", factor=1.5, depth="16")
    with Image.open("b.png") as image:
        deep = np.asarray(image).astype(int)
    assert (deep % 257 != 0).mean() > 0.9  # otherwise they would be the 256 original levels
    upsample_file("a.png", "c.png", factor=1.5)
    with Image.open("c.png") as image:
        # rounding to 16 bits and then to 8, compared with rounding to 8: at most half a level
        assert abs(deep / 257 - np.asarray(image)).max() <= 0.5 + 1 / 257
