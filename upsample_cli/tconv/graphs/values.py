"""Values that flow through a graph: their shapes, and the numbers of small ones, from which sizes are computed."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TypeAlias, TypeVar

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.geometry.sizes import MAX_SIZE
from upsample_cli.tconv.graphs.graph import Node, Number
from upsample_cli.tconv.graphs.onnx_tensors import MOST_DIMENSIONS

_Number = TypeVar("_Number", int, float)
MOST_KNOWN = 4096
"""The most numbers of a value that are computed."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a graph.

    Args:
        shape: its sizes, batch and channels included.
        numbers: its numbers in C order, if they follow from shapes and constants and are few.
    """

    shape: tuple[int, ...]
    numbers: tuple[Number, ...] | None = None


Inputs: TypeAlias = Sequence[Value | None]
"""The values that come into a node; None for one that is left out."""
Operator: TypeAlias = Callable[[Node, Inputs, int], Sequence[Value]]
"""A function of a node, its inputs and the version of the operators, that returns the node's outputs."""


class MismatchError(GeometryError):
    """Sizes that do not meet at a node that joins values.

    Args:
        dimension: the dimension in which they differ, counted from the batch, from the end if negative.
        places: numbers of the two inputs that differ.
        sizes: their sizes in this dimension.
    """

    def __init__(self, dimension: int, places: tuple[int, int], sizes: tuple[int, int]) -> None:
        super().__init__(f"sizes differ: {sizes[0]} and {sizes[1]}", "make them equal")
        self.dimension, self.places, self.sizes = dimension, places, sizes


def required(inputs: Inputs, place: int) -> Value:
    """An input of a node that must be there."""
    value = inputs[place] if place < len(inputs) else None
    if value is None:
        raise GeometryError(f"its input {place + 1} is missing", "export the model again")
    return value


def optional(inputs: Inputs, place: int) -> Value | None:
    """An input of a node that may be left out."""
    return inputs[place] if place < len(inputs) else None


def known_ints(value: Value, what: str, most: int = 2 * MOST_DIMENSIONS) -> tuple[int, ...]:
    """The numbers of a value as whole numbers, of which there are at most two for each dimension, or `most`."""
    if value.numbers is None:
        raise GeometryError(f"{what} depends on the data, not on sizes alone", "export the model with a fixed size")
    return tuple(map(whole, _few(value.numbers, what, most)))


def whole(number: Number) -> int:
    """A number without its fraction."""
    if not math.isfinite(number):
        raise GeometryError("a number from which sizes are computed is not finite", "export the model again")
    return int(number)


def setting(
    node: Node, inputs: Inputs, name: str, place: int, most: int = 2 * MOST_DIMENSIONS
) -> tuple[int, ...] | None:
    """A list of whole numbers that is an attribute in old versions and an input in new ones; None if left out."""
    value = optional(inputs, place)
    if value is not None:
        return known_ints(value, name, most)
    numbers = node.ints(name)
    return None if numbers is None else _few(numbers, name, most)


def _few(numbers: tuple[_Number, ...], what: str, most: int) -> tuple[_Number, ...]:
    if len(numbers) > most:
        raise GeometryError(f"{what} has {len(numbers)} numbers", "export the model again")
    return numbers


def place_of(axis: int, rank: int) -> int:
    """An axis counted from the start."""
    if not -rank <= axis < rank:
        raise GeometryError(f"there is no axis {axis} of {rank}", "export the model again")
    return axis % rank


def checked(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape that a tensor can have."""
    sizes = tuple(shape)
    for size in sizes:
        if size < 0:
            raise GeometryError(f"a size of {size} is too small", "use a larger input")
    if prod(size for size in sizes if size) > MAX_SIZE:
        raise GeometryError("the output is too large", "no tensor has more than 2^63 - 1 numbers")
    return sizes


def rearranged(value: Value, shape: tuple[int, ...], source: Callable[[tuple[int, ...]], Sequence[int]]) -> Value:
    """A value whose numbers come from places of another.

    Args:
        value: the value that the numbers are taken from.
        shape: shape of the result.
        source: for each place of the result, its place in `value`.
    """
    shape = checked(shape)
    if value.numbers is None or prod(shape) > MOST_KNOWN:
        return Value(shape)
    steps = strides(value.shape)
    places = product(*map(range, shape))
    numbers = (
        value.numbers[sum(step * one for step, one in zip(steps, source(place), strict=True))] for place in places
    )
    return Value(shape, tuple(numbers))


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """How many numbers apart neighbours along each dimension are, in C order."""
    return tuple(prod(shape[place + 1 :]) for place in range(len(shape)))


def as_float32(number: float) -> float:
    """A number as float32 holds it.

    >>> as_float32(0.1)
    0.10000000149011612
    """
    try:
        result: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return result


def dimension_name(place: int, rank: int) -> str:
    """The name of a dimension of a tensor.

    >>> dimension_name(1, 4), dimension_name(3, 4), dimension_name(0, 2)
    ('channels', 'width', 'batch')
    """
    if rank < 3:
        return ("batch", "features")[place] if rank == 2 else "length"
    return ("batch", "channels", *axis_names(rank - 2))[place]
