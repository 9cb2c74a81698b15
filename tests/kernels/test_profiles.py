"""Profiles and their taps: integers over one denominator, compared with independent formulas."""

import math
from fractions import Fraction

import numpy as np
import pytest
from support.oracles import CUBICS, cubic_value

from upsample_cli.errors import UsageError
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.kernels.profiles import PROFILES, AxisKernel, axis_kernel, bilinear_taps
from upsample_cli.kernels.rounding import rounded_phases

FACTORS = range(1, MAX_FACTOR + 1)
SOME_FACTORS = [1, 2, 3, 4, 5, 7, 8, 16]


def test_bilinear_numerators_that_are_easy_to_check_by_hand():
    # x2: the outputs between pixels a and b are at a quarter and three quarters: 1 3 3 1 over 4.
    assert axis_kernel("bilinear", 2) == AxisKernel("bilinear", 2, (1, 3, 3, 1), 4, padding=1)
    # x3: one output on the pixel, and its neighbours a third away: 1 2 3 2 1 over 3.
    assert axis_kernel("bilinear", 3) == AxisKernel("bilinear", 3, (1, 2, 3, 2, 1), 3, padding=1)
    assert axis_kernel("bilinear", 4) == AxisKernel("bilinear", 4, (1, 3, 5, 7, 7, 5, 3, 1), 8, padding=2)
    assert axis_kernel("bilinear", 1) == AxisKernel("bilinear", 1, (1,), 1, padding=0)
    assert axis_kernel("nearest", 3) == AxisKernel("nearest", 3, (1, 1, 1), 1, padding=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_bilinear_is_the_convolution_of_two_boxes(factor):
    # A triangle is the convolution of two boxes; for even factors its peak is between two samples, one pair more.
    box = np.ones(factor, dtype=np.int64)
    triangle = np.convolve(box, box)
    if factor % 2 == 0:
        triangle = np.convolve(triangle, [1, 1])
    kernel = axis_kernel("bilinear", factor)
    total = int(triangle.sum())
    assert [Fraction(int(height) * factor, total) for height in triangle] == list(kernel.taps)


@pytest.mark.parametrize("factor", FACTORS)
def test_settings_follow_one_rule_for_odd_and_even_factors(factor):
    kernel = axis_kernel("bilinear", factor)
    assert kernel.kernel_size == 2 * factor - factor % 2
    assert kernel.padding == -((1 - factor) // 2)  # the ceiling of (factor - 1) / 2
    assert kernel.numerators == kernel.numerators[::-1]
    # the denominator used by the bound for the sums
    assert kernel.denominator == (2 * factor if factor % 2 == 0 else factor)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("factor", SOME_FACTORS)
def test_every_phase_sums_to_one(name, factor):
    kernel = axis_kernel(name, factor)
    sums = {sum(kernel.numerators[phase::factor]) for phase in range(factor)}
    assert sums == {kernel.denominator}
    assert kernel.kernel_size - 2 * kernel.padding == factor  # n samples become exactly n * factor


@pytest.mark.parametrize(
    ("kernel_size", "taps"),
    [(1, "1"), (2, "1/2 1/2"), (3, "1/2 1 1/2"), (4, "1/4 3/4 3/4 1/4"), (5, "1/3 2/3 1 2/3 1/3")],
)
def test_bilinear_taps_of_any_kernel_size(kernel_size, taps):
    assert bilinear_taps(kernel_size) == tuple(Fraction(tap) for tap in taps.split())


@pytest.mark.parametrize("factor", [0, -1, MAX_FACTOR + 1, 2.0, 2.5, "2", None, True])
def test_a_factor_out_of_range_or_not_whole_is_refused(factor):
    with pytest.raises(UsageError, match=r"^factor .* is not a whole number from 1 to 64; try factor=2$"):
        axis_kernel("bilinear", factor)


def test_an_unknown_kernel_names_the_known_ones():
    with pytest.raises(UsageError, match="no kernel named 'cubic'; choose one of bilinear, nearest"):
        axis_kernel("cubic", 2)


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


FORMULAS = {
    "lanczos2": (2, lambda x: sinc(x) * sinc(x / 2)),
    "lanczos3": (3, lambda x: sinc(x) * sinc(x / 3)),
    "gaussian": (2, lambda x: math.exp(-((x / 0.5) ** 2) / 2)),
}


@pytest.mark.parametrize("name", CUBICS)
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8, 17, 64])
def test_cubic_taps_are_exact_values_of_their_polynomials(name, factor):
    kernel = axis_kernel(name, factor)
    found = dict(zip(distances(kernel), kernel.taps, strict=True))
    for distance, tap in found.items():
        assert tap == cubic_value(CUBICS[name], abs(distance))
    # no tap is missing: the next one on either side would be zero
    assert cubic_value(CUBICS[name], max(found) + Fraction(1, factor)) == 0


def distances(kernel):
    """Distances of each tap's input sample from the output sample, computed from pixel centres."""
    output = 10 * kernel.factor  # any output sample; output o uses input i through tap o + padding - i*factor
    centres = []
    for tap in range(kernel.kernel_size):
        shifted = output + (tap - kernel.padding) % kernel.factor
        source, rest = divmod(shifted + kernel.padding - tap, kernel.factor)
        assert rest == 0
        centres.append(Fraction(2 * shifted + 1, 2 * kernel.factor) - Fraction(1, 2) - source)
    return centres


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8, 17, 64])
def test_irrational_taps_equal_their_formula_divided_by_the_sum_of_the_phase(name, factor):
    support, formula = FORMULAS[name]
    kernel = axis_kernel(name, factor)
    where = distances(kernel)
    values = [formula(float(distance)) for distance in where]
    for tap, (value, exact) in enumerate(zip(values, kernel.taps, strict=True)):
        total = sum(values[tap % factor :: factor])
        # sines and their quotients in float64: some roundings of numbers up to one, each off by 1e-16
        assert float(exact) == pytest.approx(value / total, abs=2e-15)
    assert max(where) < support
    if name != "gaussian":  # which is truncated before it reaches zero
        assert (
            abs(formula(float(max(where) + Fraction(1, factor)))) < 1e-15 or max(where) + Fraction(1, factor) > support
        )


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("factor", SOME_FACTORS)
def test_taps_are_symmetric(name, factor):
    kernel = axis_kernel(name, factor)
    assert kernel.numerators == kernel.numerators[::-1]


@pytest.mark.parametrize("name", [name for name in PROFILES if name not in {"mitchell", "bspline", "gaussian"}])
def test_interpolating_kernels_change_nothing_at_factor_1(name):
    assert axis_kernel(name, 1).taps == (1,)
    assert len(axis_kernel("bspline", 1).taps) == 3


def test_bspline_is_the_convolution_of_four_boxes():
    # in steps of an eighth of a sample: a cubic B-spline is the convolution of four boxes, apart from the sampling
    fine = np.ones(8) / 8
    spline = np.convolve(np.convolve(fine, fine), np.convolve(fine, fine)) * 8
    centre = len(spline) // 2 if len(spline) % 2 else (len(spline) - 1) / 2
    for x in (0, 0.25, 0.5, 1, 1.5):
        near = np.interp(x * 8 + centre, np.arange(len(spline)), spline)
        found = axis_kernel("bspline", 1).taps[1] if x == 0 else cubic_value(CUBICS["bspline"], Fraction(x))
        assert float(found) == pytest.approx(near, abs=0.01)  # boxes of eight samples approximate continuous ones


def test_rounding_errors_go_to_the_largest_weight():
    assert rounded_phases([1, 1, 1, 1, 6], [range(5)], 7) == [1, 1, 1, 1, 3]
    assert rounded_phases([-1, 8, 2, -1], [(0, 2), (1, 3)], 10) == [-10, 11, 20, -1]
    assert rounded_phases([3, 1], [(0,), (1,)], 5) == [5, 5]
