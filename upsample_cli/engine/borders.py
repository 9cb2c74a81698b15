"""What fills a tile's halo outside the image."""

from __future__ import annotations

import torch

from upsample_cli.engine.support import DeviceSupport
from upsample_cli.geometry.tiles import Border, Span, Tile


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
            line = padded.select(axis, index - start)
            if border == "zeros":
                line.zero_()
            else:
                line.copy_(padded.select(axis, _mirrored(index, span, border) - start))
    return padded


def _mirrored(index: int, span: Span, border: Border) -> int:
    """The sample that replaces one outside the axis: the edge sample, or the mirror image about it."""
    last = span.length - 1
    if border == "replicate" or last == 0:
        return min(max(index, 0), last)
    folded = index % (2 * last)
    return min(folded, 2 * last - folded)
