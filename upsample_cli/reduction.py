"""Pictures at any size: enlarged by a whole factor, then reduced by an antialiasing filter, band by band.

The layer's sums come here undivided. Two products with a banded matrix of whole weights follow, one for each axis, and
then the only division and rounding there is: `pixels.finish`, as for whole factors. Rows and columns are reduced in
blocks on a grid of their own, however the engine cut the picture, so tiles never change a pixel. Numbers are held in
float64. As long as they stay below 2**53 every result is the exact value rounded half up, on every machine: of 8-bit
pixels through the bilinear kernel always, with alpha up to factor 4; of 16-bit ones up to factor 6. What is larger (16
bits with alpha, most linear light) is rounded to 53 bits on the way, a millionth of a level at the most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Event
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.cores import core_count
from upsample_cli.engine import ReadRows, Settings, compute_pool, enlarged_bands
from upsample_cli.pixels import Arithmetic, finish

Item = TypeVar("Item")
Made = TypeVar("Made")
Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Filter = Callable[[Indices, Indices, int, int], Array]
Window = tuple[list[torch.Tensor], torch.Tensor]

_WEIGHT_SUM = 2**14
"""What the weights of one output sum to: rounding them to whole numbers is then far below a level of 8 bits."""

_DIVISOR_BITS = 62
"""More than these torch does not take. Kernels for 16-bit pixels would have them."""

_LOBES = 3
_CHUNK_ROWS = 8
_BLOCK_SAMPLES = 16
"""Outputs made at once, at ratio 1. Larger blocks make fewer calls, smaller ones fewer products with zero. Measured."""


def area_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """How much of each sample taken lies in each one made: the mean over what an output covers."""
    ends = np.minimum((taken + 1) * reduced, (made + 1) * length)
    shared: Array = np.maximum(ends - np.maximum(taken * reduced, made * length), 0).astype(np.float64)
    return shared


def lanczos_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """The sinc of the reduced axis under Lanczos' window of three lobes a side.

    Source: Turkowski 1990, Filters for common resampling tasks (Graphics Gems).
    """
    distance = ((2 * taken + 1) * reduced - (2 * made + 1) * length) / (2 * length)
    weights: Array = np.where(abs(distance) < _LOBES, np.sinc(distance) * np.sinc(distance / _LOBES), 0)
    return weights


_FILTERS: dict[str, Filter] = {"nearest": area_weights}


def filter_for(kernel_name: str) -> Filter:
    """The filter that goes with a kernel: pixels enlarged as squares are reduced as squares, the others by Lanczos."""
    return _FILTERS.get(kernel_name, lanczos_weights)


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis reduced in blocks of neighbouring samples, all of one shape.

    Args:
        reduced: samples made.
        firsts: the first sample that each block takes.
        weights: (blocks, samples made, samples taken), whole numbers. They sum to 2**14 for each sample made, and to 0
            for those of the last block that lie past the end.
    """

    reduced: int
    firsts: Indices
    weights: torch.Tensor

    @property
    def span(self) -> int:
        """Samples that a block takes."""
        return self.weights.shape[2]

    @property
    def taken(self) -> torch.Tensor:
        """The samples that the blocks take, one block after another."""
        return torch.from_numpy((self.firsts[:, None] + np.arange(self.span)).ravel())


def reduced_axis(length: int, reduced: int, weigh: Filter) -> Axis:
    """An axis of `length` samples reduced edge to edge: output o covers o to o + 1 times `length / reduced`.

    Beyond the edges there is nothing: the weights of what there is are scaled to the same sum.

    >>> reduced_axis(4, 3, area_weights).weights[0, :3].tolist()
    [[12288.0, 4096.0, 0.0, 0.0], [0.0, 8192.0, 8192.0, 0.0], [0.0, 0.0, 4096.0, 12288.0]]
    """
    step = max(1, _BLOCK_SAMPLES * reduced // length)
    reach = -(-_LOBES * length // reduced)
    span = min(length, -(-step * length // reduced) + 2 * reach)
    starts = np.arange(0, reduced, step)
    firsts = np.clip(starts * length // reduced - reach, 0, length - span)
    made = starts[:, None, None] + np.arange(step)[:, None]
    taken = firsts[:, None, None] + np.arange(span)
    weights = _whole(weigh(np.minimum(made, reduced - 1), taken, length, reduced))
    return Axis(reduced, firsts, torch.from_numpy(weights * (made < reduced)))


def _whole(weights: Array) -> Array:
    """Scaled to `_WEIGHT_SUM` and rounded half up; what rounding gains or loses goes to the largest weight."""
    rounded: Array = np.floor(weights / weights.sum(axis=2, keepdims=True) * _WEIGHT_SUM + 0.5)
    largest = rounded.argmax(axis=2, keepdims=True)
    missing = _WEIGHT_SUM - rounded.sum(axis=2, keepdims=True)
    np.put_along_axis(rounded, largest, np.take_along_axis(rounded, largest, 2) + missing, 2)
    return rounded


def resized_bands(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    *,
    settings: Settings,
    arithmetic: Arithmetic,
    weigh: Filter,
    stop: Event | None = None,
) -> Iterator[torch.Tensor]:
    """A picture at another size, its rows from top to bottom: what `engine.enlarged_bands` yields, reduced.

    Args:
        read_rows, settings, arithmetic, stop: as of `engine.enlarged_bands`; rows in memory of the CPU.
        shape: (height, width, channels) of the input.
        size: (height, width) wanted, neither larger than the kernel's factor makes the input.
        weigh: the filter that reduces.

    Yields:
        (rows, width, channels) of `arithmetic.pixel_dtype`.
    """
    factor = settings.kernel.factor
    enlarged = (shape[0] * factor, shape[1] * factor)
    if enlarged == size:
        return enlarged_bands(read_rows, shape, settings=settings, arithmetic=arithmetic, stop=stop)
    sums = enlarged_bands(
        lambda first, last: _numbers(read_rows(first, last), arithmetic),
        shape,
        settings=settings,
        arithmetic=Arithmetic(arithmetic.sum_dtype, 1),
        stop=stop,
    )
    rows, columns = (reduced_axis(*lengths, weigh) for lengths in zip(enlarged, size, strict=True))
    taken = columns.taken
    narrow = _ahead(lambda bands: _narrowed(bands, columns, taken), _chunks(sums))
    divisor = arithmetic.divisor * _WEIGHT_SUM**2
    shift = max(0, divisor.bit_length() - _DIVISOR_BITS)  # a power of two takes nothing off a float
    rows = replace(rows, weights=rows.weights / 2**shift)
    ending = replace(arithmetic, divisor=divisor >> shift, overshoots=True)
    made = _ahead(lambda window: _finished(*window, ending), _windows(narrow, rows))
    return _first_rows(made, size[0])


def _numbers(pixels: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """What `pixels.prepare` makes; by numpy, as torch's threads would stand in the way of the engine's."""
    numbers = pixels.numpy().astype(torch.empty(0, dtype=arithmetic.sum_dtype).numpy().dtype)
    if arithmetic.has_alpha:
        numbers[..., :-1] *= numbers[..., -1:]
    return torch.from_numpy(numbers)


def _ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`map` in the engine's threads, in order; a bounded number of items ahead of the one yielded."""
    pending: deque[Future[Made]] = deque()
    try:
        for item in items:
            pending.append(compute_pool().submit(make, item))
            if len(pending) > core_count() + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _chunks(bands: Iterable[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """The rows of bands of any height, in lists of pieces of eight rows together; the last may have fewer."""
    held: list[torch.Tensor] = []
    missing = _CHUNK_ROWS
    for band in bands:
        start = 0
        while start < len(band):
            held.append(band[start : start + missing])
            start += len(held[-1])
            missing -= len(held[-1])
            if not missing:
                yield held
                held, missing = [], _CHUNK_ROWS
    if held:
        yield held


def _narrowed(bands: Sequence[torch.Tensor], columns: Axis, taken: torch.Tensor) -> torch.Tensor:
    """Pieces (rows, width, channels) of a chunk of sums -> (reduced width, channels, rows) in float64."""
    _, width, channels = bands[0].shape
    lines = np.empty((width, channels, sum(map(len, bands))))
    np.concatenate([band.numpy().transpose(1, 2, 0) for band in bands], axis=2, out=lines)
    with torch.inference_mode():
        blocks = torch.from_numpy(lines).flatten(1).index_select(0, taken).view(len(columns.firsts), columns.span, -1)
        return _product(columns.weights, blocks).view(-1, *lines.shape[1:])[: columns.reduced]


def _windows(chunks: Iterable[torch.Tensor], rows: Axis) -> Iterator[Window]:
    """For each block of rows the chunks it takes rows of, and the weights of all rows of those."""
    held: deque[torch.Tensor] = deque()
    coming = iter(chunks)
    first = last = 0
    for start, weights in zip(rows.firsts.tolist(), rows.weights, strict=True):
        while last < start + rows.span:
            held.append(next(coming))
            last += held[-1].shape[2]
        while first + held[0].shape[2] <= start:
            first += held.popleft().shape[2]
        padding = (start - first, last - start - rows.span)
        yield list(held), torch.nn.functional.pad(weights, padding)


def _finished(chunks: Sequence[torch.Tensor], weights: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """What one block of rows takes, (width, channels, rows) each -> (rows, width, channels) of pixels."""
    with torch.inference_mode():
        taken = torch.cat(list(chunks), dim=2)
        sums = _product(weights, taken.flatten(0, 1).T).view(-1, *taken.shape[:2])
        out = torch.empty(sums.shape, dtype=arithmetic.pixel_dtype)
        finish(sums, arithmetic, out)
        return out


def _product(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The (batched) matrix product, to which weights of zero contribute nothing, not even of NaN and infinities."""
    made = weights @ numbers
    if not made.sum().isfinite():
        is_bad = ~numbers.isfinite()
        made = weights @ numbers.masked_fill(is_bad, 0)
        made[(weights != 0).double() @ is_bad.double() > 0] = torch.nan
    return made


def _first_rows(bands: Iterable[torch.Tensor], height: int) -> Iterator[torch.Tensor]:
    """So many rows: those of the last block past the picture's end are left out."""
    for band in bands:
        yield band[:height]
        height -= len(band)
