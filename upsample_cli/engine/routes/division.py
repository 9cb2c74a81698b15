"""How the compiled route divides its sums: exactly, without dividing where a multiplication gives the same."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.kernels.kernel import Kernel


class Sums(NamedTuple):
    """The type of the sums.

    Args:
        code: its name in the compiled module.
        dtype: of the sums.
        bits: it holds every whole number up to `2**bits`.
    """

    code: str
    dtype: type[np.generic]
    bits: int


_UINT16 = Sums("H", np.uint16, 16)
_FLOAT32 = Sums("f", np.float32, 24)
_INT32 = Sums("i", np.int32, 31)
_FLOAT64 = Sums("d", np.float64, 53)


class Division(NamedTuple):
    """How sums are divided to get pixels; see `native/work.h`.

    Args:
        divisor: divides the sums.
        multiplier, shift: replace the divisor for sums of whole numbers.
        multiplies: whether a floating-point sum is multiplied by the inverse of the divisor.
        alpha_multiplies: whether colour is multiplied by the inverse of its sum of alpha.
    """

    divisor: float
    multiplier: int = 0
    shift: int = 0
    multiplies: bool = False
    alpha_multiplies: bool = False


def exact_division(kernel: Kernel, arithmetic: Arithmetic, scale: int, *, is_direct: bool) -> tuple[Sums, Division]:
    """The fastest type that holds all sums and dividends, and how they are divided.

    Raises:
        ValueError: if no type holds them.
    """
    divisor, pixel, has_alpha = arithmetic.divisor * scale, arithmetic.largest_pixel, arithmetic.has_alpha
    largest = pixel * kernel.reach * scale
    if not (has_alpha or arithmetic.overshoots or is_direct):
        multiplication = short_multiplication(divisor, largest + divisor // 2)
        if multiplication is not None:
            return _UINT16, Division(divisor, *multiplication)
    # The largest dividend; with alpha, twice a sum of colour times alpha plus a sum of alpha.
    most = (2 * pixel + 1) * largest if has_alpha else largest + divisor // 2
    narrow, wide = (_float_division(divisor, most, pixel, 2 * largest, sums.bits) for sums in (_FLOAT32, _FLOAT64))
    if narrow is not None:
        return _FLOAT32, narrow
    limit = 2**_INT32.bits
    if divisor > 1 and (
        (pixel + 1) * largest < limit and _fit_pairs(kernel, scale, is_direct) if has_alpha else most < limit
    ):
        return _INT32, Division(divisor, *whole_multiplication(divisor))
    if wide is not None:
        return _FLOAT64, wide
    raise ValueError("sums too large to be exact")


def _fit_pairs(kernel: Kernel, scale: int, is_direct: bool) -> bool:
    """Whether the weights fit the pairs of 16-bit numbers of `native/products.h`, where some are multiplied by 256."""
    return max(map(abs, kernel.weights)) * scale <= (2**15 - 1 if is_direct else 127**2)


def _float_division(divisor: int, most: int, largest_pixel: int, largest_alpha: int, bits: int) -> Division | None:
    """Decide where a multiplication by the inverse may replace the division, for floats with `bits` bits.

    A division is exact for dividends up to 2**bits, as `exact.finish` proves. For a multiplication, let n be the sum
    and d the divisor. n / d is rounded to the nearest whole number, half up. If d is even, n + 1/2 takes the place of
    n, and no quotient is a half: (n + 1/2) / d, or n / d if d is odd, is at least 1 / (2 * d) away from every half, and
    on the same side as n / d or at the half itself below it. A sum of alpha may be even or odd: there n + 1/4 is at
    least 1 / (4 * d) away. Let D be d, or twice the sum of alpha, so that both distances are 1 / (2 * D), and
    e = 2**-bits, the largest relative error of rounding. The inverse is rounded, and without FMA so is the product.
    With a quotient of at most q + 1, the result is off by less than (q + 1) * 2 * e * (1 + e). It is safe if
    (q + 1) * D < 2**(bits - 2). The sums with 1/2 or 1/4 are exact if the dividend is below 2**(bits - 1): with alpha
    it is more than twice the sum. If d is a power of two, nothing is rounded.

    Quotients above the largest pixel are clipped, so q + 1 is `largest_pixel + 1` at the most.

    Args:
        divisor: the divisor of sums.
        most: the largest dividend.
        largest_pixel: the largest quotient that is not clipped.
        largest_alpha: twice the largest sum of alpha.
        bits: whole numbers up to `2**bits` are exact.

    Returns:
        None if the type does not hold all dividends.
    """
    if most > 2**bits:
        return None
    is_half_exact = most < 2 ** (bits - 1)
    pixels, limit = largest_pixel + 1, 2 ** (bits - 2)
    return Division(
        divisor,
        multiplies=is_half_exact and (divisor.bit_count() == 1 or pixels * divisor < limit),
        alpha_multiplies=is_half_exact and pixels * largest_alpha < limit,
    )


def whole_multiplication(divisor: int) -> tuple[int, int]:
    """A multiplier and a shift for which `(n * multiplier >> 32) >> shift` is `n // divisor` for all n below 2**31.

    Let 2**(length - 1) < d <= 2**length. The multiplier is (2**(31 + length) + e) / d with 0 <= e < d. So the product
    is n / d plus n * e / (d * 2**(31 + length)), which is less than 1 / d: not enough to reach the next whole number.
    Source: Granlund and Montgomery 1994.

    >>> whole_multiplication(729)
    (3016492806, 9)
    """
    length = (divisor - 1).bit_length()
    return -(-(2 ** (31 + length)) // divisor), length - 1


@functools.cache
def short_multiplication(divisor: int, most: int) -> tuple[int, int] | None:
    """A multiplier and a shift for which `(n * multiplier >> 16) >> shift` is `n // divisor` for all n up to `most`.

    >>> short_multiplication(16, 255 * 16 + 8)
    (4096, 0)
    """
    if most >= 2**16:
        return None
    dividends = np.arange(most + 1, dtype=np.int64)
    for shift in range(16):
        multiplier = -(-(2 ** (16 + shift)) // divisor)
        if multiplier >= 2**16:
            return None
        if np.array_equal((dividends * multiplier >> 16) >> shift, dividends // divisor):
            return multiplier, shift
    return None
