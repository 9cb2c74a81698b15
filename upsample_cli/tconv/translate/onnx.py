"""ONNX: one node, whose pads may differ at both ends.

Source: the documentation of the operator ConvTranspose.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.parsing import expression
from upsample_cli.tconv.translate.reading import Restored, restored
from upsample_cli.tconv.translate.writing import Translation, below_stride, in_torch_order, settings


def to_onnx(layer: TransposedConvolution) -> Translation:
    """A call of `onnx.helper.make_node`."""
    axes, zeros = below_stride(layer)
    given = settings(axes)
    pads = given["padding"] + [max(axis.before, axis.after) for axis in axes]
    inputs = ["x", "w", "b"] if layer.bias else ["x", "w"]
    words = (
        f"kernel_shape={given['kernel_size']}, strides={given['stride']}, pads={pads}, "
        f"output_padding={given['output_padding']}, dilations={given['dilation']}, group={layer.groups}"
    )
    return in_torch_order([f'onnx.helper.make_node("ConvTranspose", {inputs}, ["y"], {words})'], axes, zeros)


def from_onnx(text: str) -> Restored:
    """A node as a call, `make_node("ConvTranspose", ...)` or `ConvTranspose(...)`, with its attributes by name."""
    inner = re.search(r"ConvTranspose[\"']?\s*[,(](.*)\)", text, re.DOTALL)
    words = re.findall(r"(\w+)\s*=\s*(\[[^\]]*\]|\"\w+\"|'\w+'|-?\d+)", inner[1] if inner else "")
    if not words:
        raise UsageError(
            "this is not a ConvTranspose of ONNX", "write ConvTranspose(kernel_shape=[3, 3], strides=[2, 2])"
        )
    try:
        given = {name: ast.literal_eval(expression(value)) for name, value in words}
    except (ValueError, SyntaxError):
        raise UsageError("a value is neither a number nor a word", "write for example strides=[2, 2]") from None
    kernel = given.get("kernel_shape")
    if not isinstance(kernel, list) or not 1 <= len(kernel) <= 3:
        raise UsageError(
            "kernel_shape is missing", "add kernel_shape=[3, 3]: it is not in every model, but in its weights"
        )
    axes = len(kernel)
    pads = given.get("pads", [0] * (2 * axes))
    if not isinstance(pads, list) or len(pads) != 2 * axes:
        raise UsageError(f"pads must have {2 * axes} numbers", "the beginnings of all axes, then the ends")
    found = {
        "kernel_size": kernel,
        "stride": given.get("strides", 1),
        "dilation": given.get("dilations", 1),
        "output_padding": given.get("output_padding", 0),
        "begin": pads[:axes],
        "end": pads[axes:],
    }
    auto_pad = given.get("auto_pad", "NOTSET")
    return restored(axes, found, lambda axis: _crop(axis, auto_pad), groups=given.get("group", 1))


def _crop(axis: dict[str, Any], auto_pad: str) -> tuple[int, int]:
    extra = axis.get("output_padding", 0)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        total = axis["dilation"] * (axis["kernel_size"] - 1) + 1 + extra - axis["stride"]
        before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        return before, total - before - extra
    begin, end = (0, 0) if auto_pad == "VALID" else (axis["begin"], axis["end"])
    return begin, end - extra
