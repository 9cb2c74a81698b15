"""Run a network on the rows of an image, one band of tiles at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.engine.bands import ReadRows
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.enlargement import Settings, raise_if_set
from upsample_cli.geometry.tiles import Plan, Tile, core_of
from upsample_cli.models.alpha import FILL_REACH, enlarged_alpha, visible_colour
from upsample_cli.models.network import Network, NotFiniteError

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """What is needed to run a network on one image.

    Args:
        network: the network.
        plan: the tiles of the image.
        colours: number of channels without alpha.
        has_alpha: whether alpha follows them.
        fills: fully transparent pixels take the colour of visible neighbours for the network. In the output they are 0.
        settings: the bilinear layer for alpha.
    """

    network: Network
    plan: Plan
    colours: int
    has_alpha: bool
    fills: bool
    settings: Settings

    def bands(self, read_rows: ReadRows, stop: Event | None, fault: Callable[[str], Exception]) -> Iterator[Pixels]:
        """Yield the enlarged rows from top to bottom, in the type of the rows that are read.

        Args:
            read_rows: reads rows of the input; called with increasing ranges that do not overlap.
            stop: set it to end with `Interrupted` at the next tile.
            fault: makes the exception for a tile whose values are not finite.
        """
        torch.set_num_threads(core_count())
        rows = _Window(read_rows, self.plan.height)
        extra = FILL_REACH if self.fills else 1
        for band in self.plan.bands():
            span = band[0].rows
            first, last = max(0, span.first - extra), min(self.plan.height, span.last + extra)
            taken = rows.read(first, last)
            yield self._band(band, taken, first, stop, fault)

    def _band(
        self,
        band: tuple[Tile, ...],
        rows: Pixels,
        first: int,
        stop: Event | None,
        fault: Callable[[str], Exception],
    ) -> Pixels:
        factor, span = self.network.factor, band[0].rows
        height, width = (span.stop - span.start) * factor, self.plan.width * factor
        out = np.empty((height, width, self.colours + self.has_alpha), rows.dtype)
        colour = visible_colour(rows) if self.fills else rows[..., : self.colours]
        for tile in band:
            raise_if_set(stop)
            columns = tile.columns
            part = colour[span.first - first : span.last - first, columns.first : columns.last]
            try:
                made = self._tile(part)
            except NotFiniteError:
                raise fault(_place(tile)) from None
            core = made[core_of(span, factor), core_of(columns, factor)]
            out[:, columns.start * factor : columns.stop * factor, : self.colours] = core
        if self.has_alpha:
            near, far = max(first, span.start - 1), min(first + len(rows), span.stop + 1)
            alpha = enlarged_alpha(rows[near - first : far - first, :, -1:], self.settings)
            out[..., -1:] = alpha[(span.start - near) * factor :][:height]
            if self.fills:
                out[..., :-1][out[..., -1] == 0] = 0
        return out

    def _tile(self, pixels: Pixels) -> Pixels:
        """Run the network on pixels, scaled from 0 to 1, and round its output to the nearest level.

        An RGB network gets a grey image as three equal channels, and its three output channels are averaged.
        """
        largest = np.iinfo(pixels.dtype).max
        image = torch.from_numpy(np.ascontiguousarray(pixels).astype(np.float32) / np.float32(largest))
        image = image.permute(2, 0, 1)[None]
        made = self.network(image.expand(1, self.network.channels, -1, -1).contiguous())[0].cpu()
        if self.colours < self.network.channels:
            made = made.mean(dim=0, keepdim=True)
        levels = np.floor(made.permute(1, 2, 0).numpy().astype(np.float64) * largest + 0.5)
        return levels.astype(pixels.dtype)


class _Window:
    """Reads rows of an image once, and keeps those that the next band needs again."""

    def __init__(self, read_rows: ReadRows, height: int) -> None:
        self._read_rows, self._height = read_rows, height
        self._first = 0
        self._kept: Pixels | None = None

    def read(self, first: int, last: int) -> Pixels:
        """Rows `first` to `last`; both increase from call to call."""
        kept = self._kept
        end = self._first if kept is None else self._first + len(kept)
        parts = [] if kept is None else [kept[first - self._first :]]
        if last > end:
            parts.append(np.asarray(self._read_rows(end, last)))
        rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._first, self._kept = first, rows
        return rows


def _place(tile: Tile) -> str:
    rows, columns = tile.rows, tile.columns
    return f"columns {columns.start} to {columns.stop - 1} and rows {rows.start} to {rows.stop - 1}"
