"""Convolutions and pooling of ONNX, whose pads may differ between the two ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names, located
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.graphs.graph import Node, list_text
from upsample_cli.tconv.graphs.values import (
    Inputs,
    MismatchError,
    Operator,
    Value,
    checked,
    known_ints,
    optional,
    required,
)

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
WEIGHT_PLACES = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}
"""For each convolution, the place of the weight among its inputs."""
POOLS = ("MaxPool", "AveragePool", "LpPool")


def along_axes(node: Node, sizes: Sequence[int], kernel: Sequence[int] | None) -> tuple[LayerAxis, ...]:
    """A convolution or pooling along each axis, with the padding that the input sizes need.

    Args:
        node: the node.
        sizes: sizes of its input, without batch and channels.
        kernel: sizes of its weight without channels; None for pooling.

    Raises:
        GeometryError: if its settings are illegal.
    """
    axes = len(sizes)
    shape = node.ints("kernel_shape") or kernel
    if shape is None:
        raise GeometryError("kernel_shape is missing", "export the model again")
    if kernel is not None and tuple(shape) != tuple(kernel):
        raise GeometryError(f"kernel_shape is {list_text(shape)}, but the weight has {list(kernel)}", "export it again")
    columns = {
        "kernel_size": shape,
        "stride": node.ints("strides") or (1,) * axes,
        "dilation": node.ints("dilations") or (1,) * axes,
    }
    pads, mode = node.ints("pads") or (0,) * (2 * axes), node.text("auto_pad", "NOTSET")
    for name, numbers in {**columns, "pads": pads}.items():
        if len(numbers) != (2 * axes if name == "pads" else axes):
            raise GeometryError(f"{name} has {len(numbers)} numbers for {axes} axes", "export the model again")
    if mode not in AUTO_PADS:
        raise GeometryError(f"auto_pad '{mode[:40]}' is unknown", f"use one of {', '.join(AUTO_PADS)}")
    if min(min(numbers) for numbers in columns.values()) < 1:
        raise GeometryError("a kernel_shape, stride or dilation is below 1", "export the model again")
    settings = list(zip(*columns.values(), strict=True))
    if mode == "NOTSET" and node.operator != "ConvTranspose":
        ends = zip(settings, pads[:axes], pads[axes:], strict=True)
        return tuple(LayerAxis(size, stride, begin, end - begin, gap) for (size, stride, gap), begin, end in ends)
    plain = [LayerAxis(size, stride, dilation=gap) for size, stride, gap in settings]
    if node.operator == "ConvTranspose":
        return _transposed(node, sizes, plain, pads, mode)
    if mode == "VALID":
        return tuple(plain)
    return tuple(_same(axis, size, mode) for axis, size in zip(plain, sizes, strict=True))


def _same(axis: LayerAxis, size: int, mode: str) -> LayerAxis:
    """The padding with which the size is divided by the stride, rounded up."""
    total = max((-(-size // axis.stride) - 1) * axis.stride + axis.span - size, 0)
    begin = total // 2 if mode == "SAME_UPPER" else total - total // 2
    return replace(axis, padding=begin, output_padding=total - 2 * begin)


def _transposed(
    node: Node, sizes: Sequence[int], plain: Sequence[LayerAxis], pads: Sequence[int], mode: str
) -> tuple[LayerAxis, ...]:
    axes = len(plain)
    extra, wanted = node.ints("output_padding") or (0,) * axes, node.ints("output_shape")
    if len(extra) != axes or (wanted is not None and len(wanted) not in (axes, axes + 2)):
        raise GeometryError("output_padding or output_shape has a wrong number of sizes", "export the model again")
    found = []
    for place, axis in enumerate(plain):
        full = replace(axis, transposed=True)
        if wanted is None and mode in ("NOTSET", "VALID"):
            begin, end = (pads[place], pads[axes + place]) if mode == "NOTSET" else (0, 0)
        else:
            out = wanted[place - axes] if wanted is not None else sizes[place] * axis.stride
            total = full.output_size(sizes[place]) + extra[place] - out
            begin = total // 2 if mode == "SAME_UPPER" else total - total // 2
            end = total - begin
        found.append(replace(full, padding=begin, output_padding=begin - end + extra[place]))
    return tuple(found)


def _convolution(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, weight = required(inputs, 0), required(inputs, WEIGHT_PLACES[node.operator])
    if len(given.shape) < 3 or len(weight.shape) != len(given.shape):
        raise GeometryError(
            f"its input has {len(given.shape)} dimensions, its weight {len(weight.shape)}", "both need 3 to 5"
        )
    groups, transposed = node.int("group", 1), node.operator == "ConvTranspose"
    if groups < 1 or weight.shape[0] % groups:
        raise GeometryError(f"group {groups} does not divide {weight.shape[0]} channels", "export the model again")
    into = weight.shape[0] if transposed else weight.shape[1] * groups
    if given.shape[1] != into:
        raise GeometryError(
            f"it takes {into} channels, but {given.shape[1]} come in", "give the input the channels of the model"
        )
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    axes = along_axes(node, given.shape[2:], weight.shape[2:])
    return [Value((given.shape[0], channels, *_sizes_after(axes, given.shape[2:])))]


def _sizes_after(axes: Sequence[LayerAxis], sizes: Sequence[int]) -> tuple[int, ...]:
    after = []
    for name, size, axis in zip(axis_names(len(sizes)), sizes, axes, strict=True):
        with located(name if len(sizes) > 1 else ""):
            if not axis.transposed and size + axis.before + axis.after < axis.span:
                raise GeometryError(
                    f"the kernel spans {axis.span}, the padded input only {size + axis.before + axis.after}",
                    "use a larger input",
                )
            made = axis.output_size(size)
            if made < 1 or size < 1:
                raise GeometryError(f"nothing remains of {size}", "use a larger input")
            after.append(made)
    return checked(after)


def _pool(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    if len(given.shape) < 3:
        raise GeometryError(f"its input has {len(given.shape)} dimensions", "it needs 3 to 5")
    axes = pool_axes(node, given.shape[2:])
    after = (*given.shape[:2], *_sizes_after(axes, given.shape[2:]))
    return [Value(after)] * max(1, len(node.outputs))


def pool_axes(node: Node, sizes: Sequence[int]) -> tuple[LayerAxis, ...]:
    """Pooling along each axis. With ceil_mode, padding completes a last window unless it starts after the input."""
    axes = along_axes(node, sizes, None)
    if not node.int("ceil_mode", 0) or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return axes
    completed = []
    for axis, size in zip(axes, sizes, strict=True):
        rest = -(size + axis.before + axis.after - axis.span) % axis.stride
        starts = axis.output_size(size + rest) * axis.stride - axis.stride
        is_inside = starts < size + axis.before
        completed.append(replace(axis, output_padding=axis.output_padding + rest) if rest and is_inside else axis)
    return tuple(completed)


def _global_pool(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = required(inputs, 0)
    return [Value((*given.shape[:2], *(1 for _ in given.shape[2:])))]


def _max_unpool(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given, indices = required(inputs, 0), required(inputs, 1)
    if given.shape != indices.shape:
        place = next((n for n, pair in enumerate(zip(given.shape, indices.shape, strict=False)) if len({*pair}) > 1), 0)
        raise MismatchError(place, (0, 1), (given.shape[place], indices.shape[place]))
    wanted = optional(inputs, 2)
    if wanted is not None and wanted.numbers is not None:
        return [Value(checked(known_ints(wanted, "its shape")))]
    axes = along_axes(node, given.shape[2:], None)
    back = [replace(axis, transposed=True, output_padding=-axis.output_padding) for axis in axes]
    return [Value((*given.shape[:2], *_sizes_after(back, given.shape[2:])))]


SLIDING: dict[str, Operator] = {
    **dict.fromkeys(WEIGHT_PLACES, _convolution),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    "MaxUnpool": _max_unpool,
}
