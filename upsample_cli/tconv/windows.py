"""Which inputs an output sees, and how far the picture moves: one window per layer and axis. No torch.

A window is the layer's connections along one axis. From windows alone follow the alignment shift and the receptive
field of a whole chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

MOST_PHASES = 4096
"""Neighbouring output samples whose receptive fields are compared; a chain that enlarges more has more kinds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The connections of a layer along one axis.

    Args:
        taps: of the kernel.
        stride: samples from one window to the next, counted in the input; of a transposed layer, in the output.
        before: samples by which the first window begins before the axis.
        dilation: samples from one tap to the next.
        transposed: each input sample spreads over a window of the output; else each output sees a window of the input.
    """

    taps: int = 1
    stride: int = 1
    before: int = 0
    dilation: int = 1
    transposed: bool = False

    @property
    def scale(self) -> Fraction:
        """Output samples per input sample."""
        return Fraction(self.stride) if self.transposed else Fraction(1, self.stride)

    @property
    def shift(self) -> Fraction:
        """How far the layer moves the picture against half-pixel alignment, in output pixels; down and right is plus.

        >>> Window(3, 2, 1, transposed=True).shift, Window(4, 2, 1, transposed=True).shift, Window(3, 2, 1).shift
        (Fraction(-1, 2), Fraction(0, 1), Fraction(1, 4))
        """
        moved = Fraction(self.dilation * (self.taps - 1) + 1 - self.stride - 2 * self.before, 2)
        return moved if self.transposed else -moved / self.stride

    def seen(self, first: int, last: int) -> tuple[int, int] | None:
        """The first and the last input that the outputs `first` to `last` see; None where they see none.

        >>> Window(3, 2, 1).seen(5, 5), Window(4, 2, 1, transposed=True).seen(5, 6)
        ((9, 11), (2, 3))
        """
        reach = self.dilation * (self.taps - 1)
        if not self.transposed:
            return first * self.stride - self.before, last * self.stride - self.before + reach
        low, high = first + self.before - reach, last + self.before
        inputs = [
            source
            for source in (*self._ends(-(-low // self.stride), 1), *self._ends(high // self.stride, -1))
            if self._meets(first - source * self.stride + self.before, last - source * self.stride + self.before)
        ]
        return (min(inputs), max(inputs)) if inputs else None

    def _ends(self, begin: int, direction: int) -> range:
        # Which taps meet which outputs repeats after `dilation` inputs at the latest.
        return range(begin, begin + direction * (self.dilation + 1), direction)

    def _meets(self, first: int, last: int) -> bool:
        """Whether a tap lies between two distances from the window's beginning, both included."""
        low, high = max(first, 0), min(last, self.dilation * (self.taps - 1))
        return -(-low // self.dilation) * self.dilation <= high


def total_shift(windows: Sequence[Window]) -> Fraction:
    """How far a chain moves the picture against half-pixel alignment, in pixels of its last output.

    >>> total_shift([Window(3, 2, 1), Window(3, 2, 1, transposed=True)])
    Fraction(0, 1)
    """
    moved = Fraction(0)
    for window in windows:
        moved = moved * window.scale + window.shift
    return moved


def receptive_field(windows: Sequence[Window]) -> int:
    """The most samples of the chain's input, first to last, that one sample of its output can see, borders left out.

    Where a chain enlarges, outputs side by side can see different numbers; the first `MOST_PHASES` are compared.

    >>> receptive_field([Window(3), Window(3)]), receptive_field([Window(4, 2, 1, transposed=True)])
    (5, 2)
    """
    phases = prod(window.stride for window in windows if window.transposed)
    return max(_seen_through(windows, position) for position in range(min(phases, MOST_PHASES)))


def _seen_through(windows: Sequence[Window], position: int) -> int:
    first, last = position, position
    for window in reversed(windows):
        ends = window.seen(first, last)
        if ends is None:
            return 0
        first, last = ends
    return last - first + 1
