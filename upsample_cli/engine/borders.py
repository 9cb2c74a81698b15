"""Fill the halo of a tile outside the image, or read it from the other end of an image that repeats itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.exact import Dtype, Pixels
from upsample_cli.geometry.borders import Border, source_index, wrapped_runs
from upsample_cli.geometry.tiles import Tile


def padded_tile(
    rows: Pixels, tile: Tile, border: Border, *, empty: Callable[[tuple[int, ...], Dtype], Pixels] = np.empty
) -> Pixels:
    """Copy the pixels of a tile with its complete halo. The border fills the part outside the image.

    Args:
        rows: (height, width, channels): the part of the tile and its halo that is inside the image.
        tile: the tile.
        border: how the part outside the image is filled.
        empty: allocates the copy, given its shape and the type of the rows.

    Returns:
        (core height + 2*halo, core width + 2*halo, channels), contiguous.
    """
    height, width, channels = rows.shape
    (top, left), (bottom, right), lines = _outside(tile, border)
    padded = empty((top + height + bottom, left + width + right, channels), rows.dtype)
    padded[top : top + height, left : left + width] = rows
    for axis, index, source in lines:
        if axis == 0:
            padded[index] = 0 if source is None else padded[source]
        else:
            padded[:, index] = 0 if source is None else padded[:, source]
    return padded


_Line = tuple[int, int, int | None]
"""A row (axis 0) or column (axis 1) of a padded tile, and the one that fills it; None for zeros."""


@functools.lru_cache(maxsize=64)
def _outside(tile: Tile, border: Border) -> tuple[tuple[int, int], tuple[int, int], tuple[_Line, ...]]:
    """What is outside the image: (above, on the left), (below, on the right), and its lines in the order to fill them.

    Images of a batch often have the same tile.
    """
    lines: list[_Line] = []
    spans = (tile.rows, tile.columns)
    for axis, span in enumerate(spans):
        start = span.start - span.halo
        for index in [*range(start, span.first), *range(span.last, span.stop + span.halo)]:
            source = source_index(index, span.length, border)
            lines.append((axis, index - start, None if source is None else source - start))
    before = tile.rows.missing_before, tile.columns.missing_before
    return before, (tile.rows.missing_after, tile.columns.missing_after), tuple(lines)


def joined(
    pieces: Sequence[Pixels], axis: int, *, empty: Callable[[tuple[int, ...], Dtype], Pixels] = np.empty
) -> Pixels:
    """Pixels next to each other along an axis, rows (0) or columns (1). A single piece is returned as it is.

    Args:
        empty: see `padded_tile`.
    """
    first = pieces[0]
    if len(pieces) == 1:
        return first
    shape = list(first.shape)
    shape[axis] = sum(piece.shape[axis] for piece in pieces)
    whole = empty(tuple(shape), first.dtype)
    at = 0
    for piece in pieces:
        end = at + piece.shape[axis]
        whole[(slice(None),) * axis + (slice(at, end),)] = piece
        at = end
    return whole


class WrappedRows:
    """Reads the rows of an image that repeats itself upwards and downwards.

    The last rows of the image come before its first ones. They are read first, and again in their place, so that only
    `2 * reach` rows are held. If the image is not larger than these or than a band, it is read once and held.

    Args:
        read_rows: reads rows of the image, in increasing order except that the first call reads the last rows.
        height: of the image.
        reach: how many rows beyond either end are read, at least 1.
        join: joins pieces of rows; see `joined`.
    """

    def __init__(
        self,
        read_rows: Callable[[int, int], Pixels],
        height: int,
        reach: int,
        join: Callable[[Sequence[Pixels], int], Pixels],
    ) -> None:
        self._read_rows, self._height, self._reach, self._join = read_rows, height, reach, join
        self._whole: Pixels = None
        self._bottom: Pixels = None
        self._top: Pixels = None

    def __call__(self, first: int, last: int) -> Pixels:
        """Rows `first` to `last` (exclusive), from `-reach` to `height + reach`. Calls are in increasing order."""
        height = self._height
        if self._whole is None and self._bottom is None:
            self._start(last - first)
        if self._whole is not None:
            return self._join([self._whole[start:stop] for start, stop in wrapped_runs(first, last, height)], 0)
        pieces = []
        if first < 0:
            pieces.append(self._bottom[self._reach + first : self._reach + min(last, 0)])
        if first < height and last > 0:
            pieces.append(self._read_rows(max(first, 0), min(last, height)))
        if last > height:
            pieces.append(self._top[max(first - height, 0) : last - height])
        return self._join(pieces, 0)

    def _start(self, band_rows: int) -> None:
        height, reach = self._height, self._reach
        if max(band_rows, 2 * reach) >= height:
            self._whole = self._read_rows(0, height)
        else:
            self._bottom, self._top = self._read_rows(height - reach, height), self._read_rows(0, reach)


def sources(first: int, last: int, length: int, border: Border) -> NDArray[np.int64]:
    """The indices of the samples that are used at the indices `first` to `last` (exclusive) of an axis; -1 for zero.

    >>> sources(-2, 5, 4, "reflect"), sources(3, 6, 4, "zeros")
    (array([2, 1, 0, 1, 2, 3, 2]), array([ 3, -1, -1]))
    """
    found = np.arange(first, last)
    for index in (*range(first, min(last, 0)), *range(max(first, length), last)):
        source = source_index(index, length, border)
        found[index - first] = -1 if source is None else source
    return found
