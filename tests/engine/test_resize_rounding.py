"""Rounding of float sums to pixels: right or undecided for every error up to the bound, compared with fractions."""

import math
from fractions import Fraction

import pytest

from upsample_cli.engine.resize_rounding import rounding_of

REACH = 7 * 2**30  # 1.75 times the divisor: the filter overshoots
DIVISOR = 2**32


def rounding(largest, *, common=1, reach=REACH, divisor=DIVISOR, is_float32=False, has_alpha=False):
    dividend = 3 * largest * largest * reach if has_alpha else 2 * largest * reach
    kinds = {"is_float32": is_float32, "has_alpha": has_alpha}
    return rounding_of(reach, common, divisor, 12, largest, dividend, **kinds)


def pixels(value, made, *, near, bias=0.0):
    """The pixels that a number can be; `round` takes the even one of two, as the processor does."""
    units = 2**made.fraction_bits
    whole = round((value + Fraction(bias) + Fraction(1, 2)) * units)
    return {(whole - near) // units, (whole + near) // units}


def half_up(value):
    return math.floor(value + Fraction(1, 2))


def values(step, unit):
    """Numbers around a half: a few steps, or about a unit."""
    for level in (0, 1, 100, 254):
        for apart in {
            *(count * step for count in range(-3, 4)),
            *(step * (unit / step * count // 8) for count in range(-20, 21)),
        }:
            yield level + Fraction(1, 2) + apart


def test_numbers_of_float32_are_right_or_undecided():
    made = rounding(255, is_float32=True)
    step, unit = Fraction(1, DIVISOR), Fraction(1, 2**made.fraction_bits)
    most = 17 * Fraction(255 * REACH, DIVISOR) / 2**24
    found = [
        (half_up(value), pixels(value + error, made, near=made.near), pixels(value + error, made, near=0))
        for value in values(step, unit)
        for error in (-most, Fraction(0), most)
    ]
    assert all(len(either) == 2 or either == {right} for right, either, _ in found)
    assert any(len(either) == 1 for _, either, _ in found)
    assert any(wrong != {right} for right, _, wrong in found)  # the control
    assert pixels(Fraction(100), made, near=made.near) == {100}


@pytest.mark.parametrize(
    ("largest", "options"),
    [
        (255, {"is_float32": True, "divisor": 2**28, "reach": 2**28, "common": 2**26}),
        (65535, {}),
        (255, {"has_alpha": True}),
    ],
)
def test_exact_sums_are_always_decided(largest, options):
    made = rounding(largest, **options)
    step = Fraction(options.get("common", 1), options.get("divisor", DIVISOR))
    assert made.near == 0
    checked = [*values(step, Fraction(1, 2**made.fraction_bits))]
    assert all(pixels(value, made, near=0, bias=made.bias) == {half_up(value)} for value in checked)
    for wrong in (made.bias + max(step, 0.5**made.fraction_bits), made.bias - step / 2):  # the controls
        assert any(pixels(value, made, near=0, bias=wrong) != {half_up(value)} for value in checked)


@pytest.mark.parametrize("options", [{"divisor": 3**4 * 2**28}, {"reach": 2**58, "divisor": 2**57}])
def test_sums_that_can_be_inexact_are_not_decided_by_a_bias(options):
    made = rounding(65535, **options)
    assert made.near > 0
    assert made.bias == 0


@pytest.mark.parametrize("alpha", [1, 2, 3, 254, 255])
def test_colour_is_right_or_undecided(alpha):
    """Halves are decided where steps are large: of the mean of four pixels, not of sums with weights of 2**-32."""
    for common, decided in ((2**30, True), (1, False)):
        made = rounding(255, has_alpha=True, reach=DIVISOR, common=common)
        step = Fraction(common, DIVISOR)
        for half in range(1, 2 * 255, 2):
            colour = Fraction(half * alpha, 2) // step * step  # the last multiple of a step up to the half
            either = pixels((colour + Fraction(made.colour_bias)) / alpha, made, near=made.colour_near)
            right = half_up(colour / alpha)
            assert either == {right} if decided else right in either


def test_weights_that_are_too_large_are_refused():
    with pytest.raises(ValueError, match="too large"):
        rounding(255, reach=2**40, is_float32=True)
