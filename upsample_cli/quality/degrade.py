"""Make small images from large ones. A fitted kernel learns to undo this."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upsample_cli.errors import UsageError

Luma = NDArray[np.uint8]

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's filters, which Pillow widens by the factor for a reduction. "area" is the mean of each block."""

FILTER_REACH = 3
"""How many reduced pixels on each side the widest filter, Lanczos, reads."""

JPEG_BLOCK = 8
"""Side of a JPEG block in pixels. Luma that is cut between blocks is coded in the same way."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """A filter of `FILTERS`, followed by JPEG if `jpeg_quality` is given."""

    filter: str
    jpeg_quality: int | None = None

    def __str__(self) -> str:
        return self.filter if self.jpeg_quality is None else f"jpeg{self.jpeg_quality}"


def degradation_named(name: str) -> Degradation:
    """Parse the name of a degradation: `bicubic`, `area`, `lanczos`, or `jpeg90` for bicubic and JPEG of quality 90.

    Raises:
        UsageError: if the name is not one of these.

    >>> degradation_named("jpeg75")
    Degradation(filter='bicubic', jpeg_quality=75)
    """
    if name in FILTERS:
        return Degradation(name)
    quality = re.fullmatch(r"jpeg([0-9]{1,3})", name)
    if quality is None or not 1 <= int(quality[1]) <= 100:
        raise UsageError(f"there is no degradation {name!r}", f"choose {', '.join(FILTERS)}, or jpeg1 to jpeg100")
    return Degradation("bicubic", int(quality[1]))


def scaled(high: Luma, height: int, width: int) -> Luma:
    """Make luma smaller by a factor that need not be whole, as a photograph of its own to learn from."""
    return np.asarray(Image.fromarray(high).resize((width, height), Image.Resampling.BICUBIC))


def degraded(high: Luma, factor: int, degradation: Degradation, rows: tuple[int, int] | None = None) -> Luma:
    """Reduce luma or colour by a whole factor.

    Args:
        high: (height * factor, width * factor) uint8; colour has a third axis of 3 channels.
        factor: the factor.
        degradation: how to reduce.
        rows: the range of rows of the result to compute; None for all.

    Returns:
        (rows, width) uint8, or (rows, width, 3).
    """
    height, width = high.shape[:2]
    low = Image.fromarray(high).resize((width // factor, height // factor), FILTERS[degradation.filter])
    if rows is not None:
        low = low.crop((0, rows[0], low.width, rows[1]))
    if degradation.jpeg_quality is not None:
        file = io.BytesIO()
        low.save(file, "JPEG", quality=degradation.jpeg_quality)
        low = Image.open(file)
    return np.asarray(low)
