"""How to run layers along one axis chunk by chunk so that the result equals one run. No torch.

A run on part of the input fills its ends as if the input ended there. So a chunk is read with context on both sides,
and the outputs that its ends reach are dropped. Each chunk starts on the grid of the strides, so all layers place their
windows as in one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis


@dataclass(frozen=True, slots=True)
class Link:
    """A layer along one axis.

    Args:
        axis: the layer.
        reflects: whether its padding repeats samples of the input in reverse.
        input_size, output_size: None if they are not known.
    """

    axis: LayerAxis
    reflects: bool = False
    input_size: int | None = None
    output_size: int | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """A chunk: what to read, and what to keep of the result.

    Args:
        read: the first input sample to read, and the one after the last.
        drop: outputs of this run to drop at its start.
        keep: the first output to keep, as a position in the result of one run, and the one after the last.
    """

    read: tuple[int, int]
    drop: int
    keep: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a chain needs along one axis. Start from `overlap`.

    Args:
        left: input samples before a chunk on which its outputs depend.
        right: input samples after a chunk on which its outputs depend: the look-ahead of a stream.
        step: a chunk starts at a multiple of this many input samples.
        outputs: outputs of one step.
        links: the layers.
        ends_on_step: whether a run must also end at a multiple of `step`.
    """

    left: int
    right: int
    step: int
    outputs: int
    links: tuple[Link, ...]
    ends_on_step: bool

    @property
    def context(self) -> int:
        """Input samples to read before a chunk: `left`, up to the next multiple of `step`."""
        return self.left + -self.left % self.step

    def cuts(self, chunk: int) -> Cuts:
        """The chunks of an input, whose size must be known to `links`.

        Raises:
            GeometryError: the chunk is not a multiple of `step`, or the size is unknown.
        """
        if chunk < 1:
            raise GeometryError(f"the chunk {chunk} is too small", f"use {self.step} or more")
        if chunk % self.step:
            near = max(1, round(chunk / self.step)) * self.step
            raise GeometryError(
                f"the chunk {chunk} is not a multiple of {self.step}, the grid of the strides", f"use {near}"
            )
        return Cuts(self, chunk)

    def reads(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last input that a separate run needs for the outputs `first` to `last`."""
        for link in reversed(self.links):
            first, last = _reads(link, first, last)
        return first, last


@dataclass(frozen=True, slots=True)
class Cuts:
    """The chunks of an input, computed one by one."""

    overlap: Overlap
    chunk: int

    @property
    def _sizes(self) -> tuple[int, int]:
        links = self.overlap.links
        before, after = links[0].input_size, links[-1].output_size
        if before is None or after is None:
            raise GeometryError("chunks are counted for an input in numbers", "give its size")
        return before, after

    @property
    def _outputs(self) -> int:
        return self.chunk // self.overlap.step * self.overlap.outputs

    def __len__(self) -> int:
        before, after = self._sizes
        return max(1, min(-(-before // self.chunk), -(-after // self._outputs)))

    def __getitem__(self, number: int) -> Cut:
        size, all_outputs = self._sizes
        if not 0 <= number < len(self):
            raise IndexError(number)
        first = number * self._outputs
        after_last = all_outputs if number == len(self) - 1 else min(first + self._outputs, all_outputs)
        low, high = self.overlap.reads(first, after_last - 1)
        step = self.overlap.step
        start, stop = low // step * step, high + 1
        if self.overlap.ends_on_step:
            stop = min(stop + -stop % step, size)
        return Cut((start, stop), first - start // step * self.overlap.outputs, (first, after_last))

    def __iter__(self) -> Iterator[Cut]:
        return (self[number] for number in range(len(self)))


def overlap(links: Sequence[Link], *, ends_on_step: bool = False) -> Overlap:
    """What a chain of layers along one axis needs.

    >>> found = overlap([Link(LayerAxis(4, 2, 1, transposed=True))])
    >>> found.left, found.right, found.outputs
    (1, 1, 2)
    """
    scale, step = Fraction(1), 1
    for link in links:
        scale *= link.axis.scale
        step = lcm(step, scale.denominator)
    outputs = int(step * scale)
    endless = [Link(link.axis) for link in links]
    low, high = 0, outputs - 1
    for link in reversed(endless):
        low, high = _reads(link, low, high)
    return Overlap(max(0, -low), max(0, high - step + 1), step, outputs, tuple(links), ends_on_step)


def _reads(link: Link, first: int, last: int) -> tuple[int, int]:
    """The inputs that a separate run of one layer needs for outputs: those they see, and those that place them."""
    axis = link.axis
    low, high = axis.seen(first, last) or (first, first)
    if axis.transposed:
        low = min(low, first // axis.stride)
        high = max(high, -((axis.span - axis.before - axis.after - last - 1) // axis.stride))
    else:
        low = min(low, first * axis.stride)
        high = max(high, last * axis.stride + axis.span - axis.before - axis.after - 1)
    high = max(low, high)
    if link.input_size is None:
        return low, high
    end = link.input_size - 1
    if link.reflects:
        low, high = (min(low, 2 * end - high), max(high, -low))
    return min(max(low, 0), end), max(0, min(high, end))
