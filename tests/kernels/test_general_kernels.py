"""Kernels that overshoot, smooth, mix channels or come from a network: compared with the oracle, with any tiles."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.oracles import CUBICS, assert_same_pixels, exact_weights, expected_pixels, hostile_pixels, weighted_pixels
from support.whole_weights import fitted_expectation, oracle_weights

from upsample_cli import upsample, upsample_file
from upsample_cli.engine.exact import Arithmetic, exact_form
from upsample_cli.engine.routes import select
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.kernels.of_weights import kernel_of_weights
from upsample_cli.kernels.profiles import PROFILES

GENERAL = [name for name in PROFILES if name not in {"bilinear", "nearest"}]
PIXEL_TYPES = [np.uint8, np.uint16]
UINT8 = np.dtype(np.uint8)


# -- golden pixels ----------------------------------------------------------------------------------------------------


def test_golden_catmull_rom():
    # Weights at a quarter: -9, 111, 29, -3 over 128. Between 0 and 100: 29 - 3 = 26 of 128 -> 20.3; the other way
    # 111 - 9 = 102 of 128 -> 79.7. One sample further: 100 + 9/128*100 -> 107.03; -0.07 of 100 is clipped to zero.
    found = upsample(np.array([[0, 0, 100, 100]], np.uint8), 2, kernel="bicubic")[0].tolist()
    assert found == [0, 0, 0, 20, 80, 107, 102, 100]
    assert found == upsample(np.array([[0, 0, 100, 100]], np.uint8), 2, kernel="catmull-rom")[0].tolist()


def test_overshoot_is_clipped_and_never_wraps():
    step = np.array([[0] * 4 + [255] * 4], np.uint8)
    for name in ("bicubic", "bicubic-0.75", "mitchell", "lanczos2", "lanczos3"):
        for pixel_type, largest in ((np.uint8, 255), (np.uint16, 65535)):
            line = upsample(step.astype(pixel_type) * (largest // 255), 2, kernel=name)[0]
            # the lobes of Lanczos ring by a twentieth of the step, while wrapped values drop by the full range
            assert (np.diff(line.astype(int)) >= -largest // 16).all()
            assert (line[:6] <= largest // 16).all()
            assert (line[-6:] >= largest - largest // 16).all()
    floats = upsample(step.astype(np.float32), 2, kernel="bicubic")[0]
    assert floats.min() < 0
    assert floats.max() > 255


def test_golden_smoothing():
    # The cubic B-spline on the samples themselves: 1/6, 4/6, 1/6.
    assert upsample(np.array([[0, 0, 60, 0, 0]], np.uint8), 1, kernel="bspline")[0].tolist() == [0, 10, 40, 10, 0]
    # Mitchell at factor 1: 1/18, 16/18, 1/18
    assert upsample(np.array([[0, 0, 180, 0, 0]], np.uint8), 1, kernel="mitchell")[0].tolist() == [0, 10, 160, 10, 0]


# -- exact values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("name", "factor"), [("bicubic", 2), ("bicubic", 3), ("bicubic-0.75", 3), ("bspline", 3)])
def test_pixels_are_exact_if_the_weights_fit_the_grid(name, factor, border):
    pixels = hostile_pixels((13, 17, 4), np.uint8)
    for has_alpha in (False, True):
        expected = expected_pixels(pixels, factor, kernel=name, border=border, has_alpha=has_alpha)
        assert_same_pixels(upsample(pixels, factor, kernel=name, border=border, has_alpha=has_alpha), expected)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("name", CUBICS)
def test_16_bit_pixels_are_exact(name, factor):
    pixels = hostile_pixels((9, 11, 2), np.uint16)
    assert_same_pixels(upsample(pixels, factor, kernel=name), expected_pixels(pixels, factor, kernel=name))


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("name", CUBICS)
def test_8_bit_pixels_are_exact_except_next_to_a_half(name, factor):
    """A grid is off by less than a tenth of a level, so only values that close to a half may be rounded differently."""
    pixels = hostile_pixels((31, 37, 1), np.uint8)
    found = upsample(pixels, factor, kernel=name).astype(int)
    off = found - expected_pixels(pixels, factor, kernel=name).astype(int)
    assert np.abs(off).max() <= 1
    assert (off != 0).mean() < 0.05


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("name", GENERAL)
def test_flat_images_stay_flat_to_the_border(name, pixel_type):
    largest = int(np.iinfo(pixel_type).max)
    for factor in (1, 2, 3, 4, 7, 11):
        for border in ("replicate", "reflect"):
            for level in (0, 1, largest // 2, largest):
                flat = np.full((2, 3), level, dtype=pixel_type)
                assert np.unique(upsample(flat, factor, kernel=name, border=border, tile=2)).tolist() == [level]


@pytest.mark.parametrize("name", GENERAL)
def test_turning_an_image_before_or_after_gives_the_same_pixels(name):
    pixels = hostile_pixels((13, 9), np.uint8)
    for factor in (2, 3, 4, 5):
        enlarged = upsample(pixels, factor, kernel=name)
        assert_same_pixels(upsample(pixels[::-1].copy(), factor, kernel=name), enlarged[::-1])
        assert_same_pixels(upsample(pixels[:, ::-1].copy(), factor, kernel=name), enlarged[:, ::-1])
        assert_same_pixels(upsample(pixels.T.copy(), factor, kernel=name), enlarged.T)


@st.composite
def cases(draw):
    channels = draw(st.integers(1, 5))
    shape = (draw(st.integers(1, 21)), draw(st.integers(1, 23)), channels)
    pixels = hostile_pixels(shape, draw(st.sampled_from(PIXEL_TYPES)), draw(st.integers(0, 9)))
    has_alpha = channels > 1 and draw(st.booleans())
    if has_alpha and draw(st.booleans()):
        pixels[..., -1] = draw(st.sampled_from([0, 1, 200, np.iinfo(pixels.dtype).max]))
    keywords = {"border": draw(st.sampled_from(BORDERS)), "kernel": draw(st.sampled_from(GENERAL))}
    return pixels, draw(st.integers(1, 7)), keywords | {"has_alpha": has_alpha}


TINY = (hostile_pixels((1, 1, 4), np.uint8), 2, {"border": "reflect", "kernel": "lanczos3", "has_alpha": True})


@given(cases(), st.sampled_from([1, 2, 3, 7, 16]))
@example(TINY, 1)
@settings(max_examples=120, deadline=None)
def test_tiles_do_not_change_pixels_of_general_kernels(case, tile):
    pixels, factor, keywords = case
    whole = upsample(pixels, factor, **keywords)
    assert_same_pixels(upsample(pixels, factor, tile=tile, **keywords), whole)


@given(cases())
@example(TINY)
@settings(max_examples=120, deadline=None)
def test_pixels_are_sums_with_the_integer_weights_of_the_kernel(case):
    pixels, factor, keywords = case
    if pixels.dtype == np.uint16 and not keywords["has_alpha"]:
        pixels = (pixels >> 8).astype(np.uint8)  # finer grids than int64 can hold: see the exact values above
    text = keywords["kernel"]
    expected = fitted_expectation(pixels, factor, text, border=keywords["border"], has_alpha=keywords["has_alpha"])
    assert_same_pixels(upsample(pixels, factor, **keywords), expected)


# -- alpha ------------------------------------------------------------------------------------------------------------


def test_opaque_images_equal_those_without_alpha():
    pixels = hostile_pixels((13, 17, 4), np.uint8)
    pixels[..., 3] = 255
    for name in GENERAL:
        found = upsample(pixels, 2, kernel=name, has_alpha=True)
        assert_same_pixels(found[..., :3], upsample(pixels[..., :3], 2, kernel=name))
        assert (found[..., 3] == 255).all()


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_negative_opacity_hides_colour_and_does_not_invert_it(pixel_type):
    largest = np.iinfo(pixel_type).max
    pixels = np.zeros((1, 12, 4), dtype=pixel_type)
    pixels[0, 6:] = [largest, largest // 2, 1, largest]
    found = upsample(pixels, 2, kernel="lanczos3", has_alpha=True)[0]
    assert (found[found[:, 3] == 0][:, :3] == 0).all() or pixel_type == np.uint16
    solid = found[found[:, 3] > largest // 8]
    assert (np.abs(solid[:, :3].astype(int) - [largest, largest // 2, 1]) <= 1).all()


@pytest.mark.parametrize("route", [PlainRoute, RowPhaseRoute])
def test_floats_with_alpha_are_exact_and_not_clipped(route):
    kernel, arithmetic = exact_form(kernel_named("bicubic", 2), np.dtype(np.float64), has_alpha=True)
    tile = np.random.default_rng(4).random((9, 11, 4))
    tile[3:6, 3:7, 3] = 0
    out = np.empty((10, 14, 4))
    made = route(kernel, arithmetic) if route is PlainRoute else route(kernel, arithmetic, 4)
    made(tile, out)
    weights = oracle_weights(kernel) / kernel.denominator
    sums = np.zeros((10, 14, 4))
    numbers = tile.copy()
    numbers[..., :3] *= numbers[..., 3:]
    for top, left, row, column in np.ndindex(2, 2, 5, 5):
        sums[top::2, left::2] += weights[top, left, row, column] * numbers[row : row + 5, column : column + 7]
    assert (sums[..., 3] < -1e-6).any()
    positive = sums[..., 3:] > 0
    expected = np.where(positive, sums[..., :3] / np.where(positive, sums[..., 3:], 1), 0)
    # sums of 25 products of doubles, of which those for alpha may cancel to a thousandth
    steady = np.abs(sums[..., 3]) > 1e-3
    np.testing.assert_allclose(out[steady][:, :3], expected[steady], rtol=0, atol=1e-10)
    np.testing.assert_allclose(out[..., 3], sums[..., 3], rtol=0, atol=1e-14)


# -- linear light -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_overshoot_in_linear_light_is_clipped_too(mode):
    channels, pixel_type = {"RGB": (3, np.uint8), "RGBA": (4, np.uint8), "I;16": (1, np.uint16)}[mode]
    pixels = hostile_pixels((13, 17, channels), pixel_type)
    pixels[:, :8], pixels[:, 8:, :3] = 0, np.iinfo(pixel_type).max
    Image.fromarray(pixels if channels > 1 else pixels[..., 0]).save("a.png")
    for tile in (None, 3):
        upsample_file("a.png", f"{tile}.png", 2, kernel="lanczos3", linear_light=True, tile=tile)
    whole, cut = (np.asarray(Image.open(f"{tile}.png")) for tile in (None, 3))
    assert_same_pixels(cut, whole)
    largest = int(np.iinfo(pixel_type).max)
    colour = whole[..., :3] if channels > 1 else whole[..., None]
    solid = whole[..., 3] > 0 if mode == "RGBA" else np.ones(whole.shape[:2], dtype=bool)
    # sRGB is steep near black: a thousandth of the light is a thirtieth of the levels, and Lanczos rings by a twentieth
    assert (colour[:, :8][solid[:, :8]] < largest // 3).all()
    assert (colour[:, -8:][solid[:, -8:]] > largest * 0.95).all()


# -- routes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["bicubic", "lanczos3", "gaussian"])
def test_a_fast_route_is_chosen_for_every_kernel(name, dtype, has_alpha):
    select._chosen.cache_clear()
    for factor in (2, 3):
        kernel, arithmetic = exact_form(kernel_named(name, factor), np.dtype(dtype), has_alpha=has_alpha)
        route = chosen_route(kernel, arithmetic, 4)
        if has_alpha:
            route = route._premultiplied
        assert not isinstance(route, PlainRoute)


@pytest.mark.parametrize("is_dense", [False, True])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_a_fast_route_is_chosen_for_weights_with_several_channels(pixel_type, is_dense):
    shape = (3, 3 if is_dense else 1, 4, 4)
    weights = np.random.default_rng(6).normal(0.2, 0.1, shape)
    mine = kernel_of_weights("mine", 2, weights.ravel().tolist(), shape)
    kernel, arithmetic = exact_form(mine, np.dtype(pixel_type))
    select._chosen.cache_clear()
    assert isinstance(chosen_route(kernel, arithmetic, 3), RowPhaseRoute)


@pytest.mark.parametrize("name", GENERAL)
def test_8_bits_are_summed_in_float32_and_16_in_float64(name):
    for factor in (1, 2, 3, 4, 7, 16):
        kernel, arithmetic = exact_form(kernel_named(name, factor), UINT8)
        assert arithmetic.sum_dtype == np.float32
        assert 255 * kernel.reach + kernel.denominator // 2 <= 2**24  # the largest possible dividend
        kernel, arithmetic = exact_form(kernel_named(name, factor), np.dtype(np.uint16), has_alpha=True)
        assert 2 * 65535**2 * kernel.reach + 65535 * kernel.reach <= 2**53


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_the_plain_layer_gives_the_same_pixels(pixel_type, monkeypatch):
    pixels = hostile_pixels((13, 11, 4), pixel_type)
    cases_ = [(name, factor, has_alpha) for name in GENERAL for factor in (2, 3) for has_alpha in (False, True)]
    fast = [upsample(pixels, factor, kernel=name, has_alpha=has_alpha) for name, factor, has_alpha in cases_]
    monkeypatch.setattr(select, "_fast_routes", lambda _arithmetic: [])
    select._chosen.cache_clear()
    for (name, factor, has_alpha), expected in zip(cases_, fast, strict=True):
        assert_same_pixels(upsample(pixels, factor, kernel=name, has_alpha=has_alpha), expected)
    select._chosen.cache_clear()


def test_without_clipping_the_plain_layer_would_wrap(monkeypatch):
    """The control: the oracle detects sums outside the range."""
    pixels = hostile_pixels((9, 11, 3), np.uint8)
    kernel, arithmetic = exact_form(kernel_named("bicubic", 2), UINT8)
    wrong = Arithmetic(arithmetic.pixel_dtype, arithmetic.divisor, False, arithmetic.gain, overshoots=False)
    padded = np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="edge")
    expected = fitted_expectation(pixels, 2, "bicubic")
    for how, is_right in ((arithmetic, True), (wrong, False)):
        out = np.empty((18, 22, 3), np.uint8)
        PlainRoute(kernel, how)(padded, out)
        assert np.array_equal(out, expected) == is_right


def test_a_wrong_weight_is_detected():
    weights, total = exact_weights(CUBICS["bicubic"], 2)
    pixels = hostile_pixels((9, 11, 3), np.uint8)
    assert_same_pixels(upsample(pixels, 2, kernel="bicubic"), weighted_pixels(pixels, 2, weights, total))
    with pytest.raises(AssertionError):
        assert_same_pixels(upsample(pixels, 2, kernel="bicubic"), weighted_pixels(pixels, 2, weights[::-1], total))
    with pytest.raises(AssertionError):  # a = -3/4 instead
        assert_same_pixels(upsample(pixels, 2, kernel="bicubic-0.75"), weighted_pixels(pixels, 2, weights, total))


def test_an_unknown_kernel_is_an_error_that_lists_the_kernels():
    with pytest.raises(
        UsageError, match=r"no kernel named 'cubic'; choose one of bilinear, .*gaussian.*, or a file of"
    ):
        upsample(np.zeros((2, 2), np.uint8), 2, kernel="cubic")
