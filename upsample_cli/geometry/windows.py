"""Which inputs an output sees, and how far the image moves: one window per layer and axis. No torch.

A window is the layer's connections along one axis. The alignment shift and the receptive field of a whole chain follow
from windows alone. Consecutive windows are merged where that is exact, so that the time for a chain is proportional to
its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from upsample_cli.errors import GeometryError

MOST_PHASES = 4096
"""How many neighbouring outputs have their receptive fields compared. A chain that enlarges more has more kinds."""
_MOST_LOOKS = 2**21
"""The most windows of a chain to trace, over all layers and phases: a second or two."""
_MOST_BITS = 900
"""The most bits of the product of a chain's strides: beyond, it or its inverse overflows a floating-point number."""


@dataclass(frozen=True, slots=True)
class Window:
    """The connections of a layer along one axis.

    Args:
        taps: of the kernel.
        stride: samples from one window to the next, in the input, or in the output of a transposed layer.
        before: by how many samples the first window begins before the axis.
        dilation: samples from one tap to the next.
        transposed: each input sample spreads over a window of the output; otherwise each output sees a window of the
            input.
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
        """Whether each output of a transposed layer sees an input, and all inputs between its first and its last."""
        return self.transposed and self.dilation == 1 and self.taps >= self.stride

    @property
    def looks(self) -> int:
        """The most inputs that `seen` examines."""
        return 2 * self.dilation + 2 if self.transposed and not self.is_dense else 1

    @property
    def shift(self) -> Fraction:
        """The shift of the image against half-pixel alignment, in output pixels; down and right are positive.

        >>> Window(3, 2, 1, transposed=True).shift, Window(4, 2, 1, transposed=True).shift, Window(3, 2, 1).shift
        (Fraction(-1, 2), Fraction(0, 1), Fraction(1, 4))
        """
        moved = Fraction(self.dilation * (self.taps - 1) + 1 - self.stride - 2 * self.before, 2)
        return moved if self.transposed else -moved / self.stride

    def seen(self, first: int, last: int) -> tuple[int, int] | None:
        """The first and the last input that the outputs `first` to `last` see; None if they see none.

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
        """The window equivalent to this one and a later one; None if there is none.

        Two ordinary windows merge, and so do two dense transposed ones, because a quotient of a quotient, both rounded
        the same way, is one quotient. A stride of 1 changes no rounding.
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
        # The pattern of taps and outputs repeats after at most `dilation` inputs.
        return range(begin, begin + direction * (self.dilation + 1), direction)

    def _meets(self, first: int, last: int) -> bool:
        """Whether there is a tap between two distances from the start of the window, both included."""
        low, high = max(first, 0), min(last, self.dilation * (self.taps - 1))
        return -(-low // self.dilation) * self.dilation <= high


@dataclass(frozen=True, slots=True)
class Chain:
    """The windows of consecutive layers along one axis. Built with `after`, from `Chain()`.

    Args:
        windows: the fewest that see the same.
        shift: how far they move an image, in pixels of the last output.
        reduces, enlarges: products of the strides of ordinary and of transposed layers.
        receptive_field: the most input samples, first to last, that one output sample can see, ignoring borders. If a
            chain enlarges, neighbouring outputs can see different numbers; the first `MOST_PHASES` are compared.

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
            GeometryError: if tracing it would take more than seconds, or the product of its strides is too large.
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
        looks = self._looks + phases * sum(one.looks for one in windows)
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
