"""Paddle and MXNet Gluon: PyTorch's formula with other names.

Sources: the documentation of Conv2DTranspose in Paddle and in MXNet Gluon.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, get_args

from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.sizes import PaddingMode
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.arguments import Arguments, Parameters, activation, arguments, given_nodes, one_of
from upsample_cli.tconv.translate.ordinary import MXNET, NAMES, PADDLE, restored_convolution
from upsample_cli.tconv.translate.reading import TRANSPOSED_NAMES, called, left_out_notes, single_layer
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import (
    Translation,
    below_stride,
    channels_text,
    in_torch_order,
    options,
    settings,
    written,
)

_LAYOUTS = {1: ("NCL", "NLC", "NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}
"""The allowed data formats by number of axes. They do not change the layer."""
_MXNET = Parameters(
    (
        "channels", "kernel_size", "strides", "padding", "output_padding", "dilation", "groups", "layout", "activation",
        "use_bias", "weight_initializer", "bias_initializer", "in_channels",
    ),
    ("prefix", "params"),
    ("weight_initializer", "bias_initializer", "prefix", "params"),
)  # fmt: skip


def _paddle(axes: int) -> Parameters:
    order = "groups dilation" if axes == 1 else "dilation groups"  # the order differs for one axis
    return Parameters(
        f"in_channels out_channels kernel_size stride padding output_padding {order} "
        "weight_attr bias_attr data_format".split(),
        left_out=["weight_attr"],
    )


def to_paddle(layer: TransposedConvolution) -> Translation:
    """Write a layer of `paddle.nn`."""
    axes, zeros = below_stride(layer)
    given = settings(axes)
    words = _shared_words("stride", given, layer.groups) + options(bias_attr=(None if layer.bias else False, None))
    channels = ", ".join(channels_text(layer))
    text = f"paddle.nn.Conv{layer.axes}DTranspose({channels}, {written(given['kernel_size'])}{words})"
    return _torch_like(text, axes, zeros)


def to_mxnet(layer: TransposedConvolution) -> Translation:
    """Write a layer of `mx.gluon.nn`."""
    axes, zeros = below_stride(layer)
    given = settings(axes)
    words = _shared_words("strides", given, layer.groups) + options(use_bias=(layer.bias, True))
    known = "" if layer.in_channels is None else f", in_channels={layer.in_channels}"
    words = f"{channels_text(layer)[1]}, {written(given['kernel_size'])}{words}{known}"
    text = f"mx.gluon.nn.Conv{layer.axes}DTranspose({words})"
    return _torch_like(text, axes, zeros)


def _torch_like(text: str, axes: tuple[LayerAxis, ...], zeros: tuple[int, ...]) -> Translation:
    """The translation. If appended zeros make the result longer, it is cropped."""
    return in_torch_order([text], axes, zeros, [max(0, axis.after - axis.before) for axis in axes])


def _shared_words(stride: str, given: dict[str, list[int]], groups: int) -> str:
    """The text of the settings that have PyTorch's names in both frameworks, and of the stride, which has not."""
    return options(
        **{stride: (given["stride"], 1)},
        padding=(given["padding"], 0),
        output_padding=(given["output_padding"], 0),
        dilation=(given["dilation"], 1),
        groups=(groups, 1),
    )


def from_paddle(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of `paddle.nn`."""
    call, axes = single_layer(text, TRANSPOSED_NAMES | NAMES)
    known = PADDLE if called(call) in NAMES else _paddle(axes)
    nodes = given_nodes(call, known)
    bias = nodes.pop("bias_attr", None)  # a word, or an initializer of the bias
    given = arguments(ast.Call(call.func, [], [ast.keyword(name, node) for name, node in nodes.items()]), known)
    one_of("data_format", given.get("data_format", _LAYOUTS[axes][0]), _LAYOUTS[axes])
    left_out = [*given.left_out, *(["bias_attr"] if bias is not None and not isinstance(bias, ast.Constant) else [])]
    has_bias = not (isinstance(bias, ast.Constant) and bias.value is False)
    read = _ordinary if called(call) in NAMES else _restored
    return read(axes, given, "stride", "out_channels", bias=has_bias, left_out=left_out)


def from_mxnet(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of `mx.gluon.nn`."""
    call, axes = single_layer(text, TRANSPOSED_NAMES | NAMES)
    given = arguments(call, MXNET if called(call) in NAMES else _MXNET)
    one_of("layout", given.get("layout", _LAYOUTS[axes][0]), _LAYOUTS[axes])
    one_of("use_bias", given.get("use_bias", True), (True, False))
    read = _ordinary if called(call) in NAMES else _restored
    return read(axes, given, "strides", "channels", bias=given.get("use_bias", True), left_out=given.left_out)


def _settings(axes: int, given: Arguments, stride: str) -> dict[str, Any]:
    padding = given.get("padding", 0)
    # Two numbers for each axis are its start and its end.
    is_of_ends = isinstance(padding, list | tuple) and len(padding) == 2 * axes
    begin, end = (padding[::2], padding[1::2]) if is_of_ends else (padding, padding)
    return {
        "kernel_size": given.get("kernel_size"),
        "stride": given.get(stride, 1),
        "dilation": given.get("dilation", 1),
        "padding": begin,
        "padding_after": end,
    }


def _channels(given: Arguments, out_channels: str) -> dict[str, Any]:
    return {
        "in_channels": given.get("in_channels") or None,
        "out_channels": given.get(out_channels),
        "groups": given.get("groups", 1),
    }


def _restored(
    axes: int, given: Arguments, stride: str, out_channels: str, *, bias: bool, left_out: Sequence[str]
) -> Restored:
    return restored(
        axes,
        _settings(axes, given, stride) | {"output_padding": given.get("output_padding", 0)},
        lambda axis: (axis["padding"], axis["padding_after"] - axis.get("output_padding", 0)),
        bias=bias,
        activation=activation(given.get("activation")),
        notes=left_out_notes(left_out),
        **_channels(given, out_channels),
    )


def _ordinary(
    axes: int, given: Arguments, stride: str, out_channels: str, *, bias: bool, left_out: Sequence[str]
) -> Restored:
    padding_mode = given.get("padding_mode", "zeros")
    one_of("padding_mode", padding_mode, get_args(PaddingMode))
    return restored_convolution(
        axes,
        _settings(axes, given, stride),
        bias=bias,
        activation=activation(given.get("activation")),
        padding_mode=padding_mode,
        notes=left_out_notes(left_out),
        **_channels(given, out_channels),
    )
