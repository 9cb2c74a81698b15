"""Images at any size: enlarged by a whole factor, then reduced by an antialiasing filter, band by band.

The layer's sums come here undivided. Two products with a banded matrix of whole weights follow, one for each axis, and
then the only division and rounding there is: `pixels.finish`, as for whole factors. Rows and columns are reduced in
blocks on a grid of their own, however the engine cut the image, so tiles never change a pixel. Numbers are held in
float64. As long as they stay below 2**53 every result is the exact value rounded half up, on every machine: of 8-bit
pixels through the bilinear kernel always, with alpha up to factor 4; of 16-bit ones up to factor 6. What is larger (16
bits with alpha, most linear light) is rounded to 53 bits on the way, a millionth of a level at the most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event

import numpy as np
import torch

from upsample_cli.engine.bands import ReadRows, Settings, enlarged_bands, raise_if_set
from upsample_cli.engine.exact import Arithmetic, finish
from upsample_cli.engine.pool import computed_ahead
from upsample_cli.engine.resize_axes import WEIGHT_SUM, Axis, Filter, behind_enlargement, reduced_axis
from upsample_cli.kernels.kernel import axis_of

Window = tuple[list[torch.Tensor], torch.Tensor]

_DIVISOR_BITS = 62
"""More than these torch does not take. Kernels for 16-bit pixels would have them."""

_CHUNK_ROWS = 8


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
    """An image at another size, its rows from top to bottom: what `engine.enlarged_bands` yields, reduced.

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

    def read_numbers(first: int, last: int) -> torch.Tensor:
        return _numbers(read_rows(first, last), arithmetic)

    rows, columns = (reduced_axis(*lengths, weigh) for lengths in zip(enlarged, size, strict=True))
    kernel = axis_of(settings.kernel)
    if arithmetic.is_exact and kernel is not None:
        rows = behind_enlargement(rows, shape[0], kernel, settings.border)
        columns = behind_enlargement(columns, shape[1], kernel, settings.border)
        sums = _few_rows(read_numbers, shape[0], stop)
    else:
        undivided = Arithmetic(arithmetic.sum_dtype, 1)
        sums = enlarged_bands(read_numbers, shape, settings=settings, arithmetic=undivided, stop=stop)
    taken = columns.taken
    narrow = computed_ahead(lambda bands: _narrowed(bands, columns, taken), _chunks(sums))
    divisor = arithmetic.divisor * WEIGHT_SUM**2
    shift = max(0, divisor.bit_length() - _DIVISOR_BITS)  # a power of two takes nothing off a float
    rows = replace(rows, weights=rows.weights / 2**shift)
    ending = replace(arithmetic, divisor=divisor >> shift, overshoots=True)
    made = computed_ahead(lambda window: _finished(*window, ending), _windows(narrow, rows))
    return _first_rows(made, size[0])


def _few_rows(read_numbers: ReadRows, height: int, stop: Event | None) -> Iterator[torch.Tensor]:
    """All rows as they are, a chunk's at a time."""
    for first in range(0, height, _CHUNK_ROWS):
        raise_if_set(stop)
        yield read_numbers(first, min(height, first + _CHUNK_ROWS))


def _numbers(pixels: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """What `pixels.prepare` makes; by numpy, as torch's threads would stand in the way of the engine's."""
    numbers = pixels.numpy().astype(torch.empty(0, dtype=arithmetic.sum_dtype).numpy().dtype)
    if arithmetic.has_alpha:
        numbers[..., :-1] *= numbers[..., -1:]
    return torch.from_numpy(numbers)


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
    """So many rows: those of the last block past the image's end are left out."""
    for band in bands:
        yield band[:height]
        height -= len(band)
