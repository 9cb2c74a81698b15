"""Convert frame durations to whole units of a format without accumulating rounding errors."""

from __future__ import annotations

from fractions import Fraction


class Clock:
    """Rounds points in time, not durations: after any number of frames, the total error is at most half a unit.

    Args:
        unit_ms: the unit of the format, in milliseconds.

    >>> clock = Clock(unit_ms=10)
    >>> [clock.units(Fraction(100, 3)) for _ in range(6)]
    [3, 4, 3, 3, 4, 3]
    """

    def __init__(self, unit_ms: int) -> None:
        self._unit_ms, self._exact_ms, self._told = unit_ms, Fraction(0), 0

    def units(self, duration_ms: Fraction) -> int:
        """The duration of the next frame, in units."""
        self._exact_ms += duration_ms
        moment = int(self._exact_ms / self._unit_ms + Fraction(1, 2))
        units, self._told = moment - self._told, moment
        return units
