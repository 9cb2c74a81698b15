"""TensorFlow: functions of `tf.nn` with the size of the result as an argument, and a crop of the result.

Sources: TensorFlow's documentation of tf.nn.conv2d_transpose, and of tf.nn.convolution for padding='SAME'.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.arguments import one_of
from upsample_cli.tconv.translate.keras import from_keras
from upsample_cli.tconv.translate.reading import left_out_notes, needed_sizes
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.tensorflow_text import FUNCTIONS, Function, Line, parse_function
from upsample_cli.tconv.translate.writing import Translation, channels_last, channels_last_order, channels_text, written


def to_tensorflow(layer: TransposedConvolution) -> Translation:
    """Write a call of a function of `tf.nn` and a crop of its result."""
    done = channels_last(layer)
    sizes = [f"(x.shape[{number}] - 1)*{axis.stride} + {_reach(axis)}" for number, axis in enumerate(done.axes, 1)]
    crop = "".join(f", {before}:{-after if after else ''}" for before, after in done.crop)
    lines = [
        f"shape = (x.shape[0], {', '.join(sizes)}, {channels_text(layer)[1]})",
        f"y = tf.nn.conv{layer.axes}d_transpose(x, w, shape, strides={written([axis.stride for axis in done.axes])}, "
        "padding='VALID')" + (f"[:{crop}]" if any(any(pair) for pair in done.crop) else ""),
    ]
    return replace(done, text=(*lines, *(["y = y + b"] if layer.bias else [])))


def _reach(axis: LayerAxis) -> str:
    """The output size for an input of 1, written so that the kernel_size can be read from it."""
    return f"max({axis.span}, {axis.stride})" if axis.span < axis.stride else str(axis.span)


def from_tensorflow(text: str, sizes: Sizes = None) -> Restored:
    """Read a call of `tf.nn.conv2d_transpose` with the operations after it, or a layer of `tf.keras.layers`."""
    if not any(name in text for name in FUNCTIONS):
        return from_keras(text, sizes)
    function = parse_function(text)
    one_of("padding", function.padding, ("SAME", "VALID"))
    in_numbers = any(line.factor == 0 for line in function.sizes)
    before = needed_sizes(sizes, function.axes, "an output_shape in numbers") if in_numbers else None
    each_axis = [_axis(function, number, before) for number in range(function.axes)]
    notes = left_out_notes(function.left_out)
    if function.kernel_size is None:
        notes.append("kernel_size is taken from the size of the result, because the shape of the weight is not given")
    return restored(
        function.axes,
        {name: [axis[name] for axis in each_axis] for name in each_axis[0]},
        lambda axis: (axis["before"], axis["after"]),
        bias=function.bias,
        activation=function.activation,
        notes=notes,
        sizes=before,
        in_channels=function.in_channels,
        out_channels=function.out_channels,
        order=channels_last_order(function.axes),
    )


def _axis(function: Function, number: int, sizes: Sizes) -> dict[str, Any]:
    """The settings along an axis, including the crop."""
    stride, dilation, line = function.strides[number], function.dilations[number], function.sizes[number]
    if line.factor not in (0, stride):
        raise GeometryError(
            f"output_shape grows by {line.factor} for each input sample, but strides is {stride}", "make them agree"
        )
    # The output size for an input of 1.
    reach = line.constant + stride if sizes is None or line.factor else line.constant - (sizes[number] - 1) * stride
    kernel_size = _kernel_size(line, reach, dilation) if function.kernel_size is None else function.kernel_size[number]
    span = dilation * (kernel_size - 1) + 1
    total, same = span - reach, function.padding == "SAME"
    if not (1 <= reach <= stride if same else span <= reach < span + stride):
        raise GeometryError(
            f"the size in output_shape does not fit kernel_size {kernel_size}, strides and padding",
            "TensorFlow refuses it too",
        )
    before = max(0, total) // 2 if same else 0
    crop_before, crop_after = function.crop[number]
    return {
        "kernel_size": kernel_size,
        "stride": stride,
        "dilation": dilation,
        "before": before + crop_before,
        "after": total - before + crop_after,
    }


def _kernel_size(line: Line, reach: int, dilation: int) -> int:
    """The kernel_size from the number that `to_tensorflow` writes into the size."""
    if line.kernel_size is not None:
        return line.kernel_size
    if line.factor == 0 or dilation > 1 or reach < line.factor:
        raise UsageError("the shape of the weight is not in the text", "add a line w = tf.zeros((3, 3, OUT, IN))")
    return reach
