"""Operators of ONNX that reduce dimensions to one number each."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.values import Inputs, Operator, Value, place_of, required, setting


def _reduced(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    axes = setting(node, inputs, "axes", 1)
    if not axes:
        places = set() if node.int("noop_with_empty_axes", 0) else set(range(len(given.shape)))
    else:
        places = {place_of(axis, len(given.shape)) for axis in axes}
    shape = _without(given.shape, places, keep=node.int("keepdims", 1) != 0)
    if node.operator == "ReduceProd" and given.numbers is not None and len(places) == len(given.shape):
        return [Value(shape, (prod(given.numbers),))]
    return [Value(shape)]


def _found(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    place = place_of(node.int("axis", 0), len(given.shape))
    return [Value(_without(given.shape, {place}, keep=node.int("keepdims", 1) != 0))]


def _without(shape: Sequence[int], places: set[int], *, keep: bool) -> tuple[int, ...]:
    return tuple(1 if place in places else size for place, size in enumerate(shape) if keep or place not in places)


_KINDS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
REDUCING: dict[str, Operator] = {
    **{f"Reduce{kind}": _reduced for kind in _KINDS},
    "ArgMax": _found,
    "ArgMin": _found,
}
