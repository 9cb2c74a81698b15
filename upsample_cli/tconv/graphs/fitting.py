"""Find the input sizes for which all branches of a graph meet, and how much to pad other sizes. No torch.

Every layer divides by its stride and rounds, multiplies, or adds. So the sizes that fit repeat with a period that
divides the product of the strides along a path, once the input is larger than all kernels. This is not assumed: all
sizes of several periods are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import lcm

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.input_shapes import Shapes
from upsample_cli.tconv.graphs.operators.joining import JOINS
from upsample_cli.tconv.graphs.operators.resizing import scales_of
from upsample_cli.tconv.graphs.sizes import GraphStep, PreparedGraph, TooMuchWorkError
from upsample_cli.tconv.size_pattern import AxisFit, find_pattern

_MOST_WORK = 200_000
"""The most nodes whose sizes are computed, over all sizes: some seconds."""
_LONGEST_PERIOD, _MOST_SIZES = 4096, 20_000


def fitting_sizes(graph: PreparedGraph, shapes: Shapes, main: str) -> tuple[AxisFit, ...] | None:
    """The sizes that fit along each axis of an input, if the other axes have sizes that fit.

    Args:
        graph: the graph.
        shapes: the shapes of its inputs.
        main: the input to vary.

    Returns:
        One result for each axis; None if no sizes fit, or finding them would take too long.
    """
    if not 3 <= len(shapes[main]) <= 5:
        return None
    graph.work_left = _MOST_WORK
    try:
        return _fitting(graph, shapes, main)
    except TooMuchWorkError:
        return None


def _fitting(graph: PreparedGraph, shapes: Shapes, main: str) -> tuple[AxisFit, ...] | None:
    given = shapes[main]
    axes = len(given) - 2

    def steps(sizes: Sequence[int]) -> tuple[GraphStep, ...]:
        return graph.steps({**shapes, main: (*given[:2], *sizes)})

    @cache
    def are_accepted(sizes: tuple[int, ...]) -> bool:
        try:
            steps(sizes)
        except GeometryError:
            return False
        return True

    equal = ((size,) * axes for size in range(1, _LONGEST_PERIOD))
    good = next((sizes for sizes in (given[2:], *equal) if are_accepted(sizes)), None)
    if good is None:
        return None
    found = []
    for place, name in enumerate(axis_names(axes)):
        period = _period(graph, steps(good), main, place)
        others = good[:place], good[place + 1 :]

        def fits(size: int, others: tuple[tuple[int, ...], ...] = others) -> bool:
            return are_accepted((*others[0], size, *others[1]))

        pattern = find_pattern(fits, period, _MOST_SIZES) if period <= _LONGEST_PERIOD else None
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
        scales = scales_of(node, step.inputs, opset) or {}
        return Fraction(scales.get(2 + place, 1)).limit_denominator(64).denominator
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
