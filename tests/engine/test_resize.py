"""Images at any size, compared with independent matrices of fractions; tiles, borders, alpha, other libraries."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from support.oracles import CUBICS, assert_same_pixels, hostile_pixels
from support.resizing import expected, reducing_matrix

from upsample_cli.engine import resize, resize_products
from upsample_cli.engine.bands import enlarged_bands
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize import resized_bands
from upsample_cli.engine.resize_axes import area_weights, behind_enlargement, filter_for, lanczos_weights, reduced_axis
from upsample_cli.errors import Interrupted
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.kernels.profiles import axis_kernel


def resized(
    pixels,
    size,
    kernel="bilinear",
    border="replicate",
    *,
    has_alpha=False,
    tile=None,
    stop=None,
    by_layer=False,
    engine="auto",
):
    """(height, width, channels) at another size, as the command does it; `by_layer`, through the enlarged image."""
    factor = max(-(-made // given_) for made, given_ in zip(size, pixels.shape[:2], strict=True))
    fine, arithmetic = exact_form(kernel_named(kernel, factor), pixels.dtype, has_alpha=has_alpha)
    if by_layer:
        fine = replace(fine, name="weights.npy")  # weights from a file are not known to be a product of taps
    bands = resized_bands(
        lambda first, last: pixels[first:last],
        pixels.shape,
        size,
        settings=Settings(fine, border, "cpu", tile_size=tile, engine=engine),
        arithmetic=arithmetic,
        weigh=filter_for(kernel),
        stop=stop,
    )
    return np.concatenate(list(bands))


SIZES = [(11, 17), (13, 8), (6, 10), (16, 23), (3, 4), (1, 1), (7, 12), (21, 9), (40, 60)]  # of 7x5 pixels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", ["bilinear", "nearest"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_exact_and_rounded_half_up(dtype, kernel, size):
    pixels = hostile_pixels((7, 5, 3), dtype)
    assert_same_pixels(resized(pixels, size, kernel), expected(pixels, size, kernel))


@pytest.mark.parametrize("size", [(65, 3), (72, 2), (25, 1)])
def test_an_axis_is_exact_where_its_blocks_meet(size):
    """41 rows need several blocks; each must include everything its first and last outputs need from its neighbours."""
    pixels = hostile_pixels((41, 2, 1), np.uint8)
    assert_same_pixels(resized(pixels, size), expected(pixels, size))
    across = pixels.transpose(1, 0, 2).copy()
    assert_same_pixels(resized(across, size[::-1]), expected(across, size[::-1]))


@pytest.mark.parametrize("size", [(11, 17), (6, 10), (3, 4), (13, 8)])
@pytest.mark.parametrize("channels", [2, 4])
def test_colour_with_alpha_is_the_exact_quotient(channels, size):
    pixels = hostile_pixels((7, 5, channels), np.uint8)
    assert_same_pixels(resized(pixels, size, has_alpha=True), expected(pixels, size, has_alpha=True))


@pytest.mark.parametrize("border", ["zeros", "replicate"])
def test_borders_equal_those_of_the_enlargement(border):
    pixels = hostile_pixels((7, 5, 1), np.uint8)
    assert_same_pixels(resized(pixels, (10, 8), border=border), expected(pixels, (10, 8), border=border))


@pytest.mark.parametrize("kernel", sorted(CUBICS))
def test_other_kernels_are_within_a_level(kernel):
    """Their weights are rounded to a grid on which sums are exact, so a result may be off by one level."""
    pixels = hostile_pixels((7, 5, 1), np.uint8)
    found, wanted = resized(pixels, (11, 8), kernel), expected(pixels, (11, 8), kernel)
    assert abs(found.astype(int) - wanted).max() <= 1
    assert abs(resized(pixels, (11, 8)).astype(int) - wanted).max() > 1  # another kernel fails


PRODUCTS = [("nearest", 5), ("bilinear", 2), ("bilinear", 3), ("bilinear", 4), ("bicubic", 2), ("bspline", 3)]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("kernel", "factor"), PRODUCTS)
def test_one_matrix_for_both_steps_equals_the_layer_and_the_filter(kernel, factor, border):
    """For every pixel, also of images smaller than the halo, of several blocks, and of all pixel types."""
    for height, width in ((1, 1), (1, 7), (3, 2), (29, 37)):
        size = (height * factor - factor // 2, width * factor - 1)
        for pixels in (hostile_pixels((height, width, 2), np.uint8), hostile_pixels((height, width, 2), np.uint16)):
            for has_alpha in (False, pixels.dtype == np.uint8):
                found = resized(pixels, size, kernel, border, has_alpha=has_alpha)
                by_layer = resized(pixels, size, kernel, border, has_alpha=has_alpha, by_layer=True)
                assert_same_pixels(found, by_layer)


def test_one_matrix_for_both_steps_is_as_small_as_that_of_the_filter():
    """One side may be reduced a thousandfold and the other enlarged; the matrix of the enlargement is never built."""
    axis = reduced_axis(8_000, 20, lanczos_weights)
    tracemalloc.start()
    try:
        behind_enlargement(axis, 4_000, axis_kernel("bilinear", 2), "replicate")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Twice for products of weights, plus indices; the full matrix takes 100 times as much.
    assert peak < 10 * axis.weights.nbytes
    pixels = hostile_pixels((1000, 3, 1), np.uint8)
    assert_same_pixels(resized(pixels, (3, 5)), resized(pixels, (3, 5), by_layer=True))


@pytest.mark.parametrize(("kernel", "by_product"), [("bilinear", True), ("bicubic", True), ("lanczos3", False)])
def test_the_layer_runs_if_its_weights_are_not_a_product(kernel, by_product, monkeypatch):
    pixels = hostile_pixels((7, 5, 3), np.uint8)
    wanted = resized(pixels, (11, 8), kernel, engine="layer")
    calls = []

    def watched(*given_, **settings_):
        calls.append(given_)
        return enlarged_bands(*given_, **settings_)

    resized(pixels, (11, 8), kernel)  # a route is compared with another one only once
    resized(pixels, (11, 8), kernel, by_layer=True)
    for module in (resize, resize_products):
        monkeypatch.setattr(module, "enlarged_bands", watched)
    assert_same_pixels(resized(pixels, (11, 8), kernel), wanted)
    assert len(calls) == (0 if by_product else 1)
    assert_same_pixels(resized(pixels, (11, 8), kernel, by_layer=True), wanted)
    assert len(calls) == (1 if by_product else 2)
    resized(pixels.astype(np.float32), (11, 8), kernel)  # NaN would affect every tap of the layer, so the layer runs
    assert len(calls) == (2 if by_product else 3)


def test_the_oracle_can_fail():
    """Without Lanczos' window, with another border, or with alpha, the pixels differ."""
    pixels = hostile_pixels((7, 5, 1), np.uint8)
    found = resized(pixels, (11, 8))

    def as_nearest(length, reduced, _):
        return reducing_matrix(length, reduced, "nearest")

    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(found, expected(pixels, (11, 8), matrix=as_nearest))
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(found, expected(pixels, (11, 8), border="zeros"))
    with pytest.raises(AssertionError, match="numbers differ"):
        assert_same_pixels(resized(pixels[..., [0, 0]], (11, 8), has_alpha=True)[..., :1], found)


@given(
    size=st.tuples(st.integers(1, 75), st.integers(1, 95)),
    tile=st.integers(1, 30),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    kernel=st.sampled_from(["bilinear", "nearest", "lanczos3", "mitchell"]),
    has_alpha=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_tiles_do_not_change_pixels(size, tile, dtype, kernel, has_alpha):
    """The sums are exact and the blocks of the reduction do not depend on tiles, so the results must be identical."""
    pixels = hostile_pixels((29, 37, 4), np.uint16 if dtype == np.float32 else dtype)
    if dtype == np.float32:
        pixels = (pixels >> 6).astype(np.float32)  # integers, because the rounding of float sums does depend on tiles
        kernel = "nearest" if kernel == "nearest" else "bilinear"
    whole = resized(pixels, size, kernel, has_alpha=has_alpha, by_layer=True)
    assert whole.shape == (*size, 4)
    assert np.array_equal(resized(pixels, size, kernel, has_alpha=has_alpha, tile=tile, by_layer=True), whole)
    if pixels.dtype == np.uint8:
        assert np.array_equal(resized(pixels, size, kernel, has_alpha=has_alpha, tile=tile), whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(33, 61), (12, 5), (100, 90)])
def test_flat_images_stay_flat_to_the_border(dtype, size):
    for level in (0, 1, 77, np.iinfo(dtype).max):
        pixels = np.full((23, 31, 2), level, dtype)
        assert (resized(pixels, size) == level).all()
        opaque = np.concatenate([pixels, np.full((23, 31, 1), np.iinfo(dtype).max, dtype)], axis=2)
        assert (resized(opaque, size, has_alpha=True)[..., :2] == level).all()


def test_colour_hidden_under_alpha_does_not_bleed():
    pixels = np.zeros((9, 9, 4), np.uint8)
    pixels[:, :4] = (200, 10, 10, 255)
    pixels[:, 4:] = (0, 255, 0, 0)
    found = resized(pixels, (13, 13), has_alpha=True)
    shown = found[found[..., 3] > 0]
    assert (shown[:, :3] == (200, 10, 10)).all()
    assert resized(pixels, (13, 13))[..., 1].max() > 10  # with straight alpha, it does bleed


def test_16_bits_with_alpha_are_within_a_level_of_exact():
    """Their sums exceed 2**53. The lost part, 1 in 2**52, can only change the rounding of an exact half."""
    pixels = hostile_pixels((7, 5, 4), np.uint16)
    found = resized(pixels, (11, 8), has_alpha=True).astype(int)
    wanted = expected(pixels, (11, 8), has_alpha=True)
    assert abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.01


def test_nan_and_infinity_affect_only_the_outputs_that_use_them():
    pixels = np.ones((40, 50, 1), np.float32)
    clean = resized(pixels, (60, 75))
    pixels[20, 25], pixels[5, 5] = np.nan, np.inf
    found = resized(pixels, (60, 75))
    affected = ~np.isfinite(found[..., 0])
    assert affected[30, 38]
    assert affected[8, 8]
    rows, columns = np.nonzero(affected)
    # x1.5: an input reaches 1.5 outputs through the layer, plus the three lobes of Lanczos
    near = ((abs(rows - 30) < 7) & (abs(columns - 38) < 7)) | ((abs(rows - 8) < 7) & (abs(columns - 8) < 7))
    assert near.all()
    assert np.array_equal(found[~affected], clean[~affected])


@pytest.mark.parametrize("weigh", [area_weights, lanczos_weights])
@pytest.mark.parametrize(
    ("length", "reduced"), [(1, 1), (7, 6), (64, 3), (1000, 999), (5000, 1), (130, 65), (9973, 8009)]
)
def test_weights_are_integers_and_sum_to_one(length, reduced, weigh):
    axis = reduced_axis(length, reduced, weigh)
    sums = axis.weights.sum(axis=2).flatten()
    assert (axis.weights == axis.weights.round()).all()
    assert (sums[:reduced] == 2**14).all()
    assert (sums[reduced:] == 0).all()
    assert (axis.firsts >= 0).all()
    assert (axis.firsts + axis.span <= length).all()
    if weigh is area_weights and length % reduced == 0 and (ratio := length // reduced) < 100:
        first = axis.weights[0, 0]
        # Plain means; one weight takes what rounding leaves.
        assert abs(first[:ratio] - 2**14 / ratio).max() < ratio + 1
        assert (first[ratio:] == 0).all()


@pytest.mark.parametrize("size", [(150, 200), (97, 61), (299, 399)])
def test_a_reduction_is_close_to_pillows(size):
    """Pillow's LANCZOS is the same filter in floating point. Ours is rounded: half a level, plus 1/30 for integer
    weights (eight taps an axis, each off by at most 2**-15, over levels up to 255, of either sign)."""
    pixels = data.coffee()[:300, :400].copy()

    def pillows(filter_):
        planes = [
            Image.fromarray(pixels[..., channel].astype(np.float32)).resize(size[::-1], filter_) for channel in range(3)
        ]
        return np.stack(planes, axis=2).clip(0, 255)

    lanczos = pillows(Image.Resampling.LANCZOS)
    assert abs(resized(pixels, size) - lanczos).max() < 0.5 + 1 / 30
    assert abs(resized(pixels, size, "nearest") - lanczos).max() > 10  # the control: another filter is not close
    if size == (150, 200):  # if no pixel is split, BOX is the same mean
        assert abs(resized(pixels, size, "nearest") - pillows(Image.Resampling.BOX)).max() < 0.5 + 1 / 30


def test_a_fraction_of_a_photograph_is_as_good_as_interpolating_it_directly():
    """x1.5 of a reduced photograph: the filter after the layer costs less than 0.3 dB against torch's interpolate,
    and a better kernel gains more than half a dB."""
    original = data.camera()[:360, :360, None]
    small = np.array(Image.fromarray(original[..., 0]).resize((240, 240), Image.Resampling.BICUBIC))[..., None]

    def psnr(found):
        return 10 * math.log10(255**2 / np.mean((found[8:-8, 8:-8].astype(float) - original[8:-8, 8:-8]) ** 2))

    planes = torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)[None]
    peer = torch.nn.functional.interpolate(planes, size=(360, 360), mode="bilinear")[0].permute(1, 2, 0).numpy()
    assert psnr(resized(small, (360, 360))) > psnr(peer) - 0.3
    assert psnr(resized(small, (360, 360), "bicubic")) > psnr(resized(small, (360, 360))) + 0.5


def test_a_stopped_run_ends_at_the_next_band():
    class Soon:
        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 1

    for by_layer in (False, True):
        with pytest.raises(Interrupted):
            resized(hostile_pixels((90, 90, 3), np.uint8), (120, 130), tile=5, stop=Soon(), by_layer=by_layer)


def test_a_size_equal_to_a_whole_factor_uses_the_engine():
    pixels = hostile_pixels((7, 5, 3), np.uint8)
    kernel, arithmetic = exact_form(kernel_named("bilinear", 3), np.dtype(np.uint8))
    # Only the engine uses the divisor directly; the filter multiplies it.
    wrong = arithmetic._replace(divisor=2 * arithmetic.divisor)
    bands = resized_bands(
        lambda first, last: pixels[first:last], pixels.shape, (21, 15),
        settings=Settings(kernel, "replicate", "cpu"), arithmetic=wrong, weigh=lanczos_weights,
    )  # fmt: skip
    assert abs(np.concatenate(list(bands)).astype(int) * 2 - resized(pixels, (21, 15))).max() <= 1
