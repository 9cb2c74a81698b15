"""Which pixels are computed together: images are cut into bands, bands into tiles. Plain data, no torch.

All coordinates are input pixels; an output coordinate is the input coordinate times the factor. The *core* of a tile
is the part whose outputs it computes. Its *halo* is the pixels around the core on which these outputs also depend.
Because the halo is complete, the way an image is cut never changes a pixel of the result.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

from upsample_cli.geometry.borders import wrapped_runs

LEAST_ROWS = 8


class Span(NamedTuple):
    """A run of samples along one axis, with the halo around it.

    Args:
        start, stop: the core, half open.
        length: of the whole axis.
        halo: samples needed on each side of the core.
        wraps: whether the axis repeats itself. Then nothing is missing, and a halo may extend beyond the axis.

    >>> span = Span(start=0, stop=4, length=5, halo=1)
    >>> span.first, span.last, span.missing_before, span.missing_after
    (0, 5, 1, 0)
    """

    start: int
    stop: int
    length: int
    halo: int
    wraps: bool = False

    @property
    def first(self) -> int:
        """First sample to read: the start of the halo, or of the axis."""
        first = self.start - self.halo
        return first if self.wraps else max(0, first)

    @property
    def last(self) -> int:
        """End (exclusive) of the samples to read."""
        last = self.stop + self.halo
        return last if self.wraps else min(self.length, last)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The samples to read, as runs (start, stop) of the axis; more than one only if they wrap."""
        return wrapped_runs(self.first, self.last, self.length)

    @property
    def missing_before(self) -> int:
        """Halo samples before the start of the axis; the border fills them."""
        return self.first - (self.start - self.halo)

    @property
    def missing_after(self) -> int:
        """Halo samples after the end of the axis; the border fills them."""
        return self.stop + self.halo - self.last


class Tile(NamedTuple):
    """A rectangle of an image: its rows and columns."""

    rows: Span
    columns: Span

    def halves(self) -> tuple[Tile, Tile]:
        """The tile cut in two across its longer side; a tile of one pixel cannot be cut.

        >>> [half.rows.stop - half.rows.start for half in Tile(Span(0, 5, 9, 1), Span(0, 3, 3, 1)).halves()]
        [2, 3]
        """
        rows, columns = self.rows, self.columns
        if rows.stop - rows.start >= columns.stop - columns.start:
            upper, lower = _halves(rows)
            return Tile(upper, columns), Tile(lower, columns)
        left, right = _halves(columns)
        return Tile(rows, left), Tile(rows, right)


def _halves(span: Span) -> tuple[Span, Span]:
    middle = (span.start + span.stop) // 2
    return span._replace(stop=middle), span._replace(start=middle)


class Plan(NamedTuple):
    """An image cut into bands of full-width rows, each cut into tiles.

    Args:
        height, width: size of the input image, in pixels.
        halo: input pixels that the kernel needs around a core.
        tile_height, tile_width: size of a tile's core, in pixels; the last tiles may be smaller.
        wraps: whether the image repeats itself in both directions.
    """

    height: int
    width: int
    halo: int
    tile_height: int
    tile_width: int
    wraps: bool = False

    @property
    def is_one_tile(self) -> bool:
        """Whether a single tile is the whole image."""
        return self.tile_height >= self.height and self.tile_width >= self.width

    def bands(self) -> Iterator[tuple[Tile, ...]]:
        """The tiles of each band from left to right, bands from top to bottom. Every pixel is in exactly one core."""
        columns = spans(self.width, self.tile_width, self.halo, wraps=self.wraps)
        for rows in spans(self.height, self.tile_height, self.halo, wraps=self.wraps):
            yield tuple(Tile(rows, span) for span in columns)


@functools.lru_cache(maxsize=64)
def whole_image(height: int, width: int, halo: int) -> Tile:
    """An image as one tile. Images of a batch often have the same size.

    >>> whole_image(4, 6, 1).columns
    Span(start=0, stop=6, length=6, halo=1, wraps=False)
    """
    return Tile(Span(0, height, height, halo), Span(0, width, width, halo))


def spans(length: int, step: int, halo: int = 0, *, wraps: bool = False) -> list[Span]:
    """An axis cut into runs of `step` samples; the last may be shorter."""
    return [Span(start, min(start + step, length), length, halo, wraps) for start in range(0, length, step)]


def plan_for_budget(
    height: int,
    width: int,
    *,
    halo: int,
    bytes_per_pixel: int,
    budget_bytes: int,
    tile_size: int | None = None,
    least_rows: int = LEAST_ROWS,
) -> Plan:
    """Plan tiles that stay within a memory budget, or have exactly the requested size.

    Full-width bands are preferred: a band is cut into tiles only if a few of its rows would exceed the budget.

    Args:
        height, width: size of the input image, in pixels.
        halo: input pixels that the kernel needs around a core.
        bytes_per_pixel: working memory per input pixel of a tile, including its share of the output.
        budget_bytes: working memory for one tile.
        tile_size: height and width of a tile's core, in input pixels; overrides the budget.
        least_rows: bands with fewer rows than these are cut into tiles.
    """
    if tile_size is not None:
        return Plan(height, width, halo, min(tile_size, height), min(tile_size, width))
    pixels = max(1, budget_bytes // bytes_per_pixel)
    least_rows = min(height, least_rows)
    tile_width = min(width, max(16, pixels // least_rows))
    return Plan(height, width, halo, min(height, max(1, pixels // tile_width)), tile_width)


def plan_on_grid(height: int, width: int, *, halo: int, grid: int, pixels: int, tile_size: int | None) -> Plan | None:
    """The tiles of an image, as large as the memory allows and on the grid; None if not even the smallest fits.

    Args:
        height, width: size of the image.
        halo: input pixels that a network needs around a core; a multiple of the grid.
        grid: tiles start at multiples of it.
        pixels: the most input pixels of a tile with its halo.
        tile_size: the wanted side of a tile's core; it is rounded up to the grid.

    >>> plan_on_grid(100, 80, halo=16, grid=8, pixels=3000, tile_size=None)
    Plan(height=100, width=80, halo=16, tile_height=16, tile_width=16, wraps=False)
    """
    if tile_size is None:
        if height * width <= pixels:
            return Plan(height, width, halo, height, width)
        side = (math.isqrt(pixels) - 2 * halo) // grid * grid
        if side < 1:
            return None
        return Plan(height, width, halo, min(side, height), min(side, width))
    side = -(-tile_size // grid) * grid
    largest = min(side + 2 * halo, height) * min(side + 2 * halo, width)
    return Plan(height, width, halo, min(side, height), min(side, width)) if largest <= pixels else None


def core_of(span: Span, factor: int) -> slice:
    """The outputs of a span's core, in those of the span with its halo.

    >>> core_of(Span(8, 16, 99, 4), 2)
    slice(8, 24, None)
    """
    return slice((span.start - span.first) * factor, (span.stop - span.first) * factor)
