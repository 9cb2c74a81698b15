"""Durations of frames in a format's whole units, without the sum running away."""

from __future__ import annotations

from fractions import Fraction


class Clock:
    """Rounds moments, not durations: after any number of frames no more than half a unit is lost or gained.

    Args:
        unit_ms: milliseconds that the format counts in.

    >>> clock = Clock(unit_ms=10)
    >>> [clock.units(Fraction(100, 3)) for _ in range(6)]
    [3, 4, 3, 3, 4, 3]
    """

    def __init__(self, unit_ms: int) -> None:
        self._unit_ms, self._exact_ms, self._told = unit_ms, Fraction(0), 0

    def units(self, duration_ms: Fraction) -> int:
        """The next frame's duration."""
        self._exact_ms += duration_ms
        moment = int(self._exact_ms / self._unit_ms + Fraction(1, 2))
        units, self._told = moment - self._told, moment
        return units
