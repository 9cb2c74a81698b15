"""A layer along one axis: which outputs see which inputs, and the formulas that follow. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Protocol, Self, TypeVar


class Length(Protocol):
    """A whole number, or an expression that stands for one."""

    def __add__(self, number: int, /) -> Self: ...
    def __sub__(self, number: int, /) -> Self: ...
    def __mul__(self, number: int, /) -> Self: ...
    def __floordiv__(self, number: int, /) -> Self: ...


AnyLength = TypeVar("AnyLength", bound=Length)

_MOST_TAPS = 4096
"""The most taps to examine one by one: enough for any sensible kernel."""


@dataclass(frozen=True, slots=True)
class LayerAxis:
    """A convolution, or a transposed one, along one axis. Its settings are checked in `sizes`, not here.

    In a transposed convolution, tap t connects input i with output o if `o + padding == i*stride + t*dilation`. In an
    ordinary one, it connects them if `i + padding == o*stride + t*dilation`.

    Args:
        kernel_size: number of taps.
        stride: samples from one window to the next, in the input, or in the output of a transposed layer.
        padding: samples added at each end of the input, or cropped at each end of the output of a transposed layer.
        output_padding: samples at the end in addition to `padding`: a transposed layer computes them, an ordinary one
            adds them.
        dilation: samples from one tap to the next.
        transposed: each input spreads over a window of the output; otherwise each output sees a window of the input.
    """

    kernel_size: int = 1
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1
    transposed: bool = False

    @property
    def reach(self) -> int:
        """Samples from the first tap to the last."""
        return self.dilation * (self.kernel_size - 1)

    @property
    def span(self) -> int:
        """Samples from the first tap to the last, both included."""
        return self.reach + 1

    @property
    def before(self) -> int:
        """Samples added before the axis, or cropped."""
        return self.padding

    @property
    def after(self) -> int:
        """Samples added after the axis, or cropped."""
        return self.padding - self.output_padding if self.transposed else self.padding + self.output_padding

    def output_size(self, size: AnyLength) -> AnyLength:
        """Length after the layer, in samples; below 1 if no sample remains.

        Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning".

        >>> LayerAxis(3, 2, 1).output_size(224), LayerAxis(4, 2, 1, transposed=True).output_size(7)
        (112, 14)
        """
        if self.transposed:
            return (size - 1) * self.stride + (self.span - self.before - self.after)
        return (size + (self.before + self.after - self.span)) // self.stride + 1

    @property
    def is_exact(self) -> bool:
        """Whether n always becomes `stride*n` (transposed), or `stride*n` becomes n (ordinary): true if 0 becomes 0."""
        return self.output_size(0) == 0

    @property
    def scale(self) -> Fraction:
        """Output samples per input sample."""
        return Fraction(self.stride) if self.transposed else Fraction(1, self.stride)

    @property
    def shift(self) -> Fraction:
        """How far the image moves relative to half-pixel alignment, in output pixels; down and right are positive.

        Input i of a transposed layer spreads around output `i*stride - padding + dilation*(kernel_size-1)/2`.
        Half-pixel alignment puts it at `(i + 1/2)*stride - 1/2`. An ordinary layer with the same settings moves the
        image back by the same number of its input pixels.

        >>> LayerAxis(3, 2, 1, transposed=True).shift, LayerAxis(4, 2, 1, transposed=True).shift
        (Fraction(-1, 2), Fraction(0, 1))
        >>> LayerAxis(3, 2, 1).shift
        Fraction(1, 4)
        """
        return Fraction(self.halves, 2) if self.transposed else Fraction(-self.halves, 2 * self.stride)

    @property
    def halves(self) -> int:
        """The shift in halves of a pixel on the side with more pixels: the output of a transposed layer.

        >>> LayerAxis(3, 2, 1, transposed=True).halves
        -1
        """
        return self.span - self.stride - 2 * self.padding

    @property
    def halo(self) -> int:
        """Inputs that a transposed layer needs on each side of a run of inputs to compute the outputs of the run.

        It assumes `stride + 2*padding` taps. Then both sides need the same number, and the outputs of input 0 are 0 to
        `stride - 1`.

        >>> LayerAxis(4, 2, 1, transposed=True).halo
        1
        """
        return self.inputs_between(0, self.stride - 1)[1]

    @property
    def taps(self) -> tuple[tuple[int, ...], ...]:
        """The taps that reach each phase of a transposed layer's output: outputs 0, stride, 2*stride ... are phase 0.

        >>> LayerAxis(3, 2, transposed=True).taps, LayerAxis(3, 2, 1, transposed=True).taps
        (((0, 2), (1,)), ((1,), (0, 2)))
        """
        taps: list[list[int]] = [[] for _ in range(self.stride)]
        for tap in range(self.kernel_size):
            taps[(tap * self.dilation - self.padding) % self.stride].append(tap)
        return tuple(map(tuple, taps))

    @property
    def taps_per_phase(self) -> tuple[int, ...]:
        """How many taps reach each phase."""
        return tuple(map(len, self.taps))

    @property
    def is_even(self) -> bool:
        """Whether every phase is reached by the same number of taps: with dilation 1, if stride divides kernel_size.

        Taps visit the phases in turn, and with a dilation that has a factor in common with stride not all of them.
        """
        return self.kernel_size % self.stride == 0 and gcd(self.dilation, self.stride) == 1

    @property
    def unreached(self) -> tuple[int, int]:
        """How many outputs at the start and at the end of a transposed layer no tap reaches, for every input length.

        With a dilation and very large settings, the numbers may be too small.

        >>> LayerAxis(2, 2, output_padding=1, transposed=True).unreached
        (0, 1)
        """
        if self.is_dense:
            return 0, max(0, -self.after)
        if not self.transposed:
            return 0, 0
        return self._to_tap(self.reach - self.before), self._to_tap(self.reach - self.after)

    def _to_tap(self, place: int) -> int:
        """Samples from a place in the last input's window back to the nearest tap of this or an earlier input."""
        own = min(self.kernel_size - 1, place // self.dilation)
        if own >= 0 and own * self.dilation == place:
            return 0
        # Later taps of earlier inputs reach samples before the place.
        first = max(own + 1, 0)
        before = range(first, min(self.kernel_size, first + min(self.stride, _MOST_TAPS)))
        missed = [(place - tap * self.dilation) % self.stride for tap in before]
        return min([*missed, *([place - own * self.dilation] if own >= 0 else [])], default=0)

    @property
    def is_dense(self) -> bool:
        """Whether each output of a transposed layer sees at least one input, and the inputs it sees are consecutive."""
        return self.transposed and self.dilation == 1 and self.kernel_size >= self.stride

    @property
    def inputs_examined(self) -> int:
        """The largest number of inputs that `seen` examines."""
        return 2 * self.dilation + 2 if self.transposed and not self.is_dense else 1

    def inputs_between(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last input whose window overlaps the outputs `first` to `last`.

        The last is below the first if no window does.

        >>> LayerAxis(4, 2, 1, transposed=True).inputs_between(0, 1), LayerAxis(3, 2, 1).inputs_between(5, 5)
        ((-1, 1), (9, 11))
        """
        if self.transposed:
            return -((self.reach - first - self.padding) // self.stride), (last + self.padding) // self.stride
        return first * self.stride - self.padding, last * self.stride - self.padding + self.reach

    def seen(self, first: int, last: int) -> tuple[int, int] | None:
        """The first and the last input that the outputs `first` to `last` see; None if they see none.

        >>> LayerAxis(3, 2, 1).seen(5, 5), LayerAxis(4, 2, 1, transposed=True).seen(5, 6)
        ((9, 11), (2, 3))
        """
        low, high = self.inputs_between(first, last)
        if self.is_dense or not self.transposed:
            return low, high
        # The pattern of taps and outputs repeats after at most `dilation` inputs.
        inputs = [
            source
            for source in (*range(low, low + self.dilation + 1), *range(high, high - self.dilation - 1, -1))
            if self._has_tap(first - source * self.stride + self.padding, last - source * self.stride + self.padding)
        ]
        return (min(inputs), max(inputs)) if inputs else None

    def _has_tap(self, first: int, last: int) -> bool:
        """Whether there is a tap between two distances from the start of the window, both included."""
        low, high = max(first, 0), min(last, self.reach)
        return -(-low // self.dilation) * self.dilation <= high

    def followed_by(self, later: LayerAxis) -> LayerAxis | None:
        """The single layer that is equivalent to this one followed by `later`; None if there is no such layer.

        Two ordinary layers merge, and so do two dense transposed ones: dividing by one stride and then by the other,
        rounding the same way each time, equals dividing by their product. A stride of 1 does not round.
        """
        stride, transposed = self.stride * later.stride, self.transposed or later.transposed
        if not transposed:
            reach = self.reach + later.reach * self.stride
            before, after = self.before + later.before * self.stride, self.after + later.after * self.stride
        elif self.is_dense and later.is_dense:
            reach = later.reach + self.reach * later.stride
            before, after = later.before + self.before * later.stride, later.after + self.after * later.stride
        elif self.is_dense and later.stride == 1 and not later.transposed:
            reach = self.reach + later.reach
            before, after = (
                own + later.reach - end for own, end in ((self.before, later.before), (self.after, later.after))
            )
        elif later.is_dense and self.stride == 1 and not self.transposed:
            reach = later.reach + later.stride * self.reach
            before = later.before + later.stride * (self.reach - self.before)
            after = later.after + later.stride * (self.reach - self.after)
        else:
            return None
        extra = before - after if transposed else after - before
        return LayerAxis(reach + 1, stride, before, extra, transposed=transposed)
