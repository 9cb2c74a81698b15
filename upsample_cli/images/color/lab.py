"""CIE L*a*b* as TIFF stores it, and its steps between 8 and 16 bits, which differ from those of other colours.

Inside this package a* and b* are counted from an offset in both encodings, so that all numbers are unsigned; a mean
of them is the mean of what they stand for. "cielab" differs from "icclab" by its lightness of 16 bits, and in the file,
where its a* and b* are signed. Sources: TIFF 6.0, section 23; Adobe's TIFF technical note 4; ICC.1:2001, annex A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.model import Colour, Layout, Rows

_STEPS: dict[Colour, tuple[int, int, int]] = {"cielab": (257, 256, 256), "icclab": (256, 256, 256)}
_STEP = 257


def level_steps(layout: Layout) -> NDArray[np.uint32]:
    """The 16-bit value of one 8-bit level, for each channel.

    >>> level_steps(Layout("rgb")).tolist(), level_steps(Layout("cielab", alpha=True)).tolist()
    ([257, 257, 257], [257, 256, 256, 257])
    """
    colour = _STEPS.get(layout.colour) or (_STEP,) * (layout.channels - layout.alpha)
    return np.array((*colour, *(_STEP,) * layout.alpha), np.uint32)


def white(layout: Layout) -> NDArray[np.uint32]:
    """White in this encoding: lightness 100 without chroma.

    >>> white(Layout("icclab", depth=16)).tolist()
    [65280, 32768, 32768]
    """
    level = np.array((255, 128, 128), np.uint32)
    return level if layout.depth == 8 else level * level_steps(Layout(layout.colour))


def lab_of_rows(rows: Rows, layout: Layout) -> NDArray[np.float64]:
    """L* 0 to 100, a* and b* around 0, of rows (rows, width, 3) of that layout without alpha.

    >>> lab_of_rows(np.array([[[255, 0, 255]]], np.uint8), Layout("icclab")).tolist()
    [[[100.0, -128.0, 127.0]]]
    """
    lightest, neutral, _ = (float(value) for value in white(layout))
    scale = np.array((100 / lightest, 128 / neutral, 128 / neutral))
    made: NDArray[np.float64] = rows * scale - (0, 128, 128)
    return made
