"""The layer as float convolutions, one for each row phase. CPU."""

from __future__ import annotations

import numpy as np

from upsample_cli.engine.exact import FLOAT64, Arithmetic, cut_off, prepare
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.phases import Blocks, best_blocks, row_phases, steps_per_output
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.kernels.kernel import Kernel

_INTERLEAVING = 6
"""The cost of interleaving channels, in the steps of `phases.steps_per_output`. Measured."""


class RowPhaseRoute:
    """One `conv2d` per row phase in the float type of the sums. CPU.

    The rounding term is the convolution's bias. With alpha, `exact.finish` divides `2*sum(c*a) + sum(a)` by `2*sum(a)`
    for colour and `sum(a) + divisor//2` by the divisor for alpha. Dividends and divisors are both linear in the numbers
    of `exact.prepare`, so one convolution yields all dividends and another all divisors, in place for one division.
    Without alpha, a divisor that is a power of two is divided into the weights instead, which is exact.

    Packed weights contain zeros, and 0 * inf is NaN, so tiles with non-finite pixels fall back to `PlainRoute`.
    """

    name = "row-phases"
    is_compiled = False

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> None:
        self._arithmetic = arithmetic
        dtype = arithmetic.sum_dtype
        self._blocks, self._is_planar = _float_blocks(kernel, arithmetic, channels)
        channels = 1 if self._is_planar else channels
        half = arithmetic.divisor // 2 if arithmetic.is_exact else 0
        doubled = 2 if arithmetic.is_exact else 1
        dividend, divisor = np.eye(channels, dtype=dtype), np.zeros((channels, channels), dtype)
        bias, divisor_bias = (np.full(channels, term, dtype) for term in (half, arithmetic.divisor))
        if arithmetic.has_alpha:
            dividend[:-1] *= doubled
            dividend[:-1, -1] = doubled - 1
            divisor[:-1, -1] = doubled
            bias[:-1] = divisor_bias[:-1] = 0
        is_divided = arithmetic.is_exact and not arithmetic.has_alpha and arithmetic.divisor.bit_count() == 1
        self._divisor = 1 if is_divided else arithmetic.divisor
        self._plain = None if arithmetic.is_exact else PlainRoute(kernel, arithmetic)
        self._dividends = row_phases(kernel, self._blocks, dividend, bias, scale=self._divisor / arithmetic.divisor)
        self._divisors = row_phases(kernel, self._blocks, divisor, divisor_bias) if arithmetic.has_alpha else None
        self.bytes_per_value = (3 if arithmetic.has_alpha else 2) * dtype.itemsize

    def __call__(self, padded: Array, out: Array) -> None:
        """See `Route`."""
        with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
            if self._plain is not None and not np.isfinite(padded.sum()):
                self._plain(padded, out)
                return
            self._enlarge(padded, out)
        if self._plain is not None:
            self._plain.mend(padded, out)

    def _enlarge(self, padded: Array, out: Array) -> None:
        factor = len(self._dividends)
        rows = out.shape[0] // factor
        numbers = prepare(self._blocks.widened(padded, out.shape[1] // factor), self._arithmetic)
        tiles = np.ascontiguousarray(numbers.transpose(2, 0, 1))[..., None] if self._is_planar else numbers[None]
        grouped = self._blocks.grouped(tiles)
        for number, phase in enumerate(self._dividends):
            sums = phase.convolved(grouped, rows)
            if self._divisors is not None:
                divisors = self._divisors[number].convolved(grouped, rows)
                if self._arithmetic.overshoots:
                    sums *= divisors > 0
                sums /= divisors.clip(self._arithmetic.least_divisor)
            elif self._divisor > 1:
                sums /= self._divisor
            sums = cut_off(sums, self._arithmetic)
            phase.write(sums, out[number::factor])


def _float_blocks(kernel: Kernel, arithmetic: Arithmetic, channels: int) -> tuple[Blocks, bool]:
    """The blocks of a float convolution, and whether it convolves each channel as a separate image.

    One convolution of all channels also multiplies by the zeros between them. Separate ones must be interleaved.
    """
    together, apart = (best_blocks(kernel, depth) for depth in (channels, 1))
    saved = steps_per_output(together, channels) - steps_per_output(apart, 1)
    worth_it = saved > _INTERLEAVING or arithmetic.sum_dtype == FLOAT64
    is_planar = worth_it and channels > 1 and kernel.channels == 1 and not arithmetic.has_alpha
    return apart if is_planar else together, is_planar
