"""CIE L*a*b* as TIFF stores it. The ratio of its 16-bit to its 8-bit levels differs from that of other colours.

In this package, a* and b* have an offset in both encodings, so all numbers are unsigned; the mean of encoded values
still encodes the mean. "cielab" and "icclab" differ in the 16-bit encoding of lightness, and in the file, where a* and
b* of "cielab" are signed. Sources: TIFF 6.0, section 23; Adobe's TIFF technical note 4; ICC.1:2001, annex A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.model import Colour, Layout, Rows

_STEPS: dict[Colour, tuple[int, int, int]] = {"cielab": (257, 256, 256), "icclab": (256, 256, 256)}
_STEP = 257


def level_steps(layout: Layout) -> NDArray[np.uint32]:
    """For each channel, the number of 16-bit levels in one 8-bit level.

    >>> level_steps(Layout("rgb")).tolist(), level_steps(Layout("cielab", alpha=True)).tolist()
    ([257, 257, 257], [257, 256, 256, 257])
    """
    colour = _STEPS.get(layout.colour) or (_STEP,) * (layout.channels - layout.alpha)
    return np.array((*colour, *(_STEP,) * layout.alpha), np.uint32)


def white(layout: Layout) -> NDArray[np.uint32]:
    """White in the encoding of a layout: lightness 100, no chroma.

    >>> white(Layout("icclab", depth=16)).tolist()
    [65280, 32768, 32768]
    """
    level = np.array((255, 128, 128), np.uint32)
    return level if layout.depth == 8 else level * level_steps(Layout(layout.colour))


def lab_of_rows(rows: Rows, layout: Layout) -> NDArray[np.float64]:
    """Decode rows (rows, width, 3), without alpha, to L* from 0 to 100 and a* and b* around 0.

    >>> lab_of_rows(np.array([[[255, 0, 255]]], np.uint8), Layout("icclab")).tolist()
    [[[100.0, -128.0, 127.0]]]
    """
    lightest, neutral, _ = (float(value) for value in white(layout))
    scale = np.array((100 / lightest, 128 / neutral, 128 / neutral))
    made: NDArray[np.float64] = rows * scale - (0, 128, 128)
    return made
