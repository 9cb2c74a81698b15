"""Keras and TensorFlow: channels last, no groups, no dilation together with a stride, and a crop as a step of its own.

Sources: the documentation of Keras (Conv2DTranspose) and of TensorFlow (tf.nn.conv2d_transpose).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.reading import Restored, parsed_call, restored
from upsample_cli.tconv.translate.writing import Crop, Translation, lengthened, options, written

_PARAMETERS = "filters kernel_size strides padding output_padding data_format dilation_rate activation use_bias"


def to_keras(layer: TransposedConvolution) -> Translation:
    """A layer of `keras.layers`, and a cropping layer where padding='same' is not exact."""
    done = _channels_last(layer)
    same = all(_is_same(axis) for axis in done.axes)
    crop = ((0, 0),) * layer.axes if same else done.crop
    settings = options(strides=([axis.stride for axis in done.axes], 1), padding=("same" if same else "valid", None))
    settings += options(use_bias=(layer.bias, True))
    kernel_size = written([axis.kernel_size for axis in done.axes])
    lines = [f"keras.layers.Conv{layer.axes}DTranspose({layer.out_channels}, {kernel_size}{settings})"]
    if any(any(pair) for pair in crop):
        numbers = {number for pair in crop for number in pair}
        text = crop[0][0] if len(numbers) == 1 else crop if layer.axes > 1 else crop[0]
        lines.append(f"keras.layers.Cropping{layer.axes}D({text!r})")
    return replace(done, text=tuple(lines), crop=crop)


def to_tensorflow(layer: TransposedConvolution) -> Translation:
    """A call of `tf.nn`, whose result is cropped."""
    done = _channels_last(layer)
    sizes = [
        f"(x.shape[{number}] - 1)*{axis.stride} + {max(axis.span, axis.stride)}"
        for number, axis in enumerate(done.axes, 1)
    ]
    crop = "".join(f", {before}:{-after if after else ''}" for before, after in done.crop)
    lines = [
        f"shape = (x.shape[0], {', '.join(sizes)}, {layer.out_channels})",
        f"y = tf.nn.conv{layer.axes}d_transpose(x, w, shape, strides={written([axis.stride for axis in done.axes])}, "
        "padding='VALID')" + (f"[:{crop}]" if any(any(pair) for pair in done.crop) else ""),
    ]
    return replace(done, text=(*lines, *(["y = y + b"] if layer.bias else [])))


def _channels_last(layer: TransposedConvolution) -> Translation:
    """The translation without its text: axes for padding='valid', and the crop after them."""
    axes, spread = layer.each_axis, any(axis.dilation > 1 for axis in layer.each_axis)
    if spread:
        axes = tuple(replace(axis, kernel_size=axis.span, dilation=1) for axis in axes)
    # One more input gives `stride` more outputs, a single input max(span, stride). Zeros reach outputs beyond that.
    axes, zeros = lengthened(
        axes, lambda axis: 0 if axis.span - axis.after > max(axis.span, axis.stride) else axis.after
    )
    crop: Crop = tuple((axis.before, axis.after + max(axis.span, axis.stride) - axis.span) for axis in axes)
    order = (*range(2, 2 + layer.axes), 1, 0)
    return Translation((), axes, zeros, order, crop, spread=spread, dense=layer.groups > 1)


def _is_same(axis: LayerAxis) -> bool:
    """Whether padding='same' crops what this axis does."""
    total = axis.span - axis.stride
    return total >= 0 and axis.before == total // 2 and axis.before + axis.after == total


def from_keras(text: str) -> Restored:
    """A layer of `keras.layers` or `tf.keras.layers`."""
    axes, given = parsed_call(text, _PARAMETERS)
    padding = given.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise UsageError(f"padding {padding!r} is unknown", "use 'valid' or 'same'")
    settings = {
        "kernel_size": given.get("kernel_size"),
        "stride": given.get("strides", 1),
        "dilation": given.get("dilation_rate", 1),
        "output_padding": given.get("output_padding"),
    }
    bias = bool(given.get("use_bias", True))
    return restored(
        axes, settings, lambda axis: _crop(axis, padding == "same"), out_channels=given.get("filters"), bias=bias
    )


def _crop(axis: dict[str, Any], same: bool) -> tuple[int, int]:
    """The crop of TensorFlow's gradient of a convolution: of an odd total, the smaller half is at the beginning."""
    span, extra = axis["dilation"] * (axis["kernel_size"] - 1) + 1, axis.get("output_padding")
    if extra is None:
        total = span - axis["stride"] if same else min(0, span - axis["stride"])
    else:
        total = 2 * (span // 2) * same - extra
    before = max(0, total) // 2 if same else 0
    return before, total - before
