"""Fill the halo of a tile outside the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.exact import Dtype, Pixels
from upsample_cli.geometry.borders import Border, source_index
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
    top, left = tile.rows.missing_before, tile.columns.missing_before
    bottom, right = tile.rows.missing_after, tile.columns.missing_after
    padded = empty((top + height + bottom, left + width + right, channels), rows.dtype)
    padded[top : top + height, left : left + width] = rows
    for axis, span in enumerate((tile.rows, tile.columns)):
        start = span.start - span.halo
        for index in [*range(start, span.first), *range(span.last, span.stop + span.halo)]:
            source = source_index(index, span.length, border)
            if axis == 0:
                padded[index - start] = 0 if source is None else padded[source - start]
            else:
                padded[:, index - start] = 0 if source is None else padded[:, source - start]
    return padded


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
