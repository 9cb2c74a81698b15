"""Kernels: integer weights over one denominator, and the grids on which sums of pixels are exact."""

from fractions import Fraction

import numpy as np
import pytest

from upsample_cli.errors import GeometryError, Setting, UsageError
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.kernels.kernel import Kernel, kernel_named
from upsample_cli.kernels.of_weights import kernel_of_weights
from upsample_cli.kernels.profiles import PROFILES, axis_kernel

FACTORS = range(1, MAX_FACTOR + 1)
SOME_FACTORS = [1, 2, 3, 4, 5, 7, 8, 16]


def weight_array(kernel):
    """The weights of a kernel's first plane as fractions, (kernel_size, kernel_size)."""
    size = kernel.kernel_size
    fractions = [Fraction(weight, kernel.denominator) for weight in kernel.weights[: size**2]]
    return np.array(fractions, dtype=object).reshape(size, size)


def phase_sums(weights, factor):
    return {weights[top::factor, left::factor].sum() for top in range(factor) for left in range(factor)}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("factor", SOME_FACTORS)
def test_a_named_kernel_is_the_outer_product_of_its_taps(name, factor):
    kernel, taps = kernel_named(name, factor), np.array(axis_kernel(name, factor).taps, dtype=object)
    assert (weight_array(kernel) == np.outer(taps, taps)).all()
    assert kernel.kernel_size - 2 * kernel.padding == factor
    assert kernel.shape == (1, 1, len(taps), len(taps))
    assert kernel.is_flat
    assert phase_sums(weight_array(kernel), factor) == {1}


@pytest.mark.parametrize("name", ["bilinear", "nearest"])
@pytest.mark.parametrize("factor", FACTORS)
def test_bilinear_and_nearest_keep_their_own_grid(name, factor):
    kernel = kernel_named(name, factor)
    assert kernel.within(2**16) is kernel
    assert kernel.reach == kernel.denominator <= 2**14
    assert not kernel.overshoots


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("factor", [2, 3, 4, 5, 16])
def test_a_grid_is_off_by_less_than_a_tenth_of_a_level(name, factor):
    exact, fitted = kernel_named(name, factor), kernel_named(name, factor).within(2**16)
    assert fitted.reach <= 2**16
    assert fitted.is_flat
    errors = np.abs(weight_array(exact) - weight_array(fitted))
    # Errors of a phase cancel in its sum, so a level is off as if pixels were within half the range around its middle.
    worst_levels = Fraction(255, 2) * max(phase_sums(errors, factor))
    assert worst_levels < Fraction(1, 10)
    weights = weight_array(fitted)
    for same in (weights.T, weights[::-1], weights[:, ::-1]):  # images may be turned before or after
        assert (same == weights).all()


def test_a_coarser_grid_is_off_by_more():
    exact, coarse = kernel_named("lanczos3", 4), kernel_named("lanczos3", 4).within(2**12)
    errors = np.abs(weight_array(exact) - weight_array(coarse))
    assert Fraction(255, 2) * max(phase_sums(errors, 4)) > Fraction(1, 10)


def test_kernels_with_overshoot_are_marked():
    assert {name for name in PROFILES if kernel_named(name, 3).overshoots} == {
        "bicubic", "bicubic-0.75", "catmull-rom", "mitchell", "lanczos2", "lanczos3",
    }  # fmt: skip
    assert kernel_of_weights("brighter", 2, [2.0] * 4, (1, 1, 2, 2)).overshoots
    assert kernel_of_weights("edge", 1, [0.5, 0, -0.5] * 3, (1, 1, 3, 3)).overshoots
    assert not kernel_of_weights("darker", 2, [0.5] * 4, (1, 1, 2, 2)).overshoots


def assert_halo_is_complete(kernel, halo):
    """Every input that an output in [4, 7) uses, found by trying all, is within the halo."""
    start, stop = 4, 7
    for output in range(start * kernel.factor, stop * kernel.factor):
        taken = [i for i in range(-9, 20) if 0 <= output + kernel.padding - i * kernel.factor < kernel.kernel_size]
        assert start - halo <= min(taken)
        assert max(taken) < stop + halo


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("factor", SOME_FACTORS)
def test_the_halo_is_sufficient_and_minimal(name, factor):
    kernel = kernel_named(name, factor)
    assert_halo_is_complete(kernel, kernel.halo)
    with pytest.raises(AssertionError):
        assert_halo_is_complete(kernel, kernel.halo - 1)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 8])
def test_the_halo_of_wider_kernels_is_sufficient_and_minimal(factor):
    for padding in range(2 * factor + 2):  # cubic convolution has `3 * factor / 2`
        kernel = Kernel("wide", factor, (), 1, padding)
        assert_halo_is_complete(kernel, kernel.halo)
        with pytest.raises(AssertionError):
            assert_halo_is_complete(kernel, kernel.halo - 1)


# -- weights of any kind ----------------------------------------------------------------------------------------------


def test_dyadic_weights_are_exact_and_reduced():
    weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    kernel = kernel_of_weights("mine", 2, weights.ravel().tolist(), (1, 1, 4, 4))
    assert kernel == Kernel("mine", 2, kernel_named("bilinear", 2).weights, 16, padding=1)


def test_weights_that_are_flat_except_for_rounding_become_flat():
    weights = np.outer(*[np.float32([1, 2, 3, 2, 1]) / np.float32(3)] * 2).astype(np.float64)  # thirds in float32
    kernel = kernel_of_weights("mine", 3, weights.ravel().tolist(), (1, 1, 5, 5))
    assert kernel.is_flat
    assert np.abs(weight_array(kernel).astype(float) - weights).max() < 2**-22
    off = kernel_of_weights("mine", 3, (weights * (1 + 1e-4)).ravel().tolist(), (1, 1, 5, 5))
    assert not off.is_flat  # the sums of a network are not changed


def test_weights_that_are_not_flat_are_rounded_one_by_one():
    weights = np.random.default_rng(3).normal(size=(3, 3, 6, 6))
    kernel = kernel_of_weights("mine", 2, weights.ravel().tolist(), weights.shape)
    assert (kernel.channels, kernel.is_dense, kernel.shape) == (3, True, (3, 3, 6, 6))
    found = np.array([weight / kernel.denominator for weight in kernel.weights]).reshape(weights.shape)
    assert np.abs(found - weights).max() <= 2**-60 + 2**-52
    grid = kernel.within(2**30)
    found = np.array(grid.weights).reshape(weights.shape) / grid.denominator
    assert np.abs(found - weights).max() <= 0.5 / grid.denominator + 1e-15
    assert 2**29 < grid.reach <= 2**30


def test_phases_contain_the_weights_used_together():
    # every weight is its own index, so slicing shows which weights are used together
    dense = np.arange(2 * 2 * 4 * 4).reshape(2, 2, 4, 4)
    depthwise = np.arange(2 * 4 * 4).reshape(2, 1, 4, 4)
    for weights, planes in ((dense, dense.swapaxes(0, 1)), (depthwise, depthwise)):
        kernel = Kernel("mine", 2, tuple(weights.ravel()), 1, 1, channels=2, is_dense=weights is dense)
        expected = {
            tuple(sorted(plane[:, top::2, left::2].ravel())) for plane in planes for top, left in np.ndindex(2, 2)
        }
        assert {tuple(sorted(phase)) for phase in kernel.phases} == expected


@pytest.mark.parametrize(
    ("factor", "shape", "message"),
    [
        (2, (4, 4), r"a weight of shape \(4, 4\) is not one for an image; give one of \(1, 1, k, k\)"),
        (2, (3, 2, 4, 4), r"is not one for an image"),
        (2, (1, 1, 4, 6), "4x6 is not square"),
        (2, (1, 1, 5, 5), "no padding makes kernel_size 5 enlarge exactly 2 times; use a factor that is odd"),
        (3, (1, 1, 6, 6), "use a factor that is even, or append a row and a column of zeros"),
        (4, (1, 1, 2, 2), "a kernel_size of 2 leaves gaps at factor 4; enlarge 2 times at the most"),
    ],
)
def test_unsuitable_shapes_are_refused(factor, shape, message):
    with pytest.raises(GeometryError, match=message):
        kernel_of_weights("mine", factor, [0.25] * int(np.prod(shape)), shape)


def test_huge_weights_are_refused():
    with pytest.raises(
        UsageError, match=r"kernel huge: its weights make up to 1e\+06 times a pixel or more; give weights"
    ):
        kernel_of_weights("huge", 2, [1e6] * 4, (1, 1, 2, 2))


def test_a_kernel_accepts_only_images_with_suitable_channels():
    plain, mine = kernel_named("lanczos3", 2), kernel_of_weights("mine", 2, [0.9] * 4, (1, 1, 2, 2))
    each = kernel_of_weights("each", 2, [1.0] * 12, (3, 1, 2, 2))
    for channels in (1, 2, 3, 4):
        assert plain.misfit(channels, has_alpha=channels in (2, 4)) is None
        assert mine.misfit(channels, has_alpha=False) is None
        assert (each.misfit(channels, has_alpha=False) is None) == (channels == 3)
    assert mine.misfit(4, has_alpha=True) == (
        "kernel mine does not keep flat images flat, so colour cannot be premultiplied",
        ("add ", Setting("alpha", "straight")),
    )
    assert each.misfit(3, has_alpha=True)[0].startswith("kernel each treats channels differently")
    assert each.misfit(4, has_alpha=False)[0] == ("kernel each is for 3 channels, and the image has 4, alpha included")
