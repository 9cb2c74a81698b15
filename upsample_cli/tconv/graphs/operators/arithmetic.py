"""Operators of ONNX on one value whose numbers may be known: shapes, constants, casts and rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node, Number, Tensor
from upsample_cli.tconv.graphs.values import (
    MOST_KNOWN,
    Inputs,
    Operator,
    Value,
    as_float32,
    checked,
    known_ints,
    optional,
    required,
    whole,
)

_FLOAT_TYPES, _BOOL = (1, 10, 11, 16), 9


def value_of(tensor: Tensor) -> Value:
    """A constant as a value."""
    return Value(checked(tensor.shape), tensor.numbers)


def _constant(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, Tensor):
            return [value_of(value)]
        if name in ("value_int", "value_float") and isinstance(value, int | float):
            return [Value((), (value,))]
        if name in ("value_ints", "value_floats") and isinstance(value, tuple):
            numbers = tuple(number for number in value if isinstance(number, int | float))
            if len(numbers) == len(value):
                return [Value((len(numbers),), numbers)]
    raise GeometryError("its value is of a kind that is not supported", "export the model again")


def _filled(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    shape = checked(known_ints(required(inputs, 0), "its shape"))
    fill = node.attributes.get("value")
    number: Number = 0.0
    if isinstance(fill, Tensor):
        if fill.numbers is None:
            return [Value(shape)]
        number = fill.numbers[0] if fill.numbers else 0
    return [Value(shape, (number,) * prod(shape) if prod(shape) <= MOST_KNOWN else None)]


def _shape(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    shape = required(inputs, 0).shape
    end = node.attributes.get("end")
    sizes = shape[slice(node.int("start", 0), end if isinstance(end, int) else None)]
    return [Value((len(sizes),), sizes)]


def _size(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    return [Value((), (prod(required(inputs, 0).shape),))]


def _cast(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    if given.numbers is None:
        return [Value(given.shape)]
    if node.operator == "CastLike":
        like = required(inputs, 1).numbers
        if not like:  # its type is not known
            return [Value(given.shape)]
        is_float = isinstance(like[0], float)
    else:
        is_float = node.int("to", 1) in _FLOAT_TYPES
        if node.int("to", 1) == _BOOL:
            return [Value(given.shape, tuple(int(number != 0) for number in given.numbers))]
    if is_float:
        return [Value(given.shape, tuple(as_float32(number) for number in given.numbers))]
    return [Value(given.shape, tuple(map(whole, given.numbers)))]


def _half_even(number: Number) -> Number:
    return float(round(number))


_FUNCTIONS: dict[str, Callable[[Number], Number]] = {
    "Identity": lambda number: number,
    "Floor": lambda number: float(math.floor(number)),
    "Ceil": lambda number: float(math.ceil(number)),
    "Round": _half_even,
    "Neg": lambda number: -number,
    "Abs": abs,
    "Sign": lambda number: (number > 0) - (number < 0),
}
_WITHOUT_NUMBERS = ("Sqrt", "Exp", "Log", "Reciprocal", "Clip")


def _unary(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    function = _FUNCTIONS.get(node.operator)
    if function is None or given.numbers is None or not all(map(math.isfinite, given.numbers)):
        return [Value(given.shape)]
    return [Value(given.shape, tuple(map(function, given.numbers)))]


def _range(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    ends = [required(inputs, place).numbers for place in range(3)]
    if any(numbers is None or len(numbers) != 1 for numbers in ends):
        raise GeometryError("its ends depend on the data, not on sizes alone", "export the model with a fixed size")
    start, limit, step = (numbers[0] for numbers in ends if numbers)
    if not all(map(math.isfinite, (start, limit, step))) or step == 0:
        raise GeometryError("its step is zero", "export the model again")
    count = max(0, math.ceil((limit - start) / step))
    shape = checked((count,))
    return [Value(shape, tuple(start + step * place for place in range(count)) if count <= MOST_KNOWN else None)]


def _random(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    return [Value(checked(node.ints("shape") or ()))]


def _one_hot(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, depth = required(inputs, 0), known_ints(required(inputs, 1), "its depth")
    axis = node.int("axis", -1) % (len(given.shape) + 1)
    return [Value(checked((*given.shape[:axis], depth[0], *given.shape[axis:])))]


def _expanded(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    from upsample_cli.tconv.graphs.operators.joining import broadcast_shape, broadcast_to

    given = required(inputs, 0)
    wanted = Value(checked(known_ints(required(inputs, 1), "its shape")))
    return [broadcast_to(given, broadcast_shape([given, wanted]))]


def _tiled(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, times = required(inputs, 0), optional(inputs, 1)
    repeats = known_ints(times, "its repeats") if times is not None else ()
    if len(repeats) != len(given.shape):
        raise GeometryError(f"it has {len(repeats)} repeats for {len(given.shape)} dimensions", "export it again")
    return [Value(checked(size * count for size, count in zip(given.shape, repeats, strict=True)))]


ARITHMETIC: dict[str, Operator] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Shape": _shape,
    "Size": _size,
    "Cast": _cast,
    "CastLike": _cast,
    "Range": _range,
    "RandomNormal": _random,
    "RandomUniform": _random,
    "OneHot": _one_hot,
    "Expand": _expanded,
    "Tile": _tiled,
    **dict.fromkeys((*_FUNCTIONS, *_WITHOUT_NUMBERS), _unary),
}
