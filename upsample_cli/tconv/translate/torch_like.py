"""Paddle and MXNet Gluon: PyTorch's formula under other names.

Sources: the documentation of Paddle (Conv2DTranspose) and of MXNet Gluon (Conv2DTranspose).
"""

from __future__ import annotations

from typing import Any

from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.reading import Restored, parsed_call, restored
from upsample_cli.tconv.translate.writing import Translation, below_stride, in_torch_order, options, settings, written

_PADDLE = "in_channels out_channels kernel_size stride padding output_padding dilation groups weight_attr bias_attr"
_MXNET = "channels kernel_size strides padding output_padding dilation groups layout activation use_bias"


def to_paddle(layer: TransposedConvolution) -> Translation:
    """A layer of `paddle.nn`."""
    given = settings(layer.each_axis)
    words = _shared_words("stride", given, layer.groups) + options(bias_attr=(None if layer.bias else False, None))
    channels = f"{layer.in_channels}, {layer.out_channels}"
    text = f"paddle.nn.Conv{layer.axes}DTranspose({channels}, {written(given['kernel_size'])}{words})"
    return in_torch_order([text], layer.each_axis, (0,) * layer.axes)


def to_mxnet(layer: TransposedConvolution) -> Translation:
    """A layer of `mx.gluon.nn`."""
    axes, zeros = below_stride(layer)
    given = settings(axes)
    words = _shared_words("strides", given, layer.groups) + options(use_bias=(layer.bias, True))
    words = f"{layer.out_channels}, {written(given['kernel_size'])}{words}, in_channels={layer.in_channels}"
    text = f"mx.gluon.nn.Conv{layer.axes}DTranspose({words})"
    return in_torch_order([text], axes, zeros, [max(0, axis.after - axis.before) for axis in axes])


def _shared_words(stride: str, given: dict[str, list[int]], groups: int) -> str:
    """The settings that both call as PyTorch does, and the stride, after its name."""
    return options(
        **{stride: (given["stride"], 1)},
        padding=(given["padding"], 0),
        output_padding=(given["output_padding"], 0),
        dilation=(given["dilation"], 1),
        groups=(groups, 1),
    )


def from_paddle(text: str) -> Restored:
    """A layer of `paddle.nn`."""
    axes, given = parsed_call(text, _PADDLE)
    return _restored(axes, given, given.get("stride", 1), given.get("out_channels"), given.get("bias_attr"))


def from_mxnet(text: str) -> Restored:
    """A layer of `mx.gluon.nn`."""
    axes, given = parsed_call(text, _MXNET)
    return _restored(axes, given, given.get("strides", 1), given.get("channels"), given.get("use_bias"))


def _restored(axes: int, given: dict[str, Any], stride: Any, out_channels: Any, bias: Any) -> Restored:
    return restored(
        axes,
        {
            "kernel_size": given.get("kernel_size"),
            "stride": stride,
            "dilation": given.get("dilation", 1),
            "padding": given.get("padding", 0),
            "output_padding": given.get("output_padding", 0),
        },
        lambda axis: (axis["padding"], axis["padding"] - axis.get("output_padding", 0)),
        in_channels=given.get("in_channels") or None,
        out_channels=out_channels,
        groups=given.get("groups", 1),
        bias=bias is not False,
    )
