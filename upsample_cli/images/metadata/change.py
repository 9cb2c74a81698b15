"""How an image is turned and enlarged, for correcting sizes and positions in its metadata."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, Self

from upsample_cli.images.orientation import TURNS


class Change(NamedTuple):
    """The change from the stored image to the upright, enlarged one.

    Args:
        orientation: orientation of the stored image, 1 to 8.
        stored_height, stored_width: size of the stored image, in pixels.
        height, width: size of the upright, enlarged image, in pixels.
    """

    orientation: int
    stored_height: int
    stored_width: int
    height: int
    width: int

    @classmethod
    def of_upright(cls, orientation: int, before: tuple[int, int], after: tuple[int, int]) -> Self:
        """The change for an upright image with these sizes, (height, width), before and after it is enlarged.

        >>> Change.of_upright(6, (20, 10), (40, 20))
        Change(orientation=6, stored_height=10, stored_width=20, height=40, width=20)
        """
        stored = before[::-1] if TURNS[orientation].swapped else before
        return cls(orientation, *stored, *after)

    @property
    def swapped(self) -> bool:
        """Whether stored rows become columns."""
        return TURNS[self.orientation].swapped

    @property
    def across(self) -> Fraction:
        """Width of the new image over the width of the upright image before it is enlarged."""
        return Fraction(self.width, self.stored_height if self.swapped else self.stored_width)

    @property
    def down(self) -> Fraction:
        """Height of the new image over the height of the upright image before it is enlarged."""
        return Fraction(self.height, self.stored_width if self.swapped else self.stored_height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point from fractions of the stored width and height to fractions of the upright ones.

        >>> Change(6, 64, 128, 256, 128).point(0.25, 0.25)
        (0.75, 0.25)
        """
        turn = TURNS[self.orientation]
        x, y = (y, x) if turn.swapped else (x, y)
        return (1 - x if turn.left else x), (1 - y if turn.up else y)

    def box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Convert a box, given by its top left corner and its sides, in the same fractions as `point`.

        >>> Change(3, 64, 128, 128, 256).box(0, 0, 0.25, 0.5)
        (0.75, 0.5, 0.25, 0.5)
        """
        (left, top), (right, bottom) = self.point(x, y), self.point(x + width, y + height)
        return min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)

    def area(self, x: int, y: int, *sides: int) -> list[int]:
        """Convert an area from pixels of the stored image to pixels of the new one.

        Args:
            x, y: the middle of the area.
            sides: nothing for a point, the diameter of a circle, or width and height of a rectangle.

        Raises:
            ValueError: the area is outside the image, so it was written for an image of another size.

        >>> Change(6, 40, 80, 160, 80).area(20, 10, 8, 4)
        [60, 40, 8, 16]
        """
        if not (0 <= x < self.stored_width and 0 <= y < self.stored_height):
            raise ValueError("outside")
        across, down = self.point(x / self.stored_width, y / self.stored_height)
        place = [_within(across * self.width, self.width), _within(down * self.height, self.height)]
        new = sides[::-1] if self.swapped else sides
        return place + [round(side * scale) for side, scale in zip(new, (self.across, self.down), strict=False)]


def _within(place: float, size: int) -> int:
    return min(max(round(place), 0), size - 1)
