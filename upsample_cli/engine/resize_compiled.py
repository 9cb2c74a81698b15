"""Resizing with compiled sums: the same whole numbers as in `resize_products.py`, without the products with zero.

`native/resample.h` computes; this module prepares its tables and decides which types hold all sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from threading import Event
from typing import NamedTuple

import numpy as np

from upsample_cli.engine.bands import ReadRows
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.enlargement import raise_if_set
from upsample_cli.engine.exact import FLOAT32, FLOAT64, Arithmetic
from upsample_cli.engine.operators import Array
from upsample_cli.engine.pool import computed_ahead
from upsample_cli.engine.resize_axes import WEIGHT_SUM, Axis
from upsample_cli.engine.resize_rounding import rounding_of
from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.uniform_alpha import has_one_alpha

_LINES = 8
"""Rows of outputs that are computed together; see native/resample.h."""

_MOST_INPUT_BYTES = 2**24
"""The most bytes of input rows that a group of output rows may need. Stronger reductions use the products of
`resize_products.py`, which read rows one after another."""

_BAND_BYTES = 2**20
"""The most bytes of a band of outputs."""


class Taps(NamedTuple):
    """The weights along an axis.

    Args:
        firsts: (outputs,), the first input of each output.
        weights: (outputs, taps), whole numbers: the weights of the inputs from there on.
        length: number of inputs.
    """

    firsts: Array
    weights: Array
    length: int

    @property
    def reach(self) -> int:
        """The largest sum of absolute weights of an output."""
        return int(abs(self.weights).sum(axis=1).max())

    @property
    def common(self) -> int:
        """The largest power of two that divides all weights."""
        together = int(np.bitwise_or.reduce(self.weights.astype(np.int64), axis=None))
        return together & -together


def taps_of(axis: Axis, length: int) -> Taps:
    """The same weights without the zeros around them.

    >>> from upsample_cli.engine.resize_axes import area_weights, reduced_axis
    >>> taps = taps_of(reduced_axis(4, 3, area_weights), 4)
    >>> taps.firsts.tolist(), taps.weights.tolist()
    ([0, 1, 2], [[12288.0, 4096.0], [8192.0, 8192.0], [4096.0, 12288.0]])
    """
    weights = axis.weights.reshape(-1, axis.span)[: axis.reduced]
    firsts = axis.firsts.repeat(axis.weights.shape[1])[: axis.reduced]
    is_used = weights != 0
    used = firsts + is_used.argmax(axis=1)
    used = np.minimum.accumulate(used[::-1])[::-1]  # in order, although a weight that is rounded to zero may come first
    count = int((firsts + axis.span - is_used[:, ::-1].argmax(axis=1) - used).max())
    starts = np.minimum(used - firsts, axis.span - count)
    taken = np.take_along_axis(weights, starts[:, None] + np.arange(count), axis=1)
    return Taps((firsts + starts).astype(np.int32), taken, length)


class _Part(NamedTuple):
    """A band to make: its rows, and the input rows from `first` on that it needs."""

    made: slice
    first: int
    rows: Array


class CompiledResize:
    """Makes all rows of an image at another size: the exact value, rounded half up.

    Sums are float32 for 8-bit pixels without alpha, and float64 for all others. `resize_rounding.py` proves how far
    they can be off. Pixels for which this does not decide how they are rounded are computed again in whole numbers of
    64 or 128 bits, which hold all sums.

    Args:
        rows, columns: the weights along both axes. They include the enlargement if the inputs are not enlarged.
        arithmetic: of the pixels; its divisor is that of the enlargement. If it has a `sums_dtype`, inputs are sums of
            the enlargement, which are not divided, with alpha of colour times alpha.
        channels: of the pixels, including alpha.
        instructions: the instruction set; by default the fastest.

    Raises:
        ValueError: if no instruction set is available, weights are too large, an output needs too many input rows, or
            there is alpha with neither one nor three colours.
    """

    def __init__(
        self, rows: Taps, columns: Taps, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None
    ) -> None:
        instructions = instructions or compiled.fastest_instructions()
        if arithmetic.has_alpha and channels not in (2, 4):
            raise ValueError("it has alpha, and neither one nor three colours")
        self._rows, self._width, self._channels = rows, columns.length, channels
        self._dtype, self._made_dtype = arithmetic.out_dtype, arithmetic.pixel_dtype
        self._row_bytes = len(columns.firsts) * channels * self._made_dtype.itemsize
        is_summed = arithmetic.sums_dtype is not None
        is_float32 = self._made_dtype == np.uint8 and not arithmetic.has_alpha
        if is_summed and self._dtype != (FLOAT32 if is_float32 else FLOAT64):
            raise ValueError("its sums are too large")
        if self._most_inputs() * columns.length * channels * self._dtype.itemsize > _MOST_INPUT_BYTES:
            raise ValueError("it is reduced too much")
        divisor, largest = arithmetic.divisor * WEIGHT_SUM**2, arithmetic.largest_pixel
        input_reach = int(arithmetic.gain * arithmetic.divisor) if is_summed else 1
        reach = rows.reach * columns.reach * input_reach
        dividend = (2 * largest + 1) * largest * reach if arithmetic.has_alpha else largest * reach + divisor // 2
        self.has_small_sums = dividend <= 2**53
        """Whether float64 holds all sums, so that products of matrices are exact too."""
        if max(rows.reach, columns.reach) >= 2**53:
            raise ValueError("its weights are too large")
        self._column_taps = columns.weights.shape[1]
        rounding = rounding_of(
            reach, rows.common * columns.common, divisor, rows.weights.shape[1] + self._column_taps, largest, dividend,
            is_float32=is_float32, has_alpha=arithmetic.has_alpha,
        )  # fmt: skip
        self._make = partial(compiled.native.resample, instructions)
        self._settings = (
            columns.firsts, columns.weights, divisor, rounding, arithmetic.has_alpha, is_summed,
        )  # fmt: skip
        self._without_alpha: CompiledResize | None = None
        if arithmetic.has_alpha and not is_summed and _is_flat(rows) and _is_flat(columns):
            self._without_alpha = CompiledResize(
                rows, columns, arithmetic._replace(has_alpha=False), channels, instructions=instructions
            )

    def _most_inputs(self) -> int:
        """The largest number of input rows of rows that are made together."""
        firsts = self._rows.firsts
        last = np.minimum(np.arange(len(firsts)) + _LINES - 1, len(firsts) - 1)
        return int((firsts[last] - firsts).max() + self._rows.weights.shape[1])

    def bands(self, read_rows: ReadRows, stop: Event | None = None) -> Iterator[Array]:
        """Yield the rows of the output from top to bottom; see `resize.resized_bands`."""
        parts = list(self._parts())
        taken = self._taken(read_rows, parts, stop)
        for made in computed_ahead(self._made, taken) if len(parts) > 1 else map(self._made, taken):
            raise_if_set(stop)
            yield made

    def _parts(self) -> Iterator[slice]:
        """The rows of each band: at least one band for each core, and small ones."""
        height = len(self._rows.firsts)
        most = max(1, min(_BAND_BYTES // self._row_bytes, -(-height // core_count())))
        rows = -(-most // _LINES) * _LINES
        for start in range(0, height, rows):
            yield slice(start, min(start + rows, height))

    def _taken(self, read_rows: ReadRows, parts: Sequence[slice], stop: Event | None) -> Iterator[_Part]:
        """The input rows of each band. Each row is read once."""
        rows, first, last = np.empty((0, self._width, self._channels), self._dtype), 0, 0
        for made in parts:
            raise_if_set(stop)
            start, end = (
                int(self._rows.firsts[made.start]),
                int(self._rows.firsts[made.stop - 1] + self._rows.weights.shape[1]),
            )
            kept = rows[start - first :]
            rows = np.concatenate([kept, read_rows(max(start, last), end)]) if end > last else kept
            first, last = start, end
            yield _Part(made, start, rows)

    def _made(self, part: _Part) -> Array:
        out = np.empty((part.made.stop - part.made.start, len(self._settings[0]), self._channels), self._made_dtype)
        self._resample(part, out)
        return out

    def _resample(self, part: _Part, out: Array) -> None:
        if self._without_alpha is not None and has_one_alpha(part.rows):
            self._without_alpha._resample(part, out)
            return
        firsts, weights = self._rows.firsts[part.made] - np.int32(part.first), self._rows.weights[part.made]
        taps = weights.shape[1], self._column_taps
        self._make(part.rows, len(part.rows), self._width, out, *taps, firsts, weights, *self._settings)


def _is_flat(taps: Taps) -> bool:
    """Whether the weights of all outputs have the same sum, so that a constant alpha cancels."""
    sums = taps.weights.sum(axis=1)
    return bool((sums == sums[0]).all())
