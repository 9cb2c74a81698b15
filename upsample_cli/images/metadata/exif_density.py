"""Read the resolution in an Exif block, or the proportion of its pixels."""

from __future__ import annotations

import struct
from fractions import Fraction

from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.resolution import UNITS_PER_INCH, plausible

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_INCH, _MOST_OF_ASPECT = 2, 65535


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Dots per inch, (x, y), from the block's first directory; None without a plausible resolution."""
    across, down, unit = _densities(exif)
    per_inch = UNITS_PER_INCH.get(unit)
    return plausible((across * per_inch, down * per_inch)) if across and down and per_inch else None


def aspect(exif: bytes) -> tuple[int, int] | None:
    """Pixels per unit, (x, y), from the block's first directory; None if they have a unit or are equal."""
    across, down, unit = _densities(exif)
    if not across or not down or across == down or unit in UNITS_PER_INCH:
        return None
    ratio = (across / down).limit_denominator(_MOST_OF_ASPECT)
    return (ratio.numerator, ratio.denominator) if 0 < ratio.numerator <= _MOST_OF_ASPECT else None


def _densities(exif: bytes) -> tuple[Fraction, Fraction, int]:
    """Horizontal and vertical resolution, 0 if it is not valid, and the number of their unit."""
    try:
        tiff = ifd.tiff_in_bytes(exif)
        first = ifd.read_directory(tiff, tiff.first)
    except ValueError:
        return Fraction(0), Fraction(0), _INCH
    across, down = (_rational(tiff, first.find(tag)) for tag in (X_RESOLUTION, Y_RESOLUTION))
    return across, down, ifd.first_integer(tiff, first.find(RESOLUTION_UNIT)) or _INCH


def _rational(tiff: ifd.Tiff, entry: ifd.Entry | None) -> Fraction:
    data = ifd.value_bytes(tiff, entry) if entry is not None and entry.kind == ifd.RATIONAL else None
    above, below = struct.unpack_from(tiff.order + "II", data) if data else (0, 0)
    return Fraction(above, below) if below else Fraction(0)
