"""Units of resolution. This package always uses dots per inch."""

from __future__ import annotations

import math
from typing import Any

CM_PER_INCH = 2.54
METRES_PER_INCH = CM_PER_INCH / 100

UNITS_PER_INCH = {2: 1.0, 3: CM_PER_INCH}
"""How many of a unit are in an inch, by its number in the tag ResolutionUnit of TIFF and Exif: 2 is inch, 3 is
centimetre."""

_MOST_DPI = 2**24


def plausible(dpi: Any) -> tuple[float, float] | None:
    """A resolution as two numbers, (x, y), or None if it is not one or is absurdly high.

    >>> plausible((300, 299.5)), plausible((0, 0)), plausible((2**32, 300))
    ((300.0, 299.5), None, None)
    """
    try:
        across, down = (float(side) for side in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (across, down) if all(math.isfinite(side) and 0 < side < _MOST_DPI for side in (across, down)) else None
