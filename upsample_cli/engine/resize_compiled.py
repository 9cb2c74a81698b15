"""Resizing with compiled sums: the same whole numbers as in `resize.py`, without the products with zero.

`native/resample.h` computes; this module prepares its tables and decides which types hold all sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.bands import ReadRows, raise_if_set
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.pool import computed_ahead
from upsample_cli.engine.resize_axes import WEIGHT_SUM, Axis
from upsample_cli.engine.routes.compiled import float_division, instruction_sets, native

Array = NDArray[Any]

_LINES = 8
"""Rows of outputs that are computed together. Source: `resampled_lines` in native/resampling.h."""

_INT32_BITS, _FLOAT32_BITS, _FLOAT64_BITS = 31, 24, 53
_MOST_INPUT_BYTES = 2**24
"""The most bytes of input rows that a group of output rows may need. Stronger reductions read rows one after another
with the matrices of `resize.py`."""

_BAND_BYTES = 2**20


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


def taps_of(axis: Axis, length: int) -> Taps:
    """The same weights without the zeros around them.

    >>> from upsample_cli.engine.resize_axes import area_weights, reduced_axis
    >>> taps = taps_of(reduced_axis(4, 3, area_weights), 4)
    >>> taps.firsts.tolist(), taps.weights.tolist()
    ([0, 1, 2], [[12288.0, 4096.0], [8192.0, 8192.0], [4096.0, 12288.0]])
    """
    weights = axis.weights.reshape(-1, axis.span)[: axis.reduced]
    is_used = weights != 0
    starts = is_used.argmax(axis=1)
    count = int((axis.span - is_used[:, ::-1].argmax(axis=1) - starts).max())
    starts = np.minimum(starts, axis.span - count)
    firsts = axis.firsts.repeat(axis.weights.shape[1])[: axis.reduced] + starts
    taken = np.take_along_axis(weights, starts[:, None] + np.arange(count), axis=1)
    return Taps(firsts.astype(np.int32), taken, length)


def _groups_of(rows: Taps) -> tuple[Array, Array]:
    """For each group of output rows: its first input, and its weights, (groups, inputs, rows of a group)."""
    count, taps = rows.weights.shape
    missing = -count % _LINES
    firsts = np.pad(rows.firsts, (0, missing), mode="edge").reshape(-1, _LINES)
    weights = np.pad(rows.weights, ((0, missing), (0, 0))).reshape(-1, _LINES, taps)
    starts = np.minimum.accumulate(firsts.min(axis=1)[::-1])[::-1]
    span = int((firsts.max(axis=1) + taps - starts).max())
    starts = np.minimum(starts, rows.length - span)
    made = np.zeros((len(starts), span, _LINES))
    places = (firsts - starts[:, None])[..., None] + np.arange(taps)
    groups, lines, _ = np.indices(places.shape, sparse=True)
    made[groups, places, lines] = weights
    return starts.astype(np.int32), made


class _Part(NamedTuple):
    """A band to make: its groups of rows, and the input rows from `first` on that it needs."""

    groups: slice
    first: int
    rows: Array


class CompiledResize:
    """Makes all rows of an image at another size.

    Sums down the columns are int32 for 8-bit pixels without alpha, and float64 for all others. Sums along the rows are
    float64, exact, and divided as `float_division` proves. For 8-bit pixels without alpha they are float32 first:

    Let u = 2**-24 be the largest relative error of a rounding, and A the largest sum of absolute products, divided by
    the divisor. The sum down the columns and the weight are rounded to float32, then each of the `taps` products, and
    each addition. So a sum is off by less than ((1 + u)**(taps + 3) - 1) * A, and adding 1/2 rounds once more. All
    together is less than (taps + 5) * (A + 1) * u as long as taps < 2**10. A quotient farther than that from every
    whole number is rounded down correctly. All others are computed again in float64.

    Args:
        rows, columns: the weights along both axes, which include the enlargement.
        arithmetic: of the pixels; its divisor is that of the enlargement.
        channels: of the pixels, including alpha.
        instructions: the instruction set; by default the fastest.

    Raises:
        ValueError: if no instruction set is available, sums are too large to be exact, a group of rows needs too many
            input rows, or there is alpha with neither one nor three colours.
    """

    def __init__(
        self, rows: Taps, columns: Taps, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None
    ) -> None:
        instructions = instructions or next(iter(instruction_sets()), None)
        if instructions is None:
            raise ValueError("this package was not compiled for this processor")
        if arithmetic.has_alpha and channels not in (2, 4):
            raise ValueError("it has alpha, and neither one nor three colours")
        self._firsts, self._row_weights = _groups_of(rows)
        self._width, self._channels = columns.length, channels
        self._dtype, self._has_alpha = arithmetic.pixel_dtype, arithmetic.has_alpha
        self._size = len(rows.firsts), len(columns.firsts)
        if self._inputs * columns.length * channels * self._dtype.itemsize > _MOST_INPUT_BYTES:
            raise ValueError("it is reduced too much")
        divisor, largest = arithmetic.divisor * WEIGHT_SUM**2, arithmetic.largest_pixel
        reach = rows.reach * columns.reach
        most = (2 * largest + 1) * largest * reach if arithmetic.has_alpha else largest * reach + divisor // 2
        if most > 2**_FLOAT64_BITS:
            raise ValueError("sums too large to be exact")
        division = float_division(divisor, most, largest, 2 * largest * reach, _FLOAT64_BITS)
        taps = columns.weights.shape[1]
        uncertainty = (taps + 5) * (largest * reach / divisor + 1) * 2**-_FLOAT32_BITS
        is_small = largest * rows.reach < 2**_INT32_BITS and uncertainty < 1 / 8
        is_checked = self._dtype == np.uint8 and not arithmetic.has_alpha and is_small
        self._kind = ("i" if is_checked else "d", self._inputs, taps)
        self._settings = (
            columns.firsts, columns.weights, divisor, uncertainty,
            division.multiplies, division.alpha_multiplies, arithmetic.has_alpha,
        )  # fmt: skip
        self._make = partial(native.resample, instructions)
        self._without_alpha: CompiledResize | None = None
        if arithmetic.has_alpha and _is_flat(rows) and _is_flat(columns):
            self._without_alpha = CompiledResize(
                rows, columns, replace(arithmetic, has_alpha=False), channels, instructions=instructions
            )

    @property
    def _inputs(self) -> int:
        """The number of input rows of a group of output rows."""
        return self._row_weights.shape[1]

    def bands(self, read_rows: ReadRows, stop: Event | None = None) -> Iterator[Array]:
        """Yield the rows of the output from top to bottom; see `resize.resized_bands`."""
        parts = list(self._parts())
        taken = self._taken(read_rows, parts, stop)
        return computed_ahead(self._made, taken) if len(parts) > 1 else map(self._made, taken)

    def _parts(self) -> Iterator[slice]:
        """The groups of each band: several bands for each core, but small ones."""
        groups, row_bytes = len(self._firsts), self._size[1] * self._channels * self._dtype.itemsize
        step = max(1, min(_BAND_BYTES // (_LINES * row_bytes), -(-groups // core_count())))
        for start in range(0, groups, step):
            yield slice(start, min(start + step, groups))

    def _taken(self, read_rows: ReadRows, parts: Sequence[slice], stop: Event | None) -> Iterator[_Part]:
        """The input rows of each band. Each row is read once."""
        rows, first, last = np.empty((0, self._width, self._channels), self._dtype), 0, 0
        for groups in parts:
            raise_if_set(stop)
            start, end = int(self._firsts[groups.start]), int(self._firsts[groups.stop - 1]) + self._inputs
            kept = rows[start - first :]
            rows = np.concatenate([kept, read_rows(max(start, last), end)]) if end > last else kept
            first, last = start, end
            yield _Part(groups, start, rows)

    def _made(self, part: _Part) -> Array:
        height = min(part.groups.stop * _LINES, self._size[0]) - part.groups.start * _LINES
        out = np.empty((height, self._size[1], self._channels), self._dtype)
        self._resample(part, out)
        return out

    def _resample(self, part: _Part, out: Array) -> None:
        if self._without_alpha is not None and _has_one_alpha(part.rows):
            self._without_alpha._resample(part, out)
            return
        firsts = (self._firsts[part.groups] - part.first).astype(np.int32)
        shape = len(part.rows), part.rows.shape[1]
        self._make(part.rows, *shape, out, *self._kind, firsts, self._row_weights[part.groups], *self._settings)


def _is_flat(taps: Taps) -> bool:
    """Whether the weights of all outputs have the same sum, so that a constant alpha cancels."""
    sums = taps.weights.sum(axis=1)
    return bool((sums == sums[0]).all())


def _has_one_alpha(rows: Array) -> bool:
    """Whether alpha is constant and not zero; see `uniform_alpha.py`."""
    alpha = rows[..., -1]
    return bool(alpha[0, 0] > 0 and (alpha == alpha[0, 0]).all())
