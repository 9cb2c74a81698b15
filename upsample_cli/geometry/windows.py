"""Which inputs an output sees, and how far the image moves: one window per layer and axis. No torch.

A window is the layer's connections along one axis. From windows alone follow the alignment shift and the receptive
field of a whole chain. Windows that follow one another are made one where that is exact, so that a chain takes time in
proportion to its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from upsample_cli.errors import GeometryError

MOST_PHASES = 4096
"""Neighbouring output samples whose receptive fields are compared; a chain that enlarges more has more kinds."""
_MOST_LOOKS = 2**21
"""Windows of a chain that are looked through, for all its layers and phases: a second or two."""
_MOST_BITS = 900
"""Of the product of a chain's strides: a larger one, or its inverse, is not a floating-point number."""


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
    def reach(self) -> int:
        """Samples from the first tap to the last."""
        return self.dilation * (self.taps - 1)

    @property
    def is_dense(self) -> bool:
        """Whether every output of a transposed layer sees an input, and all between the first and the last it sees."""
        return self.transposed and self.dilation == 1 and self.taps >= self.stride

    @property
    def looks(self) -> int:
        """How many inputs `seen` may look at."""
        return 2 * self.dilation + 2 if self.transposed and not self.is_dense else 1

    @property
    def shift(self) -> Fraction:
        """How far the layer moves the image against half-pixel alignment, in output pixels; down and right is plus.

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
        if not self.transposed:
            return first * self.stride - self.before, last * self.stride - self.before + self.reach
        low, high = -(-(first + self.before - self.reach) // self.stride), (last + self.before) // self.stride
        if self.is_dense:
            return low, high
        inputs = [
            source
            for source in (*self._ends(low, 1), *self._ends(high, -1))
            if self._meets(first - source * self.stride + self.before, last - source * self.stride + self.before)
        ]
        return (min(inputs), max(inputs)) if inputs else None

    def followed_by(self, later: Window) -> Window | None:
        """The one window that sees what this and a later one see together; None where there is none.

        Ordinary windows are one, and so are dense transposed ones, because a quotient of a quotient, both rounded the
        same way, is one quotient. A stride of 1 changes no rounding.
        """
        if not self.transposed and not later.transposed:
            reach, before = self.reach + later.reach * self.stride, self.before + later.before * self.stride
            return Window(reach + 1, self.stride * later.stride, before)
        if self.is_dense and later.is_dense:
            reach, before = later.reach + self.reach * later.stride, later.before + self.before * later.stride
            return Window(reach + 1, self.stride * later.stride, before, transposed=True)
        if self.is_dense and later.stride == 1 and not later.transposed:
            before = self.before + later.reach - later.before
            return Window(self.taps + later.reach, self.stride, before, transposed=True)
        if later.is_dense and self.stride == 1 and not self.transposed:
            before = later.before + later.stride * (self.reach - self.before)
            return Window(later.taps + later.stride * self.reach, later.stride, before, transposed=True)
        return None

    def _ends(self, begin: int, direction: int) -> range:
        # Which taps meet which outputs repeats after `dilation` inputs at the latest.
        return range(begin, begin + direction * (self.dilation + 1), direction)

    def _meets(self, first: int, last: int) -> bool:
        """Whether a tap lies between two distances from the window's beginning, both included."""
        low, high = max(first, 0), min(last, self.dilation * (self.taps - 1))
        return -(-low // self.dilation) * self.dilation <= high


@dataclass(frozen=True, slots=True)
class Chain:
    """The windows of layers that follow one another, along one axis. Made by `after`, from `Chain()`.

    Args:
        windows: as few as see the same.
        shift: how far they move an image, in pixels of the last output.
        reduces, enlarges: products of the strides of ordinary and of transposed layers.
        receptive_field: the most samples of the chain's input, first to last, that one sample of its output can see,
            borders left out. Where a chain enlarges, outputs side by side can see different numbers; the first
            `MOST_PHASES` are compared.

    >>> chain = Chain().after(Window(3, 2, 1)).after(Window(3, 2, 1, transposed=True))
    >>> chain.shift, chain.receptive_field
    (Fraction(0, 1), 5)
    """

    windows: tuple[Window, ...] = ()
    shift: Fraction = Fraction(0)
    reduces: int = 1
    enlarges: int = 1
    receptive_field: int = 1
    _looks: int = field(default=0, repr=False)

    def after(self, window: Window) -> Chain:
        """The chain with one more layer at its end.

        Raises:
            GeometryError: if it cannot be looked through in seconds, or its strides multiply beyond all numbers.
        """
        if window == Window():
            return self
        joined = self.windows[-1].followed_by(window) if self.windows else None
        windows = (*self.windows, window) if joined is None else (*self.windows[:-1], joined)
        stride = window.stride
        reduces, enlarges = (
            (self.reduces, self.enlarges * stride) if window.transposed else (self.reduces * stride, self.enlarges)
        )
        if max(reduces, enlarges).bit_length() > _MOST_BITS:
            raise GeometryError("the strides up to here multiply to more than can be shown", "give a part of the chain")
        phases = min(enlarges, MOST_PHASES)
        looks = self._looks + phases * sum(each.looks for each in windows)
        if looks > _MOST_LOOKS:
            raise GeometryError(
                "what an output sees up to here takes too long to look through", "give a part of the chain"
            )
        seen = max(_seen_through(windows, position) for position in range(phases))
        return Chain(windows, self.shift * window.scale + window.shift, reduces, enlarges, seen, looks)


def receptive_field(windows: Sequence[Window]) -> int:
    """The receptive field of a chain of windows.

    >>> receptive_field([Window(3), Window(3)]), receptive_field([Window(4, 2, 1, transposed=True)])
    (5, 2)
    """
    chain = Chain()
    for window in windows:
        chain = chain.after(window)
    return chain.receptive_field


def _seen_through(windows: Sequence[Window], position: int) -> int:
    first, last = position, position
    for window in reversed(windows):
        ends = window.seen(first, last)
        if ends is None:
            return 0
        first, last = ends
    return last - first + 1
