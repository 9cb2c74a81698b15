"""Read photographs as pieces of luma, each with its reduction, a few rows at a time.

A piece has up to `MARGIN` more rows of the reduced image on each side. Enlarging and comparing the rows of the piece
does not need more rows than these, so the way an image is cut does not change the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upsample_cli.errors import ImageError
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.interfaces import Source
from upsample_cli.images.model import Layout, Rows
from upsample_cli.images.open import open_image, probe
from upsample_cli.quality.degrade import FILTER_REACH, JPEG_BLOCK, Degradation, Luma, degraded

MARGIN = 8
"""Rows of a margin: a whole number of JPEG blocks, so that a piece is coded in the same way as in the whole image."""

_PIECE_PIXELS = 2**18
_MOST_WIDTH = 2**18
"""The widest photograph, in pixels: a piece always has a few rows of full width, so width needs memory."""
_RED, _GREEN, _BLUE = 19595, 38470, 7471
"""The weights of red, green and blue, in parts of 65536. Source: ITU-R BT.601, as in JPEG and Pillow."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows `above` to `len(low) - below` of `low`, with margins.

    Args:
        low: (height, width), the reduced rows.
        high: (height * factor, width * factor), their originals.
        above, below: rows of `low` that belong to the neighbouring pieces.
    """

    low: Luma
    high: Luma
    above: int
    below: int

    @property
    def factor(self) -> int:
        """The factor of the reduction."""
        return len(self.high) // len(self.low)

    @property
    def own_rows(self) -> int:
        """Number of rows of `low` without margins."""
        return len(self.low) - self.above - self.below

    def trimmed(self, margin: int) -> Piece:
        """The same rows with a smaller margin."""
        top, bottom = max(0, self.above - margin), len(self.low) - max(0, self.below - margin)
        high = self.high[top * self.factor : bottom * self.factor]
        return Piece(self.low[top:bottom], high, min(self.above, margin), min(self.below, margin))


@dataclass(frozen=True, slots=True)
class Part:
    """A photograph, or a range of its rows.

    Args:
        path: path of the file.
        height, width: size of the whole reduced photograph, in pixels.
        top, bottom: the range of rows in the reduced photograph.
    """

    path: Path
    height: int
    width: int
    top: int
    bottom: int

    @property
    def pixels(self) -> int:
        """Number of pixels of the reduced rows."""
        return (self.bottom - self.top) * self.width


def whole_part(path: Path, *, factor: int, support: int) -> Part:
    """A photograph as one part. Only its header is read.

    Rows and columns beyond a multiple of the factor are left out.

    Raises:
        ImageError: if the photograph cannot be read, or is too small for one neighbourhood.
    """
    info = probe(path)
    if info.width > _MOST_WIDTH:
        raise ImageError(
            path, f"is {info.width} pixels wide, too wide to learn from", "cut it into pieces", kind="too-large"
        )
    height, width = info.height // factor, info.width // factor
    if min(height, width) < support:
        least = support * factor
        raise ImageError(
            path,
            f"{info.width}x{info.height} is too small to learn from",
            f"give images of {least}x{least} or more",
            kind="geometry",
        )
    return Part(path, height, width, 0, height)


def halves(part: Part, support: int) -> list[Part]:
    """The upper and the lower half of a photograph; empty if a half is too small for one neighbourhood."""
    middle = part.height // 2 // JPEG_BLOCK * JPEG_BLOCK
    if middle < support:
        return []
    return [
        Part(part.path, part.height, part.width, 0, middle),
        Part(part.path, part.height, part.width, middle, part.height),
    ]


def pieces(part: Part, *, factor: int, degradation: Degradation) -> Iterator[Piece]:
    """The pieces of a part from top to bottom. Each row belongs to exactly one piece.

    Raises:
        ImageError: if the file cannot be read to the end.
    """
    step = max(1, _PIECE_PIXELS // part.width // JPEG_BLOCK) * JPEG_BLOCK
    with open_image(part.path) as source:
        for top in range(part.top, part.bottom, step):
            bottom = min(top + step, part.bottom)
            first, last = max(0, top - MARGIN), min(part.height, bottom + MARGIN)
            low, high = _reduced(source, part, (first, last), factor, degradation)
            yield Piece(low, high, top - first, last - bottom)


def _reduced(
    source: Source, part: Part, rows: tuple[int, int], factor: int, degradation: Degradation
) -> tuple[Luma, Luma]:
    """Read rows of the photograph; return the reduced rows and their originals."""
    first, last = rows
    start, stop = max(0, first - FILTER_REACH), min(part.height, last + FILTER_REACH)
    taken = source.read_rows(start * factor, stop * factor)[:, : part.width * factor]
    seen = luma(taken, source.info.layout, source.metadata.icc_profile)
    inside = (first - start, last - start)
    return degraded(seen, factor, degradation, inside), seen[inside[0] * factor : inside[1] * factor]


def luma(rows: Rows, layout: Layout, icc_profile: bytes | None = None) -> Luma:
    """Convert rows of any layout to luma, (rows, width) uint8. Transparency is shown on white.

    >>> luma(np.array([[[255, 0, 0]]], np.uint8), Layout("rgb")).tolist()
    [[76]]
    """
    if layout.colour == "grey":
        grey: Luma = convert_rows(rows, layout, Layout("grey"))[..., 0]
        return grey
    red, green, blue = np.moveaxis(convert_rows(rows, layout, Layout("rgb"), icc_profile).astype(np.uint32), 2, 0)
    seen: Luma = ((red * _RED + green * _GREEN + blue * _BLUE + 32768) >> 16).astype(np.uint8)
    return seen
