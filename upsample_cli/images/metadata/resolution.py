"""Units of resolution. This package always uses dots per inch."""

from __future__ import annotations

CM_PER_INCH = 2.54
METRES_PER_INCH = CM_PER_INCH / 100

UNITS_PER_INCH = {2: 1.0, 3: CM_PER_INCH}
"""How many of a unit are in an inch, by its number in the tag ResolutionUnit of TIFF and Exif: 2 is inch, 3 is
centimetre."""
