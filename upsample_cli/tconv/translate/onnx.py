"""ONNX: one node, whose pads may differ between the two ends.

Source: ONNX' documentation of the operator ConvTranspose.
"""

from __future__ import annotations

import ast
from typing import Any

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.parsing import statements
from upsample_cli.tconv.translate.arguments import Arguments, Parameters, arguments, given_nodes, one_of, value_of
from upsample_cli.tconv.translate.reading import called, left_out_notes, needed_sizes
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import Translation, below_stride, in_torch_order, settings

_ATTRIBUTES = ["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"]
_NAMES = ["name", "doc_string", "domain", "overload"]
_NODE = Parameters(["op_type", "inputs", "outputs", *_NAMES], _ATTRIBUTES, _NAMES)
_INPUTS = ["X", "W", "B"]
_CALL = Parameters(_INPUTS, [*_ATTRIBUTES, *_NAMES], _NAMES)
_AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
_EXAMPLE = "write ConvTranspose(kernel_shape=[3, 3], strides=[2, 2])"


def to_onnx(layer: TransposedConvolution) -> Translation:
    """Write a call of `onnx.helper.make_node`."""
    axes, zeros = below_stride(layer)
    given = settings(axes)
    pads = given["padding"] + [max(axis.before, axis.after) for axis in axes]
    inputs = ["x", "w", "b"] if layer.bias else ["x", "w"]
    words = (
        f"kernel_shape={given['kernel_size']}, strides={given['stride']}, pads={pads}, "
        f"output_padding={given['output_padding']}, dilations={given['dilation']}, group={layer.groups}"
    )
    return in_torch_order([f'onnx.helper.make_node("ConvTranspose", {inputs}, ["y"], {words})'], axes, zeros)


def from_onnx(text: str, sizes: Sizes = None) -> Restored:
    """Read a node as a call, `make_node("ConvTranspose", ...)` or `ConvTranspose(...)`, with attributes by name."""
    given, bias = _node(text)
    kernel = given.get("kernel_shape")
    if not isinstance(kernel, list | tuple) or not 1 <= len(kernel) <= 3:
        raise UsageError(
            "kernel_shape is missing", "add kernel_shape=[3, 3]: it is not in every model, but in its weights"
        )
    axes = len(kernel)
    auto_pad, pads, notes = given.get("auto_pad", "NOTSET"), given.get("pads"), left_out_notes(given.left_out)
    one_of("auto_pad", auto_pad, _AUTO_PADS)
    if pads is not None and (not isinstance(pads, list | tuple) or len(pads) != 2 * axes):
        raise UsageError(f"pads must have {2 * axes} numbers", "the beginnings of all axes, then the ends")
    output_shape = _output_shape(given, axes)
    if pads is not None and auto_pad != "NOTSET":
        raise UsageError(f"auto_pad {auto_pad} and pads cannot be combined", "leave one out, as ONNX demands")
    if pads is not None and output_shape is not None:
        notes.append("pads are left out, because ONNX ignores them if there is an output_shape")
    if bias is None:
        notes.append("the inputs of the node are not given: with bias=False, if they are two")
    found = {
        "kernel_size": kernel,
        "stride": given.get("strides", 1),
        "dilation": given.get("dilations", 1),
        "output_padding": given.get("output_padding", 0),
        "begin": [0] * axes if pads is None else pads[:axes],
        "end": [0] * axes if pads is None else pads[axes:],
    }
    if output_shape is not None:
        sizes = needed_sizes(sizes, axes, "output_shape")
        found |= {"size": sizes, "output": output_shape}
    return restored(
        axes,
        found,
        lambda axis: _crop(axis, auto_pad),
        bias=bias is not False,
        notes=notes,
        sizes=None if output_shape is None else sizes,
        groups=given.get("group", 1),
    )


def _node(text: str) -> tuple[Arguments, bool | None]:
    """The attributes of a node, and whether it has a bias; None if its inputs are not given."""
    try:
        ((_, node),) = statements(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = None
    name = called(node) if isinstance(node, ast.Call) else ""
    if not isinstance(node, ast.Call) or name not in ("ConvTranspose", "make_node"):
        raise UsageError("this is not a ConvTranspose of ONNX", _EXAMPLE)
    if name == "ConvTranspose":
        nodes = given_nodes(node, _CALL)
        inputs = [_is_given(nodes[one]) for one in _INPUTS if one in nodes]
        node.args, node.keywords = [], [word for word in node.keywords if word.arg not in _INPUTS]
        given = arguments(node, _CALL)
    else:
        given = arguments(node, _NODE)
        if given.get("op_type") != "ConvTranspose":
            raise UsageError(f"this is not a ConvTranspose of ONNX, but {str(given.get('op_type'))[:80]!r}", _EXAMPLE)
        listed = given.get("inputs", [])
        inputs = [bool(one) for one in listed] if isinstance(listed, list | tuple) else []
    if inputs and not (len(inputs) in (2, 3) and inputs[0] and inputs[1]):
        raise UsageError(f"the node has {len(inputs)} inputs", "give x and w, and b if there is a bias")
    return given, inputs[2:] == [True] if inputs else None


def _is_given(node: ast.expr) -> bool:
    """Whether an input is given. An input that is left out is None or an empty name."""
    return isinstance(node, ast.Call) or bool(value_of("an input", node))


def _output_shape(given: Arguments, axes: int) -> list[int] | None:
    """The sizes of the result, without batch and channels, which some programs also write."""
    shape = given.get("output_shape")
    if shape is None:
        return None
    if not isinstance(shape, list | tuple) or len(shape) not in (axes, axes + 2):
        raise UsageError(f"output_shape must have {axes} numbers", "one per axis")
    return list(shape[-axes:])


def _crop(axis: dict[str, Any], auto_pad: str) -> tuple[int, int]:
    """The crop (before, after). If the total is odd, `before` is smaller for SAME_UPPER."""
    extra, span = axis.get("output_padding", 0), axis["dilation"] * (axis["kernel_size"] - 1) + 1
    if "output" in axis:
        total = (axis["size"] - 1) * axis["stride"] + span - axis["output"]
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        total = span - axis["stride"]
    else:
        begin, end = (axis["begin"], axis["end"])
        return begin, end - extra
    padded = total + extra
    if padded < 0:
        raise GeometryError(
            f"the result would be longer than its taps reach, by {-padded}: ONNX Runtime adds that at the end, ONNX's "
            "reference at both",
            "give pads and output_padding instead",
        )
    before = padded // 2 if auto_pad == "SAME_UPPER" else padded - padded // 2
    return before, total - before
