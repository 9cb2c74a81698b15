"""Kernels: taps as whole numbers over one denominator."""

from fractions import Fraction

import numpy as np
import pytest

from upsample_cli.errors import UsageError
from upsample_cli.kernels import KERNELS, MAX_FACTOR, Kernel, bilinear_taps, kernel_named

FACTORS = range(1, MAX_FACTOR + 1)


def test_bilinear_numerators_one_can_check_in_ones_head():
    # x2: the outputs of a pair of pixels a, b lie at a quarter and three quarters between them: 1 3 3 1 over 4.
    assert kernel_named("bilinear", 2) == Kernel("bilinear", 2, (1, 3, 3, 1), 4, padding=1)
    # x3: one output on the pixel itself, its neighbours a third away: 1 2 3 2 1 over 3.
    assert kernel_named("bilinear", 3) == Kernel("bilinear", 3, (1, 2, 3, 2, 1), 3, padding=1)
    assert kernel_named("bilinear", 4) == Kernel("bilinear", 4, (1, 3, 5, 7, 7, 5, 3, 1), 8, padding=2)
    assert kernel_named("bilinear", 1) == Kernel("bilinear", 1, (1,), 1, padding=0)
    assert kernel_named("nearest", 3) == Kernel("nearest", 3, (1, 1, 1), 1, padding=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_bilinear_is_a_box_smeared_by_a_box(factor):
    # A triangle is the convolution of two boxes; for even factors its peak lies between two samples, one pair more.
    box = np.ones(factor, dtype=np.int64)
    triangle = np.convolve(box, box)
    if factor % 2 == 0:
        triangle = np.convolve(triangle, [1, 1])
    kernel = kernel_named("bilinear", factor)
    total = int(triangle.sum())
    assert [Fraction(int(height) * factor, total) for height in triangle] == list(kernel.taps)


@pytest.mark.parametrize("factor", FACTORS)
def test_settings_follow_the_rule_that_serves_odd_and_even(factor):
    kernel = kernel_named("bilinear", factor)
    assert kernel.kernel_size == 2 * factor - factor % 2
    assert kernel.padding == -((1 - factor) // 2)  # the ceiling of (factor - 1) / 2
    assert kernel.numerators == kernel.numerators[::-1]
    # the denominator that the bound on the sums rests on
    assert kernel.denominator == (2 * factor if factor % 2 == 0 else factor)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("factor", FACTORS)
def test_every_phase_sums_to_one_so_flat_stays_flat(name, factor):
    kernel = kernel_named(name, factor)
    sums = {sum(kernel.numerators[phase::factor]) for phase in range(factor)}
    assert sums == {kernel.denominator}
    assert kernel.kernel_size - 2 * kernel.padding == factor  # n samples become exactly n * factor


def assert_halo_is_complete(kernel, halo):
    """Every input that an output of the run [4, 7) takes, found by trying all, lies within the halo."""
    start, stop = 4, 7
    for output in range(start * kernel.factor, stop * kernel.factor):
        taken = [i for i in range(-9, 20) if 0 <= output + kernel.padding - i * kernel.factor < kernel.kernel_size]
        assert start - halo <= min(taken)
        assert max(taken) < stop + halo


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("factor", FACTORS)
def test_halo_is_enough_and_one_less_is_not(name, factor):
    kernel = kernel_named(name, factor)
    assert_halo_is_complete(kernel, kernel.halo)
    with pytest.raises(AssertionError):
        assert_halo_is_complete(kernel, kernel.halo - 1)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 8])
def test_halo_of_wider_kernels(factor):
    for padding in range(2 * factor + 2):  # cubic convolution has `3 * factor / 2`
        kernel = Kernel("wide", factor, (1,) * (factor + 2 * padding), factor, padding)
        assert_halo_is_complete(kernel, kernel.halo)
        with pytest.raises(AssertionError):
            assert_halo_is_complete(kernel, kernel.halo - 1)


@pytest.mark.parametrize(
    ("kernel_size", "taps"),
    [(1, "1"), (2, "1/2 1/2"), (3, "1/2 1 1/2"), (4, "1/4 3/4 3/4 1/4"), (5, "1/3 2/3 1 2/3 1/3")],
)
def test_bilinear_taps_of_any_kernel_size(kernel_size, taps):
    assert bilinear_taps(kernel_size) == tuple(Fraction(tap) for tap in taps.split())


@pytest.mark.parametrize("factor", [0, -1, MAX_FACTOR + 1, 2.0, 2.5, "2", None, True])
def test_a_factor_out_of_range_or_not_whole_is_refused(factor):
    with pytest.raises(UsageError, match=r"^factor .* is not a whole number from 1 to 64; try --factor 2$"):
        kernel_named("bilinear", factor)


def test_an_unknown_kernel_names_the_known_ones():
    with pytest.raises(UsageError, match="no kernel named 'cubic'; choose one of bilinear, nearest"):
        kernel_named("cubic", 2)
