"""Operators of ONNX that crop, pad, split and pick."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node, list_text
from upsample_cli.tconv.graphs.values import (
    MOST_KNOWN,
    Inputs,
    Operator,
    Value,
    checked,
    known_ints,
    optional,
    place_of,
    rearranged,
    required,
    setting,
    strides,
)


def _sliced(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    starts, ends = setting(node, inputs, "starts", 1), setting(node, inputs, "ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        raise GeometryError("its starts and ends do not fit together", "export the model again")
    axes = setting(node, inputs, "axes", 3) or tuple(range(len(starts)))
    steps = setting(node, inputs, "steps", 4) or (1,) * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        raise GeometryError("its axes or steps do not fit its starts", "export the model again")
    kept = [range(size) for size in given.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = place_of(axis, len(kept))
        kept[place] = _along(given.shape[place], start, end, step)
    shape = tuple(map(len, kept))
    return [rearranged(given, shape, lambda place: [along[one] for along, one in zip(kept, place, strict=True)])]


def _along(size: int, start: int, end: int, step: int) -> range:
    """The places that a slice keeps. Unlike in Python, backwards a start before the first place is the first place."""
    before, last = (0, size) if step > 0 else (-1, size - 1)
    start, end = (place + size if place < 0 else place for place in (start, end))
    return range(min(max(start, 0), last), min(max(end, before), last), step)


def pads_of(node: Node, inputs: Inputs, opset: int) -> list[tuple[int, int]]:
    """How much a Pad adds before and after each dimension of its input."""
    rank = len(required(inputs, 0).shape)
    pads = node.ints("pads" if opset >= 2 else "paddings") if opset < 11 else setting(node, inputs, "pads", 1)
    axes = setting(node, inputs, "axes", 3) or tuple(range(rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise GeometryError("its pads do not fit its axes", "export the model again")
    found = [(0, 0)] * rank
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        found[place_of(axis, rank)] = (begin, end)
    return found


def _padded(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:
    shape, pads = required(inputs, 0).shape, pads_of(node, inputs, opset)
    for size, ends in zip(shape, pads, strict=True):
        if max(ends) >= size and node.text("mode", "constant") == "reflect" and any(ends):
            cause = f"it reflects {max(ends)} of {size}, which has {size - 1} to reflect"
            raise GeometryError(cause, "use a larger input")
    return [Value(checked(size + sum(ends) for size, ends in zip(shape, pads, strict=True)))]


def _split(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    axis, count = place_of(node.int("axis", 0), len(given.shape)), len(node.outputs)
    size = given.shape[axis]
    sizes = setting(node, inputs, "split", 1, MOST_KNOWN)
    if sizes is None:
        parts = node.int("num_outputs", 0)
        count = parts or count
        if not 1 <= count <= MOST_KNOWN:
            raise GeometryError(f"it has {count} outputs", "export the model again")
        if not parts and size % count:
            raise GeometryError(f"{size} is not divisible by {count}", "use the size for which it was exported")
        one = -(-size // count)
        sizes = (*(one,) * (count - 1), size - one * (count - 1))
    if sum(sizes) != size or min(sizes) < 0:
        raise GeometryError(f"{size} is not the sum of {list_text(sizes)}", "use the size for which it was exported")
    results, start = [], 0
    for length in sizes[: len(node.outputs)]:
        shape = (*given.shape[:axis], length, *given.shape[axis + 1 :])
        results.append(_part(given, shape, axis, start))
        start += length
    return results


def _part(given: Value, shape: tuple[int, ...], axis: int, start: int) -> Value:
    return rearranged(
        given, shape, lambda place: [one + start if number == axis else one for number, one in enumerate(place)]
    )


def _gathered(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, indices = required(inputs, 0), required(inputs, 1)
    axis = place_of(node.int("axis", 0), len(given.shape))
    shape = (*given.shape[:axis], *indices.shape, *given.shape[axis + 1 :])
    size, end, steps = given.shape[axis], axis + len(indices.shape), strides(indices.shape)
    if any(not -size <= number < size for number in indices.numbers or ()):
        raise GeometryError(f"an index is outside of {size}", "use the number of dimensions of the model")
    if given.numbers is None or indices.numbers is None or prod(shape) > MOST_KNOWN:
        return [Value(checked(shape))]
    numbers = [int(number) % size for number in indices.numbers]

    def source(place: tuple[int, ...]) -> list[int]:
        index = numbers[sum(step * one for step, one in zip(steps, place[axis:end], strict=True))]
        return [*place[:axis], index, *place[end:]]

    return [rearranged(given, shape, source)]


def _gathered_elements(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    return [Value(required(inputs, 1).shape)]


def _top(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, count = required(inputs, 0), optional(inputs, 1)
    axis = place_of(node.int("axis", -1), len(given.shape))
    kept = node.int("k", 0) if count is None else known_ints(count, "k")[0]
    if kept > given.shape[axis]:
        raise GeometryError(f"it keeps {kept} of {given.shape[axis]}", "use a larger input")
    return [Value(checked((*given.shape[:axis], kept, *given.shape[axis + 1 :])))] * 2


def _cropped(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, wanted = required(inputs, 0), known_ints(required(inputs, 1), "its shape")
    axes = node.ints("axes") or tuple(range(len(given.shape)))
    shape = list(given.shape)
    if len(axes) != len(wanted):
        raise GeometryError("its shape does not fit its axes", "export the model again")
    for axis, size in zip(axes, wanted, strict=True):
        shape[place_of(axis, len(shape))] = size
    return [Value(checked(shape))]


SELECTING: dict[str, Operator] = {
    "Slice": _sliced,
    "Pad": _padded,
    "Split": _split,
    "Gather": _gathered,
    "GatherElements": _gathered_elements,
    "TopK": _top,
    "CenterCropPad": _cropped,
}
