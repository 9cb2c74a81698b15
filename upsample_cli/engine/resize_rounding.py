"""How sums of floats are rounded to pixels, and how far they can be off; `native/resample.h` applies it."""

from __future__ import annotations

import math
from typing import NamedTuple

_DIGITS = {True: 24, False: 53}
"""The bits of a number of float32 if true, otherwise of float64. Source: IEEE 754."""

_FIXED_BITS = {True: 22, False: 30}
"""The bits before the sign of a number plus its fraction. Those of float32 are part of the bits of a float."""

_LEAST_FRACTION_BITS = 7
"""So numbers of float32 fit in 16 bits without their fractions, and an error of a sixteenth level is eight units."""


class Rounding(NamedTuple):
    """How numbers, in levels, are rounded to pixels.

    A number plus one half is rounded to a whole number of units, 2**-fraction_bits. If it is more than `near` units
    from the next whole level, it is rounded correctly. All others are computed again in whole numbers.

    Args:
        fraction_bits: the bits of a fraction.
        near, colour_near: units; `colour_near` for colour with alpha, `near` for all others.
        bias, colour_bias: added to numbers before, and to sums of colour times alpha before their division.
        least_alpha: colour with more alpha is divided by it, and off by less than `colour_near` units.
        clear_alpha: colour with this alpha or less is 0. Where alpha is between both, whole numbers decide.
        is_short: whether 64 bits hold the whole numbers.
    """

    fraction_bits: int
    near: int
    colour_near: int
    bias: float
    colour_bias: float
    least_alpha: float
    clear_alpha: float
    is_short: bool


def rounding_of(
    reach: int,
    common: int,
    divisor: int,
    taps: int,
    largest: int,
    dividend: int,
    *,
    is_float32: bool,
    has_alpha: bool,
) -> Rounding:
    """How quotients of sums by `divisor` are rounded to pixels.

    Let u be the largest relative error of a rounding: 2**-24 or 2**-53. Let A be the largest sum of absolute products
    of pixels and weights, in levels. Weights, products and their additions are rounded along each axis. Each product
    takes part in at most taps + 4 roundings, and a sum is off by less than ((1 + u)**(taps + 4) - 1) * A, which is less
    than (taps + 5) * A * u if taps < 1000. Rounding to units adds half a unit.

    All sums are multiples of a step, `common / divisor`. If the divisor is a power of two, and the bits of a float hold
    all sums as multiples of a quarter step and of half a unit, then they are exact. Half a unit less and a quarter of a
    step more than such a sum is rounded to the unit at or below it, so nothing has to be decided: `near` is 0.

    With alpha, colour is a quotient c / a, and a pixel at the most: more is clipped. If c is off by e and a by f, and a
    is at least 8 f, the quotient is off by less than (e + largest * f) / a * 8/7, from `least_alpha` on less than a
    quarter of a unit. The division adds less than 2**-27. If c is exact, a quarter of a step is added to it. This
    changes no result, because a quotient that does not reach a half is at least half a step divided by a below it.

    Args:
        reach: the largest sum of the absolute weights of an output, for inputs of one level.
        common: a power of two that divides all products of weights of rows and of columns.
        taps: the number of weights of an output along both axes together.
        largest: the largest pixel.
        dividend: the largest dividend of a division in whole numbers.

    Raises:
        ValueError: if weights are too large.
    """
    bound = largest * reach / divisor
    bits = _FIXED_BITS[is_float32] - (math.ceil(largest if has_alpha else bound) + 1).bit_length()
    error = (taps + 5) * bound * 2.0 ** -_DIGITS[is_float32]
    if bits < _LEAST_FRACTION_BITS or error > 1 / 16 or taps >= 1000 or divisor >= 2**100 or dividend >= 2**124:
        raise ValueError("its weights are too large")
    unit, step = 0.5**bits, common / divisor
    most = 0 if divisor & (divisor - 1) else 2 ** _DIGITS[is_float32] * min(step / 4, unit / 2)
    is_exact, is_colour_exact = bound + 1 <= most, largest * (bound + 1) <= most
    colour_error = 0 if is_colour_exact else 3 * largest * error
    clear = step / 2 if is_exact else -8 * error
    return Rounding(
        bits,
        near=0 if is_exact else int(error / unit + 0.5) + 1,
        colour_near=1,
        bias=(step / 2 - unit) / 2 if is_exact else 0.0,
        colour_bias=step / 4 if is_colour_exact else 0.0,
        least_alpha=max(abs(clear), 4 * colour_error / unit),
        clear_alpha=clear,
        is_short=dividend < 2**61,
    )
