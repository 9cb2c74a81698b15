"""How an image is turned and enlarged, for what its metadata say about sizes and places."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from upsample_cli.images.orientation import TURNS


@dataclass(frozen=True, slots=True)
class Change:
    """From the stored image to the upright, enlarged one.

    Args:
        orientation: of the stored image, 1 to 8.
        stored_height, stored_width: its size.
        height, width: of the upright, enlarged one.
    """

    orientation: int
    stored_height: int
    stored_width: int
    height: int
    width: int

    @classmethod
    def of_upright(cls, orientation: int, before: tuple[int, int], after: tuple[int, int]) -> Self:
        """From sizes (height, width) of the upright image before and after it is enlarged.

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
        """How much wider the upright image becomes."""
        return Fraction(self.width, self.stored_height if self.swapped else self.stored_width)

    @property
    def down(self) -> Fraction:
        """How much higher the upright image becomes."""
        return Fraction(self.height, self.stored_width if self.swapped else self.stored_height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place in fractions of the stored width and height, in fractions of the upright ones.

        >>> Change(6, 64, 128, 256, 128).point(0.25, 0.25)
        (0.75, 0.25)
        """
        turn = TURNS[self.orientation]
        x, y = (y, x) if turn.swapped else (x, y)
        return (1 - x if turn.left else x), (1 - y if turn.up else y)

    def box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A box by its top left corner and sides, in the same fractions.

        >>> Change(3, 64, 128, 128, 256).box(0, 0, 0.25, 0.5)
        (0.75, 0.5, 0.25, 0.5)
        """
        (left, top), (right, bottom) = self.point(x, y), self.point(x + width, y + height)
        return min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)

    def area(self, x: int, y: int, *sides: int) -> list[int]:
        """An area in pixels of the stored image, in pixels of the new one.

        Args:
            x, y: its middle.
            sides: none of a point, the diameter of a circle, or width and height of a rectangle.

        Raises:
            ValueError: it is not in the image: it was stated for one of another size.

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
