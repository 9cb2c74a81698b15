"""Find the input sizes for which all branches of a graph meet, and how much to pad other sizes. No torch.

Every layer divides by its stride and rounds, multiplies, or adds. So the sizes that fit repeat with a period that
divides the product of the strides along a path, once the input is larger than all kernels. This is not assumed: all
sizes of several periods are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import lcm

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.input_shapes import Shapes
from upsample_cli.tconv.graphs.operators.joining import JOINS
from upsample_cli.tconv.graphs.operators.resizing import scales_of
from upsample_cli.tconv.graphs.sizes import GraphStep, PreparedGraph

_MOST_NODES = 200_000
"""The most nodes whose sizes are computed, over all sizes: some seconds."""
_LEAST_WINDOW, _LONGEST_PERIOD = 64, 4096


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
        return f"a number with a remainder of {remainders} by {self.period}: {listed}, ..."


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


def fitting_sizes(graph: PreparedGraph, shapes: Shapes, main: str) -> tuple[AxisFit, ...] | None:
    """What fits along each axis of an input, the other axes given sizes that fit.

    Args:
        graph: the graph.
        shapes: the shapes of its inputs.
        main: the input to vary.

    Returns:
        One result for each axis; None if no sizes fit, or finding them would take too long.
    """
    given = shapes[main]
    axes = range(2, len(given))

    @cache
    def steps(sizes: tuple[int, ...]) -> tuple[GraphStep, ...] | None:
        try:
            return graph.steps({**shapes, main: (*given[:2], *sizes)})
        except GeometryError:
            return None

    most = _MOST_NODES // max(1, len(graph.graph.nodes) * max(1, len(axes)))
    equal = ((size,) * len(axes) for size in range(1, min(most, _LONGEST_PERIOD)))
    good = next((sizes for sizes in (given[2:], *equal) if steps(tuple(sizes)) is not None), None)
    if good is None:
        return None
    found = []
    for place, name in enumerate(axis_names(len(axes))):
        period = _period(graph, steps(tuple(good)) or (), main, place)

        def fits(size: int, place: int = place) -> bool:
            return steps((*good[:place], size, *good[place + 1 :])) is not None

        pattern = find_pattern(fits, period, most) if period <= _LONGEST_PERIOD else None
        if pattern is None:
            return None
        found.append(AxisFit(name, given[2 + place], pattern))
    return tuple(found)


def _period(graph: PreparedGraph, steps: tuple[GraphStep, ...], main: str, place: int) -> int:
    """A multiple of the period along an axis: the common multiple of the products of strides along all paths."""
    periods, whole = {main: 1}, 1
    for step in steps:
        before = lcm(*(periods.get(name, 1) for name in step.node.inputs))
        after = before * _divisor(step, place, graph.graph.opset)
        periods |= dict.fromkeys(step.node.outputs, after)
        whole = lcm(whole, after)
        if whole > _LONGEST_PERIOD:
            break
    return whole


def _divisor(step: GraphStep, place: int, opset: int) -> int:
    """By what a node divides an axis, rounding."""
    node = step.node
    if node.operator in ("Resize", "Upsample"):
        scales = scales_of(node, step.inputs, opset)
        axes = node.ints("axes") or tuple(range(2 + place + 1))
        if scales is None or 2 + place not in axes or len(scales) <= axes.index(2 + place):
            return 1
        return Fraction(scales[axes.index(2 + place)]).limit_denominator(64).denominator
    if node.operator == "SpaceToDepth":
        return max(1, node.int("blocksize", 1))
    if node.operator == "Slice" and len(step.inputs) > 4 and step.inputs[4] is not None:
        return lcm(*(abs(int(number)) or 1 for number in step.inputs[4].numbers or (1,)))
    if node.operator == "Div" and len(step.inputs) > 1 and step.inputs[1] is not None:
        numbers = step.inputs[1].numbers or ()
        return int(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], int) and numbers[0] > 0 else 1
    strides = node.ints("strides") or ()
    return strides[place] if place < len(strides) and node.operator != "ConvTranspose" else 1


def joins(steps: tuple[GraphStep, ...]) -> tuple[Node, ...]:
    """The nodes at which branches with axes meet: skip connections."""
    return tuple(
        step.node
        for step in steps
        if step.node.operator in JOINS
        and sum(value is not None and len(value.shape) > 2 and max(value.shape[2:]) > 1 for value in step.inputs) > 1
        and not any(value.numbers is not None for value in step.outputs)
    )
