"""Operators of ONNX that move numbers without choosing among them: reshaping, and channels that become pixels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node, list_text
from upsample_cli.tconv.graphs.values import (
    Inputs,
    Operator,
    Value,
    checked,
    known_ints,
    place_of,
    rearranged,
    required,
    setting,
)
from upsample_cli.text import shortened


def _reshaped(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:
    given = required(inputs, 0)
    wanted = setting(node, inputs, "shape", 1) if opset < 5 else known_ints(required(inputs, 1), "its shape")
    if wanted is None:
        raise GeometryError("its shape is missing", "export the model again")
    keeps = not node.int("allowzero", 0)
    shape = [given.shape[place] if size == 0 and keeps and place < len(given.shape) else size
             for place, size in enumerate(wanted)]  # fmt: skip
    count, filled = prod(given.shape), prod(size for size in shape if size != -1)
    if -1 in shape and shape.count(-1) == 1 and filled > 0:
        shape[shape.index(-1)] = count // filled
    if prod(shape) != count or min(shape, default=0) < 0:
        sizes = "x".join(map(str, given.shape))
        raise GeometryError(
            f"{sizes} cannot become {shortened('x'.join(map(str, wanted)))}",
            "use the size for which the model was exported",
        )
    return [Value(checked(shape), given.numbers)]


def _flattened(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    axis, rank = node.int("axis", 1), len(given.shape)
    if not -rank <= axis <= rank:
        raise GeometryError(f"there is no axis {axis} of {rank}", "export the model again")
    axis = axis + rank if axis < 0 else axis
    return [Value(checked((prod(given.shape[:axis]), prod(given.shape[axis:]))), given.numbers)]


def _transposed(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    order = node.ints("perm") or tuple(reversed(range(len(given.shape))))
    if sorted(order) != list(range(len(given.shape))):
        raise GeometryError(
            f"perm {list_text(order)} does not fit {len(given.shape)} dimensions", "export the model again"
        )
    back = [order.index(place) for place in range(len(order))]
    shape = tuple(given.shape[place] for place in order)
    return [rearranged(given, shape, lambda place: [place[one] for one in back])]


def _squeezed(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    axes = setting(node, inputs, "axes", 1)
    if axes is None:
        return [Value(tuple(size for size in given.shape if size != 1), given.numbers)]
    places = {place_of(axis, len(given.shape)) for axis in axes}
    for place in places:
        if given.shape[place] != 1:
            raise GeometryError(f"it leaves out a size of {given.shape[place]}, which is not 1", "export it again")
    return [Value(tuple(size for place, size in enumerate(given.shape) if place not in places), given.numbers)]


def _unsqueezed(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    axes = setting(node, inputs, "axes", 1)
    if axes is None:
        raise GeometryError("its axes are missing", "export the model again")
    rank = len(given.shape) + len(axes)
    places, sizes = {place_of(axis, rank) for axis in axes}, iter(given.shape)
    if len(places) < len(axes):
        raise GeometryError("it names an axis twice", "export the model again")
    return [Value(tuple(1 if place in places else next(sizes) for place in range(rank)), given.numbers)]


def _to_space(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    batch, channels, *sizes = _with_block(node, inputs)
    block = node.int("blocksize", 1)
    if channels % block ** len(sizes):
        raise GeometryError(f"{channels} channels are not divisible by {block}x{block}", "export the model again")
    return [Value(checked((batch, channels // block ** len(sizes), *(size * block for size in sizes))))]


def _to_depth(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    batch, channels, *sizes = _with_block(node, inputs)
    block = node.int("blocksize", 1)
    for size in sizes:
        if size % block:
            raise GeometryError(f"{size} is not divisible by {block}", f"pad it to {size + -size % block}")
    return [Value(checked((batch, channels * block ** len(sizes), *(size // block for size in sizes))))]


def _with_block(node: Node, inputs: Inputs) -> tuple[int, ...]:
    shape = required(inputs, 0).shape
    if len(shape) != 4 or node.int("blocksize", 1) < 1:
        raise GeometryError("it works on images and a blocksize of 1 or more", "export the model again")
    return shape


MOVING: dict[str, Operator] = {
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Transpose": _transposed,
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "DepthToSpace": _to_space,
    "SpaceToDepth": _to_depth,
}
