"""The fastest route for kernels that are an outer product: compiled sums down the columns, then along the rows.

`native/` computes; this module prepares its tables and chooses its instruction set. It needs a package that was built
with a compiler, and whole pixels. The routes of torch serve everything else.
"""

from __future__ import annotations

import functools
import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.kernels.kernel import Kernel, axis_of
from upsample_cli.kernels.profiles import AxisKernel, phase_taps

try:
    from upsample_cli.engine.native import _separable as native
except ImportError:  # built without a compiler
    native = None  # type: ignore[assignment]

Table = NDArray[Any]

_BEYOND = {"avx2": {"avx512"}, "default": {"avx512", "avx2"}}
"""What a value of ATEN_CPU_CAPABILITY forbids. The variable sets libtorch's instructions, so it sets ours."""

_TWOFOLD_CHANNELS = 4


class _Sums(NamedTuple):
    """The type of the sums.

    Args:
        code: its name in the compiled module.
        dtype: of the sums.
        order: dtype of the tables that select the numbers of a vector.
        most: the largest sum or dividend that it holds.
    """

    code: str
    dtype: type[np.generic]
    order: type[np.generic]
    most: int


_SUMS = (
    _Sums("H", np.uint16, np.uint16, 2**16 - 1),
    _Sums("i", np.int32, np.int32, 2**31 - 1),
    _Sums("d", np.float64, np.int64, 2**53),
)


class SeparableRoute:
    """Sums of whole numbers along one axis and then the other, in vectors of the processor. CPU, whole pixels.

    Sums have 16 bits if they fit, otherwise 32 bits, otherwise they are float64. Quotients are exact: for 16 bits by a
    multiplication that was verified for every dividend, for 32 bits by a float corrected by its remainder, for float64
    by the proof in `exact.finish`.

    Raises:
        ValueError: if there is no instruction set, the kernel is not an outer product, pixels are not whole, or there
            are so many channels that those of one pixel do not fit in a vector.
    """

    name = "compiled"

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None):
        axis = axis_of(kernel)
        instructions = instructions or next(iter(instruction_sets()), None)
        if instructions is None:
            raise ValueError("this package was not compiled for this processor")
        if axis is None:
            raise ValueError("the kernel is not an outer product")
        if not arithmetic.is_exact:
            raise ValueError("its pixels are not whole numbers")
        # Several bands wait for a slower encoder, so they are small. Twice as large they would be a tenth faster.
        self.bytes_per_value = 4 * arithmetic.pixel_dtype.itemsize
        self._settings: tuple[Any, ...] = ()
        if _is_twofold(axis, arithmetic, channels):
            self._enlarge = functools.partial(native.enlarge_twofold, instructions)
            return
        self._enlarge = functools.partial(native.enlarge, instructions)
        scale = 2 if axis.denominator == 1 else 1  # a division by 1 has no multiplier of 16 bits
        divisor = arithmetic.divisor * scale
        sums, (multiplier, shift) = _sums(kernel, arithmetic, divisor)
        phases = phase_taps(axis.factor, axis.padding)
        firsts = np.array([first for first, _ in phases])
        taps = np.array([[0 if tap is None else axis.numerators[tap] for tap in met] for _, met in phases])
        lanes = native.lanes(instructions, sums.code)
        order, first_columns, weights, advance = _columns(taps, firsts, channels, lanes)
        if arithmetic.has_alpha and lanes % channels:
            raise ValueError("a vector splits a pixel, so its alpha is in another")
        alpha_lanes = np.arange(lanes) // channels * channels + channels - 1
        self._settings = (
            sums.code, kernel.factor, taps.shape[1], 2 * axis.halo + 1, len(order), advance,
            firsts.astype(np.int32), first_columns.astype(np.int32),
            (taps * scale).astype(sums.dtype), weights.astype(sums.dtype),
            np.vstack([order, alpha_lanes]).astype(sums.order),
            float(divisor), multiplier, shift, arithmetic.has_alpha, arithmetic.overshoots,
        )  # fmt: skip

    def __call__(self, padded: Table, out: Table) -> None:
        """See `plain.Route`."""
        self._enlarge(padded, out, *self._settings)


def _is_twofold(axis: AxisKernel, arithmetic: Arithmetic, channels: int) -> bool:
    """Whether `twofold.h` serves, which has only rounding averages of bytes: for bilinear enlargement by two."""
    if (axis.factor, axis.padding, axis.numerators) != (2, 1, (1, 3, 3, 1)) or arithmetic.has_alpha:
        return False
    return arithmetic.pixel_dtype == np.uint8 and arithmetic.divisor == 16 and channels <= _TWOFOLD_CHANNELS


@functools.cache
def instruction_sets() -> list[str]:
    """The instruction sets that are compiled and that this processor has, fastest first."""
    if native is None:
        return []
    beyond = _BEYOND.get(os.environ.get("ATEN_CPU_CAPABILITY", ""), set())
    return [name for name in native.instruction_sets() if name not in beyond]


def _sums(kernel: Kernel, arithmetic: Arithmetic, divisor: int) -> tuple[_Sums, tuple[int, int]]:
    """The narrowest type that holds all sums and dividends, with the multiplier and shift that replace the division."""
    largest = arithmetic.largest_pixel * kernel.reach * (divisor // arithmetic.divisor)
    if not arithmetic.has_alpha and not arithmetic.overshoots:
        multiplication = _multiplication(divisor, largest + divisor // 2)
        if multiplication is not None:
            return _SUMS[0], multiplication
    # With alpha: twice a colour sum plus an alpha sum, and the divisor, which is twice an alpha sum.
    most = (2 * arithmetic.largest_pixel + 3) * largest if arithmetic.has_alpha else largest + 2 * divisor
    for sums in _SUMS[1:]:
        if most <= sums.most:
            can_shift = sums.code == "i" and divisor.bit_count() == 1
            return sums, (0, divisor.bit_length() - 1 if can_shift else 0)
    raise ValueError("sums too large to be exact")


@functools.cache
def _multiplication(divisor: int, most: int) -> tuple[int, int] | None:
    """A multiplier and a shift for which `(n * multiplier >> 16) >> shift` is `n // divisor` for all n up to `most`.

    >>> _multiplication(16, 255 * 16 + 8)
    (4096, 0)
    """
    if most > _SUMS[0].most:
        return None
    dividends = np.arange(most + 1, dtype=np.int64)
    for shift in range(16):
        multiplier = -(-(2 ** (16 + shift)) // divisor)
        if multiplier > _SUMS[0].most:
            return None
        if np.array_equal((dividends * multiplier >> 16) >> shift, dividends // divisor):
            return multiplier, shift
    return None


def _columns(taps: Table, firsts: Table, channels: int, lanes: int) -> tuple[Table, Table, Table, int]:
    """The inputs of each vector of outputs, for one period of the pattern.

    Returns:
        order: (vectors, lanes), the number of the line that each lane uses for its first tap, counted from `first`.
        first: (vectors,), counted from the first column of the period.
        weights: (vectors, taps, lanes).
        advance: from one period to the next, in numbers of the line.

    Raises:
        ValueError: if the inputs of a vector do not fit in one vector.
    """
    factor = len(taps)
    per_pixel = factor * channels
    common = math.gcd(lanes, per_pixel)
    output = np.arange(per_pixel // common * lanes).reshape(-1, lanes)
    pixel, phase = np.divmod(output // channels, factor)
    taken = (pixel + firsts[phase]) * channels + output % channels
    first = taken.min(axis=1)
    order = taken - first[:, None]
    if order.max() >= lanes:
        raise ValueError("the inputs of a vector do not fit in one")
    return order, first, np.ascontiguousarray(taps[phase].transpose(0, 2, 1)), lanes // common * channels
