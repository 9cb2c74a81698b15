"""Ordinary convolutions of Paddle and MXNet Gluon: PyTorch's formula and weights, with other names.

Sources: the documentation of Conv2D in Paddle and in MXNet Gluon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import collapsed, split_axes
from upsample_cli.tconv.layers.convolution import Convolution
from upsample_cli.tconv.translate.arguments import Parameters
from upsample_cli.tconv.translate.restored import Restored, check_numbers, unknown_as_none
from upsample_cli.tconv.translate.writing import Translation, channels_text, options, written

NAMES = {f"Conv{axes}D": axes for axes in (1, 2, 3)}
PADDLE = Parameters(
    (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode",
        "weight_attr", "bias_attr", "data_format",
    ),
    left_out=["weight_attr"],
)  # fmt: skip
MXNET = Parameters(
    (
        "channels", "kernel_size", "strides", "padding", "dilation", "groups", "layout", "activation", "use_bias",
        "weight_initializer", "bias_initializer", "in_channels",
    ),
    ("prefix", "params"),
    ("weight_initializer", "bias_initializer", "prefix", "params"),
)  # fmt: skip


def to_paddle_convolution(layer: Convolution) -> Translation:
    """Write an ordinary convolution of `paddle.nn`."""
    words = _words(layer, "stride") + options(
        padding_mode=(layer.padding_mode, "zeros"), bias_attr=(None if layer.bias else False, None)
    )
    channels = ", ".join(channels_text(layer))
    return _translation(layer, f"paddle.nn.Conv{layer.axes}D({channels}, {_kernel_size(layer)}{words})")


def to_mxnet_convolution(layer: Convolution) -> Translation:
    """Write an ordinary convolution of `mx.gluon.nn`."""
    if layer.padding_mode != "zeros":
        raise GeometryError(f"MXNet's convolution has no padding_mode '{layer.padding_mode}'", "pad before the layer")
    words = _words(layer, "strides") + options(use_bias=(layer.bias, True))
    known = "" if layer.in_channels is None else f", in_channels={layer.in_channels}"
    channels = channels_text(layer)[1]
    return _translation(layer, f"mx.gluon.nn.Conv{layer.axes}D({channels}, {_kernel_size(layer)}{words}{known})")


def _kernel_size(layer: Convolution) -> str:
    return written([axis.kernel_size for axis in layer.each_axis])


def _words(layer: Convolution, stride: str) -> str:
    axes = layer.each_axis
    if any(axis.before != axis.after for axis in axes):
        raise GeometryError("padding='same' pads more at the end for this kernel_size", "pad before the layer")
    return options(
        **{stride: ([axis.stride for axis in axes], 1)},
        padding=([axis.before for axis in axes], 0),
        dilation=([axis.dilation for axis in axes], 1),
        groups=(layer.groups, 1),
    )


def _translation(layer: Convolution, text: str) -> Translation:
    none = (0,) * layer.axes
    order = tuple(range(2 + layer.axes))
    note = "weights: (out, in/groups, kernel...), as in PyTorch"
    return Translation((text,), layer.each_axis, none, order, ((0, 0),) * layer.axes, weight_note=note)


def restored_convolution(
    axes: int,
    settings: Mapping[str, Any],
    *,
    bias: bool,
    activation: str,
    padding_mode: Any,
    notes: Sequence[str],
    **channels: Any,
) -> Restored:
    """PyTorch's layer for an ordinary convolution.

    Args:
        settings: kernel_size, stride, dilation, padding and padding_after; see `restored.restored`.
        bias, activation, padding_mode, notes: of the layer.
        channels: in_channels, out_channels and groups.

    Raises:
        UsageError: if a setting is missing or is not a whole number.
        GeometryError: if PyTorch does not have such a layer.
    """
    channels = unknown_as_none(channels)
    check_numbers(settings, channels)
    each_axis = split_axes(axes, dict(settings))
    if any(axis["padding"] != axis["padding_after"] for axis in each_axis):
        raise GeometryError("PyTorch's Conv pads both ends alike", "pad before the layer, and give padding 0")
    given: dict[str, Any] = {
        name: collapsed([axis[name] for axis in each_axis]) for name in settings if name != "padding_after"
    }
    layer = Convolution(axes, **given, bias=bias, padding_mode=padding_mode, **channels)
    layer.check_settings()
    return Restored(layer, (0,) * axes, (0,) * axes, activation, tuple(notes))
