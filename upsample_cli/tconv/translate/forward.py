"""A transposed convolution in the words of another framework, and back: what `tconv translate` computes. No torch.

Along each axis a layer is what it crops: of the full product, `(size-1)*stride + span` outputs counted from the first
tap of the first input, `before` are cut off at the beginning and `after` at the end (negative: so many more, which no
tap reaches). PyTorch's padding and output_padding are `before = padding, after = padding - output_padding`. A layer of
the right size that is cut differently is shifted by pixels, and frameworks cut differently: hence the crops here.

Sources: the documentation of Keras (Conv2DTranspose), TensorFlow (tf.nn.conv2d_transpose), ONNX (ConvTranspose), Caffe
(Deconvolution), Paddle (Conv2DTranspose) and MXNet Gluon (Conv2DTranspose).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution


@dataclass(frozen=True, slots=True)
class Translation:
    """A layer in another framework's words.

    Args:
        framework: a key of `FRAMEWORKS`.
        text: the lines to write.
        notes: what to know besides, one sentence each.
        axes: what the framework's layer is given; its taps include zeros_after.
        zeros_after: taps of 0 to append to the kernel at the end of each axis.
        spread: whether dilation is written out as zeros between the taps, because the framework has it not.
        dense: whether groups are written out as zeros between the blocks.
        order: of the weight's axes, as a transposition of PyTorch's (in, out/groups, kernel...).
        crop: samples to cut off (before, after) per axis once the framework's layer has run.
    """

    framework: str
    text: tuple[str, ...]
    notes: tuple[str, ...]
    axes: tuple[LayerAxis, ...]
    zeros_after: tuple[int, ...]
    spread: bool
    dense: bool
    order: tuple[int, ...]
    crop: tuple[tuple[int, int], ...]


def translate(layer: TransposedConvolution, framework: str) -> Translation:
    """A layer in another framework's words: exact, with zeros in the kernel or a crop where it must be.

    Raises:
        UsageError: if the framework is not one of `FRAMEWORKS`, or channels are not known.

    >>> layer = TransposedConvolution(2, in_channels=16, out_channels=8, kernel_size=3, stride=2, padding=1)
    >>> for line in translate(layer, "keras").text:
    ...     print(line)
    keras.layers.Conv2DTranspose(8, 3, strides=2, padding='valid')
    keras.layers.Cropping2D(1)
    """
    if framework not in FRAMEWORKS:
        raise UsageError(f"the framework '{framework}' is unknown", f"use one of {', '.join(FRAMEWORKS)}")
    if layer.in_channels is None or layer.out_channels is None:
        raise UsageError("a translation needs channels", "write for example ConvTranspose2d(16, 8, 3, stride=2)")
    return FRAMEWORKS[framework](layer)


def written(values: Sequence[Any]) -> str:
    """One number where all axes have the same, else a tuple, as code.

    >>> written([2, 2]), written([2, 3])
    ('2', '(2, 3)')
    """
    return repr(values[0] if len(set(values)) == 1 else tuple(values))


def options(**values: tuple[Sequence[Any] | Any, Any]) -> str:
    """`, name=value` for each value that is not its default."""
    texts = {
        name: (written(value) if isinstance(value, list | tuple) else repr(value), repr(default))
        for name, (value, default) in values.items()
    }
    return "".join(f", {name}={text}" for name, (text, default) in texts.items() if text != default)


def _spread(axis: LayerAxis) -> LayerAxis:
    """The same axis with its dilation written out as zeros between the taps."""
    return replace(axis, kernel_size=axis.span, dilation=1)


def _lengthened(axis: LayerAxis, least_after: int) -> tuple[LayerAxis, int]:
    """The axis with taps of 0 appended until it crops `least_after` or more at the end, and their number."""
    taps = max(0, -(-(least_after - axis.after) // axis.dilation))
    cropped = axis.output_padding - taps * axis.dilation
    return replace(axis, kernel_size=axis.kernel_size + taps, output_padding=cropped), taps


def _notes(zeros: Sequence[int], spread: bool, dense: bool) -> list[str]:
    notes = []
    if dense:
        notes.append("there are no groups: give dense weights, with zeros outside the blocks of the groups")
    if spread:
        notes.append("dilation beside a stride is refused: write it out as zeros between the taps")
    if any(zeros):
        notes.append(f"append {written(zeros)} taps of 0 to the kernel at the end, which output_padding reaches")
    return notes


def _weights_note(order: Sequence[int]) -> str:
    if tuple(order) == tuple(range(len(order))):
        return "weights: (in, out/groups, kernel...), as in PyTorch"
    return f"weights: PyTorch's permuted by {tuple(order)}, data channels last; no flip"


def _channels_last(layer: TransposedConvolution, framework: str) -> Translation:
    """Keras and TensorFlow: channels last, no groups, no dilation beside a stride, a crop as a step of its own."""
    axes = layer.each_axis
    dense, spread = layer.groups > 1, any(axis.dilation > 1 for axis in axes)
    if spread:
        axes = tuple(_spread(axis) for axis in axes)
    # "valid" gives each axis max(span, stride) outputs beside its strides; zeros are for what lies beyond them
    pairs = [
        _lengthened(axis, 0) if axis.span - axis.after > max(axis.span, axis.stride) else (axis, 0) for axis in axes
    ]
    axes, zeros = tuple(axis for axis, _ in pairs), tuple(taps for _, taps in pairs)
    crop = tuple((axis.before, axis.after + max(axis.span, axis.stride) - axis.span) for axis in axes)
    same = all(
        axis.span >= axis.stride
        and axis.before == (axis.span - axis.stride) // 2
        and axis.before + axis.after == axis.span - axis.stride
        for axis in axes
    )
    order = (*range(2, 2 + layer.axes), 1, 0)
    writer = {"keras": _keras_text, "tensorflow": _tensorflow_text}[framework]
    if same and framework == "keras":
        crop = ((0, 0),) * layer.axes
    return Translation(
        framework,
        writer(layer, axes, crop, same),
        (*_notes(zeros, spread, dense), _weights_note(order)),
        axes,
        zeros,
        spread,
        dense,
        order,
        crop,
    )


def _keras_text(
    layer: TransposedConvolution, axes: Sequence[LayerAxis], crop: Sequence[tuple[int, int]], same: bool
) -> tuple[str, ...]:
    more = options(strides=([axis.stride for axis in axes], 1))
    more += f", padding={'same' if same else 'valid'!r}" + options(use_bias=(layer.bias, True))
    taps = written([axis.kernel_size for axis in axes])
    lines = [f"keras.layers.Conv{layer.axes}DTranspose({layer.out_channels}, {taps}{more})"]
    if any(any(pair) for pair in crop):
        alike = len(set(crop)) == 1 and len(set(crop[0])) == 1
        text = repr(crop[0][0]) if alike else repr(tuple(crop) if layer.axes > 1 else crop[0])
        lines.append(f"keras.layers.Cropping{layer.axes}D({text})")
    return tuple(lines)


def _tensorflow_text(
    layer: TransposedConvolution,
    axes: Sequence[LayerAxis],
    crop: Sequence[tuple[int, int]],
    same: bool,  # noqa: ARG001
) -> tuple[str, ...]:
    sizes = [
        f"(x.shape[{number}] - 1)*{axis.stride} + {max(axis.span, axis.stride)}" for number, axis in enumerate(axes, 1)
    ]
    cuts = "".join(f", {before}:{-after if after else ''}" for before, after in crop)
    lines = [
        f"shape = (x.shape[0], {', '.join(sizes)}, {layer.out_channels})",
        f"y = tf.nn.conv{layer.axes}d_transpose(x, w, shape, strides={written([axis.stride for axis in axes])}, "
        f"padding='VALID')" + (f"[:{cuts}]" if any(any(pair) for pair in crop) else ""),
    ]
    return (*lines, *(["y = y + b"] if layer.bias else []))


def _below_stride(layer: TransposedConvolution) -> tuple[tuple[LayerAxis, ...], tuple[int, ...]]:
    """The axes without an output_padding of a stride or more, which only PyTorch and Paddle accept; appended zeros."""
    pairs = [
        _lengthened(axis, axis.before) if axis.before - axis.after >= axis.stride else (axis, 0)
        for axis in layer.each_axis
    ]
    return tuple(axis for axis, _ in pairs), tuple(taps for _, taps in pairs)


def _onnx(layer: TransposedConvolution) -> Translation:
    axes, zeros = _below_stride(layer)
    extra = [max(0, axis.before - axis.after) for axis in axes]
    pads = [axis.before for axis in axes] + [max(axis.before, axis.after) for axis in axes]
    inputs = ["x", "w", "b"] if layer.bias else ["x", "w"]
    words = (
        f"kernel_shape={[axis.kernel_size for axis in axes]}, strides={[axis.stride for axis in axes]}, pads={pads}, "
        f"output_padding={extra}, dilations={[axis.dilation for axis in axes]}, group={layer.groups}"
    )
    text = (f'onnx.helper.make_node("ConvTranspose", {inputs}, ["y"], {words})',)
    order = tuple(range(layer.axes + 2))
    notes = (*_notes(zeros, False, False), _weights_note(order))
    return Translation("onnx", text, notes, axes, zeros, False, False, order, ((0, 0),) * layer.axes)


def _paddle(layer: TransposedConvolution) -> Translation:
    axes = layer.each_axis
    more = options(
        stride=([axis.stride for axis in axes], 1),
        padding=([axis.before for axis in axes], 0),
        output_padding=([axis.before - axis.after for axis in axes], 0),
        dilation=([axis.dilation for axis in axes], 1),
        groups=(layer.groups, 1),
        bias_attr=(None if layer.bias else False, None),
    )
    taps = written([axis.kernel_size for axis in axes])
    name = f"paddle.nn.Conv{layer.axes}DTranspose"
    return _as_it_is(layer, "paddle", f"{name}({layer.in_channels}, {layer.out_channels}, {taps}{more})")


def _mxnet(layer: TransposedConvolution) -> Translation:
    axes, zeros = _below_stride(layer)
    over = tuple((0, max(0, axis.after - axis.before)) for axis in axes)
    more = options(
        strides=([axis.stride for axis in axes], 1),
        padding=([axis.before for axis in axes], 0),
        output_padding=([max(0, axis.before - axis.after) for axis in axes], 0),
        dilation=([axis.dilation for axis in axes], 1),
        groups=(layer.groups, 1),
        use_bias=(layer.bias, True),
    )
    name = f"mx.gluon.nn.Conv{layer.axes}DTranspose"
    taps = written([axis.kernel_size for axis in axes])
    text = (f"{name}({layer.out_channels}, {taps}{more}, in_channels={layer.in_channels})", *_slice(over))
    notes = (*_notes(zeros, False, False), _weights_note(range(layer.axes + 2)))
    return Translation("mxnet", text, notes, axes, zeros, False, False, tuple(range(layer.axes + 2)), over)


def _caffe(layer: TransposedConvolution) -> Translation:
    pairs = [_lengthened(axis, axis.before) for axis in layer.each_axis]
    axes, zeros = tuple(axis for axis, _ in pairs), tuple(taps for _, taps in pairs)
    over = tuple((0, axis.after - axis.before) for axis in axes)
    settings = {
        "kernel_size": [axis.kernel_size for axis in axes],
        "stride": [axis.stride for axis in axes],
        "pad": [axis.before for axis in axes],
        "dilation": [axis.dilation for axis in axes],
    }
    repeated = "".join(
        f" {name}: {value}"
        for name, values in settings.items()
        for value in (values[:1] if len(set(values)) == 1 else values)
    )
    words = f"num_output: {layer.out_channels} group: {layer.groups} bias_term: {str(layer.bias).lower()}{repeated}"
    head = 'layer { name: "up" type: "Deconvolution" bottom: "x" top: "y"'
    text = (head, f"  convolution_param {{ {words} }} }}", *_slice(over))
    notes = (*_notes(zeros, False, False), _weights_note(range(layer.axes + 2)))
    return Translation("caffe", text, notes, axes, zeros, False, False, tuple(range(layer.axes + 2)), over)


def _slice(over: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if not any(any(pair) for pair in over):
        return ()
    return ("then cut off at the end: " + ", ".join(str(after) for _, after in over),)


def _as_it_is(layer: TransposedConvolution, framework: str, text: str) -> Translation:
    """A framework with PyTorch's own settings and layout."""
    none = (0,) * layer.axes
    order = tuple(range(layer.axes + 2))
    crop = ((0, 0),) * layer.axes
    return Translation(framework, (text,), (_weights_note(order),), layer.each_axis, none, False, False, order, crop)


FRAMEWORKS: dict[str, Callable[[TransposedConvolution], Translation]] = {
    "keras": lambda layer: _channels_last(layer, "keras"),
    "tensorflow": lambda layer: _channels_last(layer, "tensorflow"),
    "onnx": _onnx,
    "caffe": _caffe,
    "paddle": _paddle,
    "mxnet": _mxnet,
}
"""What writes a layer in each framework's words."""
