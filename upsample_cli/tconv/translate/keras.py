"""Keras: channels last, no groups, no dilation together with a stride, and cropping as a separate layer.

Source: Keras' documentation of Conv2DTranspose and Cropping2D.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.arguments import Arguments, Parameters, activation, arguments, one_of
from upsample_cli.tconv.translate.reading import axes_of_call, called, left_out_notes, parsed_calls
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import (
    Translation,
    channels_last,
    channels_last_order,
    channels_text,
    options,
    written,
)

_TRAINING = (
    "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
    "kernel_constraint", "bias_constraint",
)  # fmt: skip
_OF_EVERY_LAYER = ("name", "trainable", "dtype", "autocast")
_PARAMETERS = Parameters(
    (
        "filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate", "activation",
        "use_bias", *_TRAINING,
    ),
    ("input_shape", "batch_input_shape", *_OF_EVERY_LAYER),
    (*_TRAINING, *_OF_EVERY_LAYER),
)  # fmt: skip
_CROPPING = Parameters(["cropping", "data_format"], ["name"], ["name"])
_FORMATS = (None, "channels_last", "channels_first")


def to_keras(layer: TransposedConvolution) -> Translation:
    """Write a layer of `keras.layers`, and a cropping layer if padding='same' is not exact."""
    done = channels_last(layer)
    same = all(_is_same(axis) for axis in done.axes)
    crop = ((0, 0),) * layer.axes if same else done.crop
    settings = options(strides=([axis.stride for axis in done.axes], 1), padding=("same" if same else "valid", None))
    settings += options(use_bias=(layer.bias, True))
    kernel_size = written([axis.kernel_size for axis in done.axes])
    lines = [f"keras.layers.Conv{layer.axes}DTranspose({channels_text(layer)[1]}, {kernel_size}{settings})"]
    if any(any(pair) for pair in crop):
        numbers = {number for pair in crop for number in pair}
        text = crop[0][0] if len(numbers) == 1 else crop if layer.axes > 1 else crop[0]
        lines.append(f"keras.layers.Cropping{layer.axes}D({text!r})")
    return replace(done, text=tuple(lines), crop=crop)


def _is_same(axis: LayerAxis) -> bool:
    """Whether padding='same' has the same crop as this axis."""
    total = axis.span - axis.stride
    return total >= 0 and axis.before == total // 2 and axis.before + axis.after == total


def from_keras(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of `keras.layers` or `tf.keras.layers`, and an optional cropping layer after it."""
    call, *others = parsed_calls(text)
    axes = axes_of_call(call)
    given = arguments(call, _PARAMETERS)
    padding = str(given.get("padding", "valid")).lower()
    if padding not in ("valid", "same"):
        raise UsageError(f"padding {padding!r} is unknown", "use 'valid' or 'same'")
    one_of("data_format", given.get("data_format"), _FORMATS)
    one_of("use_bias", given.get("use_bias", True), (True, False))
    settings = {
        "kernel_size": given.get("kernel_size"),
        "stride": given.get("strides", 1),
        "dilation": given.get("dilation_rate", 1),
        "output_padding": given.get("output_padding"),
        **_cropping(others, axes),
    }
    return restored(
        axes,
        settings,
        lambda axis: _crop(axis, padding == "same"),
        bias=given.get("use_bias", True),
        activation=_activation(given),
        notes=left_out_notes(given.left_out),
        in_channels=_in_channels(given, axes),
        out_channels=given.get("filters"),
        order=channels_last_order(axes),
    )


def _activation(given: Arguments) -> str:
    name = given.get("activation")
    if name == "softmax" and given.get("data_format") == "channels_first":
        return "nn.Softmax(dim=-1)"  # Keras applies it along the last axis
    return activation(name)


def _in_channels(given: Arguments, axes: int) -> int | None:
    """The number of channels in an input_shape."""
    for name, before in (("input_shape", 0), ("batch_input_shape", 1)):
        shape = given.get(name)
        if shape is None:
            continue
        if not isinstance(shape, tuple | list) or len(shape) != before + axes + 1:
            raise UsageError(f"{name} {shape!r} does not fit {axes} axes", "give sizes and channels")
        channels: int | None = shape[before if given.get("data_format") == "channels_first" else -1]
        return channels
    return None


def _cropping(calls: list[ast.Call], axes: int) -> dict[str, list[int]]:
    """The crop of a Cropping layer after the layer, along each axis."""
    if not calls:
        return {}
    name = f"Cropping{axes}D"
    for number, call in enumerate(calls):
        if number or called(call) != name:
            raise UsageError(
                f"{called(call)[:80] or 'another expression'} follows the layer", f"give one layer, and at most {name}"
            )
    given = arguments(calls[0], _CROPPING)
    one_of("data_format", given.get("data_format"), _FORMATS)
    cropping = given.get("cropping", 0 if axes == 2 else 1)  # Keras' default
    ends = [cropping] * axes if isinstance(cropping, int) else [cropping] if axes == 1 else cropping
    pairs = [[end, end] if isinstance(end, int) else end for end in ends] if isinstance(ends, tuple | list) else []
    if len(pairs) != axes or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise UsageError(f"cropping {cropping!r} does not fit {axes} axes", "give (before, after) of each")
    if any(type(number) is not int or number < 0 for pair in pairs for number in pair):
        raise UsageError(f"cropping {cropping!r} is not of whole numbers from 0", "write it in digits")
    return {"crop_before": [before for before, _ in pairs], "crop_after": [after for _, after in pairs]}


def _crop(axis: dict[str, Any], same: bool) -> tuple[int, int]:
    """The crop (before, after) of the gradient of TensorFlow's convolution; of an odd total, `before` is smaller."""
    span, extra = axis["dilation"] * (axis["kernel_size"] - 1) + 1, axis.get("output_padding")
    if extra is None:
        total = span - axis["stride"] if same else min(0, span - axis["stride"])
    else:
        total = 2 * (span // 2) * same - extra
    before = max(0, total) // 2 if same else 0
    return before + axis.get("crop_before", 0), total - before + axis.get("crop_after", 0)
