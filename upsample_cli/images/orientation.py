"""Orientation: how a stored image is turned upright, as a number from 1 to 8 in Exif, TIFF and XMP.

Source: Exif 2.32 (CIPA DC-008), tag Orientation; TIFF revision 6.0 and XMP use the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

from upsample_cli.images.model import Rows

ORIENTATION = 0x0112
"""The orientation tag of Exif blocks and TIFF directories."""


class Turn(NamedTuple):
    """How an upright image is stored.

    Args:
        swapped: upright rows are stored as columns.
        up: upright rows are counted from the other end.
        left: upright columns are counted from the other end.
    """

    swapped: bool
    up: bool
    left: bool

    @property
    def keeps_rows(self) -> bool:
        """Whether upright rows are stored as rows, in the same order."""
        return not (self.swapped or self.up)

    def stored(self, box: tuple[int, int, int, int], height: int, width: int) -> tuple[int, int, int, int]:
        """The stored box for a box (top, bottom, left, right) of an upright image of this size.

        >>> Turn(swapped=False, up=True, left=False).stored((0, 2, 0, 5), 10, 5)
        (8, 10, 0, 5)
        """
        top, bottom, left, right = box
        if self.up:
            top, bottom = height - bottom, height - top
        if self.left:
            left, right = width - right, width - left
        return (left, right, top, bottom) if self.swapped else (top, bottom, left, right)

    def upright(self, rows: Rows) -> Rows:
        """Turn a stored box upright. The result is a view."""
        turned = rows.swapaxes(0, 1) if self.swapped else rows
        return turned[:: -1 if self.up else 1, :: -1 if self.left else 1]


TURNS = {
    1: Turn(False, False, False),
    2: Turn(False, False, True),
    3: Turn(False, True, True),
    4: Turn(False, True, False),
    5: Turn(True, False, False),
    6: Turn(True, False, True),
    7: Turn(True, True, True),
    8: Turn(True, True, False),
}


def valid(orientation: object) -> int | None:
    """The orientation if a value from a file is a valid one, or None.

    >>> valid(6), valid(9), valid(None)
    (6, None, None)
    """
    return orientation if isinstance(orientation, int) and orientation in TURNS else None
