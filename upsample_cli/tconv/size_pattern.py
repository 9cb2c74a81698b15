"""The sizes that fit a network along each axis, and how much to pad other sizes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_LEAST_WINDOW = 64
_SIDES = {
    "length": ("at the start", "at the end"),
    "depth": ("at the front", "at the back"),
    "height": ("at the top", "at the bottom"),
    "width": ("at the left", "at the right"),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """The sizes that fit along one axis.

    Args:
        period: after how many sizes they repeat.
        remainders: the remainders of those that fit.
        start: the size from which on they repeat.
        also: smaller sizes that fit.

    >>> pattern = Pattern(16, (12,), 140, ())
    >>> [size for size in range(100, 180) if pattern.fits(size)], pattern.next_from(157)
    ([140, 156, 172], 172)
    """

    period: int
    remainders: tuple[int, ...]
    start: int
    also: tuple[int, ...]

    def fits(self, size: int) -> bool:
        """Whether a size fits."""
        return size in self.also or (size >= self.start and size % self.period in self.remainders)

    def next_from(self, size: int) -> int:
        """The smallest size that fits and is not smaller."""
        first = max(size, self.start)
        repeated = min(first + (remainder - first) % self.period for remainder in self.remainders)
        return min([repeated, *(one for one in self.also if one >= size)])

    def __str__(self) -> str:
        sizes = [self.next_from(1)]
        while len(sizes) < 3:
            sizes.append(self.next_from(sizes[-1] + 1))
        if self.period == 1:
            return f"{sizes[0]} or more"
        listed = ", ".join(map(str, sizes))
        remainders = ", ".join(map(str, self.remainders))
        if len(self.remainders) == 1:
            extra = f" plus {remainders}" if remainders != "0" else ""
            return f"a multiple of {self.period}{extra}: {listed}, ..."
        return f"a number whose remainder is {remainders} when divided by {self.period}: {listed}, ..."


def find_pattern(fits: Callable[[int], bool], period: int, most: int) -> Pattern | None:
    """The pattern of the sizes that fit; None if none up to `most` fits, or they do not repeat.

    Args:
        fits: whether a size fits.
        period: a multiple of the period.
        most: the most sizes to compute.

    >>> find_pattern(lambda size: size % 6 == 4 and size > 9, 12, 100)
    Pattern(period=6, remainders=(4,), start=5, also=())
    """
    end = max(3 * period, _LEAST_WINDOW)
    while end <= most:
        flags = [False, *map(fits, range(1, end + 1))]
        last = flags[end - period + 1 :]
        if any(last) and last == flags[end - 2 * period + 1 : end - period + 1]:
            return _pattern(flags, period)
        end *= 2
    return None


def _pattern(flags: list[bool], period: int) -> Pattern:
    end = len(flags)
    shortest = next(
        one
        for one in range(1, period + 1)
        if period % one == 0 and all(flags[place] == flags[place - one] for place in range(end - period, end))
    )
    remainders = tuple(sorted(place % shortest for place in range(end - shortest, end) if flags[place]))
    wrong = (size for size in range(end - 1, 0, -1) if flags[size] != (size % shortest in remainders))
    start = next(wrong, 0) + 1
    return Pattern(shortest, remainders, start, tuple(size for size in range(1, start) if flags[size]))


@dataclass(frozen=True, slots=True)
class AxisFit:
    """What fits along one axis of the input.

    Args:
        axis: name of the axis.
        size: the size that was given.
        pattern: the sizes that fit.
    """

    axis: str
    size: int
    pattern: Pattern

    @property
    def padded(self) -> int:
        """The smallest size that fits and is not smaller than the given one."""
        return self.pattern.next_from(self.size)

    @property
    def pads(self) -> tuple[int, int]:
        """How many samples to add before and after."""
        missing = self.padded - self.size
        return missing // 2, missing - missing // 2


def padding_text(fits: Sequence[AxisFit]) -> str:
    """To which size to pad, and how much where.

    >>> padding_text([AxisFit("height", 13, Pattern(8, (0,), 1, ())), AxisFit("width", 16, Pattern(8, (0,), 1, ()))])
    '16x16: 1 at the top, 2 at the bottom'
    """
    parts = []
    for fit in fits:
        parts += [f"{count} {side}" for count, side in zip(fit.pads, _SIDES[fit.axis], strict=True) if count]
    return f"{'x'.join(str(fit.padded) for fit in fits)}: {', '.join(parts)}"


def fits_text(fits: Sequence[AxisFit]) -> str:
    """The sizes that fit, in one sentence.

    >>> fits_text([AxisFit("height", 13, Pattern(8, (0,), 1, ())), AxisFit("width", 16, Pattern(8, (0,), 1, ()))])
    'height and width fit if each is a multiple of 8: 8, 16, 24, ...'
    """
    texts = [str(fit.pattern) for fit in fits]
    if len(texts) > 1 and len(set(texts)) == 1:
        names = [fit.axis for fit in fits]
        return f"{', '.join(names[:-1])} and {names[-1]} fit if each is {texts[0]}"
    return "; ".join(f"the {fit.axis} fits if it is {text}" for fit, text in zip(fits, texts, strict=True))


def fit_json(fit: AxisFit) -> dict[str, Any]:
    """What fits along an axis, for programs."""
    pattern = fit.pattern
    return {
        "axis": fit.axis,
        "period": pattern.period,
        "remainders": list(pattern.remainders),
        "from": pattern.start,
        "smaller": list(pattern.also),
        "smallest": pattern.next_from(1),
    }
