"""The fastest route on the CPU: compiled sums of whole pixels.

`native/` computes; this module prepares its tables and chooses its instruction set. It needs a package that was built
with a compiler, and whole pixels. The routes of torch compute everything else.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.kernels.kernel import Kernel, axis_of
from upsample_cli.kernels.profiles import AxisKernel, phase_taps

try:
    from upsample_cli.engine.native import _kernels as native
except ImportError:  # built without a compiler
    native = None  # type: ignore[assignment]

__all__ = ["CompiledRoute", "direct_weights", "instruction_sets", "native", "suitable_instructions"]

Table = NDArray[Any]

Phases = list[tuple[int, list[int | None]]]
"""For each phase along an axis, its first input, and the taps that the inputs from there on are weighted with."""

_BEYOND = {"default": {"avx2"}}
"""Instruction sets that a value of ATEN_CPU_CAPABILITY forbids. The variable limits libtorch, so it limits us too."""

_TWOFOLD_CHANNELS = 4


class _Sums(NamedTuple):
    """The type of the sums.

    Args:
        code: its name in the compiled module.
        dtype: of the sums.
        bits: it holds every whole number up to `2**bits`.
    """

    code: str
    dtype: type[np.generic]
    bits: int


_UINT16 = _Sums("H", np.uint16, 16)
_FLOAT32 = _Sums("f", np.float32, 24)
_INT32 = _Sums("i", np.int32, 31)
_FLOAT64 = _Sums("d", np.float64, 53)


class _Division(NamedTuple):
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


class CompiledRoute:
    """Sums of whole numbers in vectors of the processor. CPU, whole pixels.

    A kernel that is an outer product sums along one axis and then along the other; any other kernel sums over all
    inputs of an output. Sums have 16 bits if they fit, otherwise they are float32, 32-bit whole numbers or float64, in
    this order; all are exact. So are the quotients: for 16 bits by a multiplication that was verified for every
    dividend, for the others as `_whole_multiplication`, `_float_division` and `native/finish.h` prove.

    Raises:
        ValueError: if no instruction set is available, the kernel treats channels differently, pixels are not whole,
            sums are too large to be exact, or there is alpha with neither one nor three colours.
    """

    name = "compiled"
    is_compiled = True

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None):
        axis = axis_of(kernel)
        instructions = suitable_instructions(kernel, arithmetic, channels, instructions)
        # Several bands wait for a slower encoder, so they are small. Bands of twice the size would be a tenth faster.
        self.bytes_per_value = 4 * arithmetic.pixel_dtype.itemsize
        self._settings: tuple[Any, ...] = ()
        if _is_twofold(axis, arithmetic, channels):
            self._enlarge = functools.partial(native.enlarge_twofold, instructions)
            self._settings = (arithmetic.has_alpha,)
            return
        self._enlarge = functools.partial(native.enlarge, instructions)
        scale = 2 if axis is not None and axis.denominator == 1 else 1  # a division by 1 has no multiplier of 16 bits
        sums, division = _division(kernel, arithmetic, scale**2, is_direct=axis is None)
        phases = phase_taps(kernel.factor, kernel.padding)
        firsts = np.array([first for first, _ in phases], np.int32)
        weights = direct_weights(kernel, phases) if axis is None else scale * _axis_weights(axis, phases)
        self._settings = (
            sums.code, kernel.factor, len(phases[0][1]), 2 * kernel.halo + 1, firsts, weights.astype(sums.dtype),
            *division, arithmetic.has_alpha, arithmetic.overshoots, axis is None,
        )  # fmt: skip

    def __call__(self, padded: Table, out: Table) -> None:
        """See `plain.Route`."""
        self._enlarge(padded, out, *self._settings)


def suitable_instructions(kernel: Kernel, arithmetic: Arithmetic, channels: int, instructions: str | None) -> str:
    """The instruction set, by default the fastest.

    Raises:
        ValueError: if nothing compiled can enlarge these pixels with this kernel.
    """
    instructions = instructions or next(iter(instruction_sets()), None)
    if instructions is None:
        raise ValueError("this package was not compiled for this processor")
    if kernel.channels > 1:
        raise ValueError("the kernel treats channels differently")
    if not arithmetic.is_exact:
        raise ValueError("its pixels are not whole numbers")
    if arithmetic.has_alpha and channels not in (2, 4):
        raise ValueError("it has alpha, and neither one nor three colours")
    return instructions


def _is_twofold(axis: AxisKernel | None, arithmetic: Arithmetic, channels: int) -> bool:
    """Whether it is bilinear enlargement by two, for which `twofold.h` and `twofold_alpha.h` have faster code."""
    if axis is None or (axis.factor, axis.padding, axis.numerators) != (2, 1, (1, 3, 3, 1)):
        return False
    return (
        arithmetic.pixel_dtype in (np.uint8, np.uint16) and arithmetic.divisor == 16 and channels <= _TWOFOLD_CHANNELS
    )


def _axis_weights(axis: AxisKernel, phases: Phases) -> Table:
    """The weights of each phase along one axis, (factor, taps)."""
    return np.array([[0 if tap is None else axis.numerators[tap] for tap in met] for _, met in phases])


def direct_weights(kernel: Kernel, phases: Phases) -> Table:
    """The weights of each phase of rows and columns, (factor, factor, taps, taps)."""
    size = kernel.kernel_size
    taps = np.array([[size if tap is None else tap for tap in met] for _, met in phases])
    weights = np.zeros((size + 1, size + 1), np.int64)
    weights[:size, :size] = np.reshape(kernel.weights, (size, size))
    made: Table = weights[taps[:, None, :, None], taps[None, :, None, :]]
    return made


@functools.cache
def instruction_sets() -> list[str]:
    """The instruction sets that are compiled and that this processor has, fastest first."""
    if native is None:
        return []
    beyond = _BEYOND.get(os.environ.get("ATEN_CPU_CAPABILITY", ""), set())
    return [name for name in native.instruction_sets() if name not in beyond]


def _division(kernel: Kernel, arithmetic: Arithmetic, scale: int, *, is_direct: bool) -> tuple[_Sums, _Division]:
    """The fastest type that holds all sums and dividends, and how they are divided.

    Raises:
        ValueError: if no type holds them.
    """
    divisor, pixel, has_alpha = arithmetic.divisor * scale, arithmetic.largest_pixel, arithmetic.has_alpha
    largest = pixel * kernel.reach * scale
    if not (has_alpha or arithmetic.overshoots or is_direct):
        multiplication = _multiplication(divisor, largest + divisor // 2)
        if multiplication is not None:
            return _UINT16, _Division(divisor, *multiplication)
    # The largest dividend; with alpha, twice a sum of colour times alpha plus a sum of alpha.
    most = (2 * pixel + 1) * largest if has_alpha else largest + divisor // 2
    narrow, wide = (_float_division(divisor, most, pixel, 2 * largest, sums.bits) for sums in (_FLOAT32, _FLOAT64))
    if narrow is not None:
        return _FLOAT32, narrow
    if divisor > 1 and ((pixel + 1) * largest if has_alpha else most) < 2**_INT32.bits:
        return _INT32, _Division(divisor, *_whole_multiplication(divisor))
    if wide is not None:
        return _FLOAT64, wide
    raise ValueError("sums too large to be exact")


def _float_division(divisor: int, most: int, largest_pixel: int, largest_alpha: int, bits: int) -> _Division | None:
    """Decide where a multiplication by the inverse may replace the division, for floats with `bits` bits.

    A division is exact for dividends up to 2**bits, as `exact.finish` proves. For a multiplication, let n be the sum
    and d the divisor. n / d is rounded to the nearest whole number, half up. If d is even, n + 1/2 takes the place of
    n, so that there is no half: (n + 1/2) / d, or n / d if d is odd, is at least 1 / (2 * d) away from every half, and
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
    return _Division(
        divisor,
        multiplies=is_half_exact and (divisor.bit_count() == 1 or pixels * divisor < limit),
        alpha_multiplies=is_half_exact and pixels * largest_alpha < limit,
    )


def _whole_multiplication(divisor: int) -> tuple[int, int]:
    """A multiplier and a shift for which `(n * multiplier >> 32) >> shift` is `n // divisor` for all n below 2**31.

    Let 2**(length - 1) < d <= 2**length. The multiplier is (2**(31 + length) + e) / d with 0 <= e < d. So the product
    is n / d plus n * e / (d * 2**(31 + length)), which is less than 1 / d: not enough to reach the next whole number.
    Source: Granlund and Montgomery 1994.

    >>> _whole_multiplication(729)
    (3016492806, 9)
    """
    length = (divisor - 1).bit_length()
    return -(-(2 ** (31 + length)) // divisor), length - 1


@functools.cache
def _multiplication(divisor: int, most: int) -> tuple[int, int] | None:
    """A multiplier and a shift for which `(n * multiplier >> 16) >> shift` is `n // divisor` for all n up to `most`.

    >>> _multiplication(16, 255 * 16 + 8)
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
