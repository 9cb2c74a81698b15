"""Units of resolution: everything here counts dots per inch."""

from __future__ import annotations

CM_PER_INCH = 2.54
METRES_PER_INCH = CM_PER_INCH / 100

UNITS_PER_INCH = {2: 1.0, 3: CM_PER_INCH}
"""By the number of the unit in the tag ResolutionUnit of TIFF and Exif: inches and centimetres."""
