"""Operators of ONNX that resample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.values import (
    Inputs,
    Operator,
    Value,
    as_float32,
    checked,
    known_ints,
    optional,
    place_of,
    required,
)

_Number = TypeVar("_Number", int, float)


def scales_of(node: Node, inputs: Inputs, opset: int) -> dict[int, float] | None:
    """The factors of a Resize or Upsample by the dimensions that it scales; None if it is given sizes."""
    place = 1 if node.operator == "Upsample" or opset < 11 else 2
    value = optional(inputs, place)
    if value is None:
        given = node.attributes.get("scales")
        numbers = given if isinstance(given, tuple) else ()
    elif value.numbers is None:
        if value.shape == (0,):
            return None
        raise GeometryError("its scales depend on the data, not on sizes alone", "export the model with a fixed size")
    else:
        numbers = value.numbers
    return _by_place(node, inputs, tuple(map(float, numbers))) if numbers else None


def _by_place(node: Node, inputs: Inputs, numbers: Sequence[_Number]) -> dict[int, _Number]:
    rank = len(required(inputs, 0).shape)
    axes = node.ints("axes") or range(rank)
    if len(numbers) != len(axes):
        raise GeometryError(f"it has {len(numbers)} scales or sizes for {len(axes)} dimensions", "export it again")
    return {place_of(axis, rank): number for axis, number in zip(axes, numbers, strict=True)}


def _resized(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:
    shape = list(required(inputs, 0).shape)
    scales, sizes = scales_of(node, inputs, opset), optional(inputs, 3)
    if scales is not None:
        if node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize":
            raise GeometryError("it crops and resizes at once, which is not supported", "export it with sizes")
        for place, scale in scales.items():
            shape[place] = _scaled(shape[place], scale)
    else:
        wanted = _by_place(node, inputs, known_ints(sizes, "its sizes") if sizes is not None else ())
        made = _with_policy(node, [shape[place] for place in wanted], tuple(wanted.values()))
        for place, size in zip(wanted, made, strict=True):
            shape[place] = size
    return [Value(checked(shape))]


def _scaled(size: int, scale: float) -> int:
    made = as_float32(as_float32(size) * as_float32(scale))
    if not math.isfinite(made) or made < 1:
        raise GeometryError(f"a scale of {scale} leaves nothing of {size}", "use a larger input")
    return math.floor(made)


def _with_policy(node: Node, sizes: Sequence[int], wanted: Sequence[int]) -> Sequence[int]:
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch" or 0 in sizes:
        return wanted
    ratios = [new / old for new, old in zip(wanted, sizes, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return [math.floor(scale * size + 0.5) for size in sizes]


def _sampled(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, grid = required(inputs, 0), required(inputs, 1)
    if len(given.shape) < 3 or len(grid.shape) != len(given.shape):
        raise GeometryError("its input and its grid do not fit together", "export the model again")
    return [Value((*given.shape[:2], *grid.shape[1:-1]))]


RESIZING: dict[str, Operator] = {"Resize": _resized, "Upsample": _resized, "GridSample": _sampled}
