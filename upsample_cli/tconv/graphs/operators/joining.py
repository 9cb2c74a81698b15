"""Operators of ONNX that join values: concatenation and arithmetic with broadcasting."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node, Number
from upsample_cli.tconv.graphs.values import (
    MOST_KNOWN,
    Inputs,
    MismatchError,
    Operator,
    Value,
    as_float32,
    checked,
    place_of,
    rearranged,
    required,
)


def _concatenated(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    values = [required(inputs, place) for place in range(len(inputs))]
    if not values:
        raise GeometryError("it has no inputs", "export the model again")
    first = values[0]
    axis = place_of(node.int("axis", 1), len(first.shape))
    for number, value in enumerate(values[1:], start=1):
        if len(value.shape) != len(first.shape):
            raise GeometryError(
                f"its inputs have {len(first.shape)} and {len(value.shape)} dimensions", "give them equally many"
            )
        for place, (one, other) in enumerate(zip(first.shape, value.shape, strict=True)):
            if place != axis and one != other:
                raise MismatchError(place, (0, number), (one, other))
    shape = list(first.shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    checked(shape)
    if prod(shape) > MOST_KNOWN or any(value.numbers is None for value in values):
        return [Value(tuple(shape))]
    numbers: list[Number] = []
    for outer in range(prod(shape[:axis])):
        for value in values:
            size = prod(value.shape[axis:])
            numbers += (value.numbers or ())[outer * size : (outer + 1) * size]
    return [Value(tuple(shape), tuple(numbers))]


def broadcast_shape(values: Sequence[Value]) -> tuple[int, ...]:
    """The common shape of values, in which a size of 1 stands for any size.

    Raises:
        MismatchError: if there is none.

    >>> broadcast_shape([Value((8, 1, 7)), Value((5, 1))])
    (8, 5, 7)
    """
    rank = max(len(value.shape) for value in values)
    shape, givers = [1] * rank, [0] * rank
    for number, value in enumerate(values):
        for place, size in enumerate(value.shape, start=rank - len(value.shape)):
            if size != 1 and shape[place] not in (1, size):
                raise MismatchError(place - rank, (givers[place], number), (shape[place], size))
            if size != 1:
                shape[place], givers[place] = size, number
    return tuple(shape)


def broadcast_to(value: Value, shape: tuple[int, ...]) -> Value:
    """A value with a larger shape, its numbers repeated along sizes of 1."""
    if value.shape == shape:
        return value
    missing = len(shape) - len(value.shape)
    return rearranged(
        value,
        shape,
        lambda place: [one if size > 1 else 0 for one, size in zip(place[missing:], value.shape, strict=True)],
    )


def _quotient(one: Number, other: Number) -> Number:
    if isinstance(one, float) or isinstance(other, float):
        return one / other if other else one * math.copysign(math.inf, other)
    if other == 0:
        raise GeometryError("it divides by zero", "use a larger input")
    return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)  # ONNX rounds towards zero


def _power(one: Number, other: Number) -> Number:
    if abs(one) > 2**63 or abs(other) > 64:
        raise GeometryError("a power is too large", "export the model again")
    return one**other if one or other >= 0 else 0


def _remainder(one: Number, other: Number) -> Number:
    if other == 0:
        raise GeometryError("it divides by zero", "use a larger input")
    return one % other


def _signed_remainder(one: Number, other: Number) -> Number:
    """The remainder of a Mod with fmod=1, which has the sign of the first number."""
    rest = _remainder(abs(one), abs(other))
    return -rest if one < 0 else rest


_FUNCTIONS: dict[str, Callable[[Any, Any], Number]] = {
    "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": _quotient, "Mod": _remainder, "Pow": _power,
    "Sum": operator.add, "Max": max, "Min": min, "Equal": operator.eq, "Greater": operator.gt, "Less": operator.lt,
    "GreaterOrEqual": operator.ge, "LessOrEqual": operator.le,
    "And": lambda one, other: one and other, "Or": lambda one, other: one or other, "Xor": operator.ne,
}  # fmt: skip
_WITHOUT_NUMBERS = ("Mean", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
_LARGEST_NUMBER = 2**64


def _arithmetic(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:
    values = [required(inputs, place) for place in range(max(1, len(inputs)))]
    if opset < 7 and len(values) == 2:
        values[1] = _old_broadcast(node, *values)
    shape = checked(broadcast_shape(values))
    function = _signed_remainder if node.int("fmod", 0) else _FUNCTIONS.get(node.operator)
    if function is None or prod(shape) > MOST_KNOWN or any(value.numbers is None for value in values):
        return [Value(shape)]
    columns = [broadcast_to(value, shape).numbers or () for value in values]
    return [Value(shape, tuple(_joined(function, row) for row in zip(*columns, strict=True)))]


def _joined(function: Callable[[Any, Any], Number], row: Sequence[Number]) -> Number:
    """One number of several. Each result is limited, so that many factors stay short."""
    first, *rest = row
    for other in rest[:-1]:
        first = _plain(function(first, other))
    return _plain(function(first, rest[-1]) if rest else first)


def _plain(number: Any) -> Number:
    if isinstance(number, float):
        return as_float32(number)
    if isinstance(number, bool):
        return int(number)
    if not isinstance(number, int) or abs(number) > _LARGEST_NUMBER:
        raise GeometryError("a number from which sizes are computed is too large", "export the model again")
    return number


def _old_broadcast(node: Node, first: Value, second: Value) -> Value:
    """Before version 7, an attribute gives the first dimension of the second input."""
    axis = node.int("axis", len(first.shape) - len(second.shape))
    after = len(first.shape) - len(second.shape) - axis
    if not node.int("broadcast", 0) or after <= 0:
        return second
    if axis < 0:
        raise GeometryError(f"there is no axis {axis}", "export the model again")
    return Value((*second.shape, *(1,) * after), second.numbers)


def _chosen(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    values = [required(inputs, place) for place in range(3)]
    shape = checked(broadcast_shape(values))
    if prod(shape) > MOST_KNOWN or any(value.numbers is None for value in values):
        return [Value(shape)]
    condition, one, other = (broadcast_to(value, shape).numbers or () for value in values)
    return [Value(shape, tuple(a if c else b for c, a, b in zip(condition, one, other, strict=True)))]


def _product(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    one, other = required(inputs, 0).shape, required(inputs, 1).shape
    if not one or not other:
        raise GeometryError("a number is not a matrix", "export the model again")
    rows, columns = len(one) == 1, len(other) == 1
    left, right = (1, *one) if rows else one, (*other, 1) if columns else other
    if left[-1] != right[-2]:
        raise MismatchError(-1, (0, 1), (left[-1], right[-2]))
    before = broadcast_shape([Value((*left[:-2], 1, 1)), Value((*right[:-2], 1, 1))])[:-2]
    return [Value(checked((*before, *(() if rows else left[-2:-1]), *(() if columns else right[-1:]))))]


def _gemm(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    one, other = required(inputs, 0).shape, required(inputs, 1).shape
    if len(one) != 2 or len(other) != 2:
        raise GeometryError("its inputs are not matrices", "export the model again")
    one = one[::-1] if node.int("transA", 0) else one
    other = other[::-1] if node.int("transB", 0) else other
    if one[1] != other[0]:
        raise GeometryError(f"it takes {other[0]} features, but {one[1]} come in", "give the size it was trained for")
    return [Value(checked((one[0], other[1])))]


JOINING: dict[str, Operator] = {
    "Concat": _concatenated,
    "Where": _chosen,
    "MatMul": _product,
    "MatMulInteger": _product,
    "Gemm": _gemm,
    **dict.fromkeys((*_FUNCTIONS, *_WITHOUT_NUMBERS), _arithmetic),
}
JOINS = ("Concat", "MaxUnpool", *_FUNCTIONS, *_WITHOUT_NUMBERS)
"""The operators at which sizes of several branches meet."""
