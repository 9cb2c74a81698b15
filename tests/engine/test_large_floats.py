"""Sums of finite floating-point pixels do not overflow if the result is finite: -3.4e38 often means "no data"."""

import numpy as np
import pytest

from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize import resized_bands
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.kernels.kernel import kernel_named

MOST = np.finfo(np.float32).max
FLOAT32 = np.dtype(np.float32)
DOWN = np.float32(2.0**-60)


def enlarged(image, scale, *, kernel="bilinear", engine="auto", has_alpha=False, tile=None):
    height, width, _ = image.shape
    factor = int(-(-scale // 1))
    taps, arithmetic = exact_form(kernel_named(kernel, factor), image.dtype, has_alpha=has_alpha)
    settings = Settings(taps, "replicate", "cpu", engine=engine, tile_size=tile)
    size = round(height * scale), round(width * scale)
    bands = resized_bands(
        lambda first, last: image[first:last].copy(), image.shape, size,
        settings=settings, arithmetic=arithmetic, weigh=filter_for(kernel),
    )  # fmt: skip
    return np.concatenate(list(bands))


def with_no_data(channels=1, side=8):
    """Normal values around a region of "no data"."""
    image = np.random.default_rng(8).normal(100, 30, (24, 20, channels)).astype(np.float32)
    image[11 - side // 2 : 11 - side // 2 + side, 12 - side // 2 : 12 - side // 2 + side] = -MOST
    return image


@pytest.mark.parametrize("engine", ["auto", "layer"])
@pytest.mark.parametrize("kernel", ["bilinear", "nearest", "bspline"])
@pytest.mark.parametrize("scale", [2, 3, 7, 2.5])
def test_the_largest_number_stays_and_distant_pixels_do_not_change(scale, kernel, engine):
    """Kernels without negative weights cannot leave the range of the pixels."""
    # If the sum of a tile is not finite, every route leaves it to the layer. One such pixel does not cause that.
    image = with_no_data(1, side=8 if engine == "layer" else 1)
    found = enlarged(image, scale, kernel=kernel, engine=engine)
    assert np.isfinite(found).all() or scale == 2.5  # whose last step is a filter with overshoot
    if engine == "layer" or kernel == "nearest":
        np.testing.assert_allclose(found[int(11.5 * scale), int(12.5 * scale)], -MOST, rtol=1e-6)
    assert found.min() < -1e37
    # Far from the region, the result is the same as without the region, to the last bit.
    calm = np.where(image < -1e30, np.float32(100), image)
    margin = int(4 * scale)
    np.testing.assert_array_equal(found[:, :margin], enlarged(calm, scale, kernel=kernel, engine=engine)[:, :margin])


@pytest.mark.parametrize("engine", ["auto", "layer"])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos3"])
@pytest.mark.parametrize("channels", [1, 3])
def test_results_equal_those_of_smaller_numbers_to_the_last_bit(kernel, engine, channels):
    image = with_no_data(channels)
    small = enlarged(image * DOWN, 2, kernel=kernel, engine="layer").astype(np.float64) / DOWN  # nothing overflows
    # Except in the last rounding.
    small = np.where((abs(small) > MOST) & (abs(small) < float(MOST) * (1 + 1e-6)), np.sign(small) * MOST, small)
    found = enlarged(image, 2, kernel=kernel, engine=engine)
    is_large = abs(small) > 1e35  # elsewhere the routes may differ in the last bit
    beyond = abs(small) > MOST
    np.testing.assert_array_equal(found[is_large & ~beyond], small[is_large & ~beyond])
    assert np.isinf(found[beyond]).all()  # overshoot beyond the range of the type stays infinite
    assert beyond.any() == (kernel != "bilinear")
    assert is_large.mean() > 0.1


def test_tiles_do_not_change_large_floats():
    image = with_no_data()
    whole = enlarged(image, 3, engine="layer")
    for tile in (5, 8):
        np.testing.assert_array_equal(enlarged(image, 3, engine="layer", tile=tile), whole)


def test_large_colours_with_alpha_do_not_overflow():
    image = with_no_data(4)
    image[..., 3] = np.random.default_rng(2).uniform(0.1, 1, image.shape[:2])
    found = enlarged(image, 2, has_alpha=True)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[22, 24, :3], -MOST, rtol=1e-6)
    assert (found[..., 3] <= 1).all()


def test_infinities_and_nan_are_unchanged():
    image = with_no_data()
    image[2, 3], image[20, 2], image[4, 15] = np.nan, np.inf, -np.inf
    found = enlarged(image, 2, kernel="nearest")
    np.testing.assert_array_equal(found, image.repeat(2, 0).repeat(2, 1))
