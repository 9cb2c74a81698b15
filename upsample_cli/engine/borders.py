"""What fills a tile's halo outside the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.engine.support import DeviceSupport
from upsample_cli.geometry.borders import Border, source_index
from upsample_cli.geometry.tiles import Tile


def padded_tile(
    rows: torch.Tensor, tile: Tile, border: Border, *, sent_to: DeviceSupport | None = None
) -> torch.Tensor:
    """A copy of a tile's pixels with its whole halo. The border's rule fills the part outside the image.

    Args:
        rows: (height, width, channels), the part of the tile and its halo that is inside the image.
        sent_to: the device that uses the copy, if not the one of the rows.

    Returns:
        (core height + 2*halo, core width + 2*halo, channels), contiguous.
    """
    height, width, channels = rows.shape
    top, left = tile.rows.missing_before, tile.columns.missing_before
    bottom, right = tile.rows.missing_after, tile.columns.missing_after
    shape = (top + height + bottom, left + width + right, channels)
    if sent_to is not None and rows.device.type == "cpu":
        padded = sent_to.empty_for_transfer(shape, rows.dtype)
    else:
        padded = torch.empty(shape, dtype=rows.dtype, device=rows.device)
    padded[top : top + height, left : left + width] = rows
    for axis, span in enumerate((tile.rows, tile.columns)):
        start = span.start - span.halo
        for index in [*range(start, span.first), *range(span.last, span.stop + span.halo)]:
            line, source = padded.select(axis, index - start), source_index(index, span.length, border)
            if source is None:
                line.zero_()
            else:
                line.copy_(padded.select(axis, source - start))
    return padded


def sources(first: int, last: int, length: int, border: Border) -> NDArray[np.int64]:
    """The samples of an axis that stand at the indices `first` to `last` (exclusive); -1 for zero.

    >>> sources(-2, 5, 4, "reflect"), sources(3, 6, 4, "zeros")
    (array([2, 1, 0, 1, 2, 3, 2]), array([ 3, -1, -1]))
    """
    found = np.arange(first, last)
    for index in (*range(first, min(last, 0)), *range(max(first, length), last)):
        source = source_index(index, length, border)
        found[index - first] = -1 if source is None else source
    return found
