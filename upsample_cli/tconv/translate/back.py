"""A transposed convolution of another framework as PyTorch's: `tconv translate --from`. Parsed, not evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.axes import split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution

LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Restored:
    """A layer in PyTorch's words.

    Args:
        crop: samples to cut off at the end of each axis after it, where PyTorch's padding, the same at both ends, is
            not exact.
    """

    layer: TransposedConvolution
    crop: tuple[int, ...]


_KERAS = "filters kernel_size strides padding output_padding data_format dilation_rate activation use_bias"
_PADDLE = "in_channels out_channels kernel_size stride padding output_padding dilation groups weight_attr bias_attr"
_MXNET = "channels kernel_size strides padding output_padding dilation groups layout activation use_bias"
_NAMES = {
    **{f"Conv{axes}DTranspose": axes for axes in (1, 2, 3)},
    **{f"Convolution{axes}DTranspose": axes for axes in (1, 2, 3)},
}


def translate_back(text: str, framework: str) -> Restored:
    """The PyTorch layer of a text in a framework's words.

    Args:
        framework: a key of `SOURCES`.

    Raises:
        UsageError: if the framework or the text is not understood, or PyTorch has no such layer.

    >>> restored = translate_back("Conv2DTranspose(8, 3, strides=2, padding='same')", "keras")
    >>> print(restored.layer, restored.crop)
    ConvTranspose2d(8, kernel_size=3, stride=2) (1, 1)
    """
    if framework not in SOURCES:
        raise UsageError(f"the framework '{framework}' is unknown", f"use one of {', '.join(SOURCES)}")
    if len(text) > LONGEST_TEXT:
        raise UsageError(f"the text has {len(text)} characters", f"give {LONGEST_TEXT} or fewer")
    return SOURCES[framework](text)


def _call(text: str, parameters: str, names: Mapping[str, int]) -> tuple[int, dict[str, Any]]:
    """The axes and the given parameters of a constructor."""
    try:
        node = ast.parse(text.strip().rstrip(","), mode="eval").body
        if not isinstance(node, ast.Call):
            raise ValueError
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = dict(zip(parameters.split(), map(ast.literal_eval, node.args), strict=False))
        given |= {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        raise UsageError(
            "this is not a layer of that framework", f"write for example {next(iter(names))}(...)"
        ) from None
    if name not in names:
        raise UsageError(f"the layer {name[:80] or 'here'} is unknown", f"known are {', '.join(names)}")
    return names[name], given


def _restored(
    axes: int, settings: Mapping[str, Any], cut: Callable[[dict[str, Any]], tuple[int, int]], **channels: Any
) -> Restored:
    """A layer from per-axis settings and what each axis cuts off (before, after): see `translate`."""
    for name, value in settings.items():
        _check(name, value)
        if value is None and name != "output_padding":
            raise UsageError(f"{name} None is not a whole number", "write it in digits")
    for name, value in channels.items():
        if name != "bias" and type(value) is not int and (value is not None or name == "groups"):
            raise UsageError(f"{name} {value!r} is not a whole number", "write it in digits")
    each = split_axes(axes, {name: value for name, value in settings.items() if value is not None})
    cuts = [cut(axis) for axis in each]
    if any(before < 0 for before, _ in cuts):
        raise GeometryError("it pads the output at the beginning, which no PyTorch layer does", "pad by hand")
    along = [
        LayerAxis(
            axis["kernel_size"], axis["stride"], before, max(0, before - after), axis["dilation"], transposed=True
        )
        for axis, (before, after) in zip(each, cuts, strict=True)
    ]
    layer = TransposedConvolution.along(along, **channels)
    layer.output_sizes((2**20,) * axes)  # for its refusals
    return Restored(layer, tuple(max(0, after - before) for before, after in cuts))


def text_of(restored: Restored) -> tuple[str, ...]:
    """PyTorch's code; IN and OUT stand for channels that the other framework's text does not tell.

    >>> text_of(translate_back("Conv1DTranspose(8, 3, strides=2, padding='same')", "keras"))
    ('up = nn.ConvTranspose1d(IN, 8, kernel_size=3, stride=2)', 'y = up(x)[:, :, :-1]')
    """
    layer = restored.layer
    bare = str(replace(layer, in_channels=None, out_channels=None, groups=1))
    groups = f", groups={layer.groups}" if layer.groups > 1 else ""
    made = bare.replace("(", f"({layer.in_channels or 'IN'}, {layer.out_channels or 'OUT'}, ", 1)[:-1] + f"{groups})"
    cuts = "".join(f", :{-end if end else ''}" for end in restored.crop)
    return (f"up = nn.{made}", f"y = up(x)[:, :{cuts}]" if any(restored.crop) else "y = up(x)")


def _check(name: str, value: Any) -> None:
    numbers = value if isinstance(value, list | tuple) else [value]
    if value is not None and not isinstance(value, str) and not all(type(number) is int for number in numbers):
        raise UsageError(f"{name} {value!r} is not a whole number", "write it in digits")


def _keras(text: str) -> Restored:
    axes, given = _call(text, _KERAS, _NAMES)
    padding = given.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise UsageError(f"padding {padding!r} is unknown", "use 'valid' or 'same'")
    settings = {
        "kernel_size": given.get("kernel_size"),
        "stride": given.get("strides", 1),
        "dilation": given.get("dilation_rate", 1),
        "output_padding": given.get("output_padding"),
    }
    channels = {"out_channels": given.get("filters"), "bias": bool(given.get("use_bias", True))}
    return _restored(axes, _needed(settings), lambda axis: _keras_cut(axis, padding == "same"), **channels)


def _keras_cut(axis: dict[str, Any], same: bool) -> tuple[int, int]:
    """Keras gives TensorFlow's gradient of a convolution: of an odd total, the smaller half is cut at the beginning."""
    span, extra = axis["dilation"] * (axis["kernel_size"] - 1) + 1, axis.get("output_padding")
    if extra is None:
        total = span - axis["stride"] if same else min(0, span - axis["stride"])
    else:
        total = 2 * (span // 2) * same - extra
    before = max(0, total) // 2 if same else 0
    return before, total - before


def _onnx(text: str) -> Restored:
    inner = re.search(r"ConvTranspose[\"']?\s*[,(](.*)\)", text, re.DOTALL)
    words = re.findall(r"(\w+)\s*=\s*(\[[^\]]*\]|\"\w+\"|'\w+'|-?\d+)", inner[1] if inner else "")
    if not words:
        raise UsageError(
            "this is not a ConvTranspose of ONNX", "write ConvTranspose(kernel_shape=[3, 3], strides=[2, 2])"
        )
    try:
        given = {name: ast.literal_eval(value) for name, value in words}
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
    settings = {
        "kernel_size": kernel,
        "stride": given.get("strides", 1),
        "dilation": given.get("dilations", 1),
        "output_padding": given.get("output_padding", 0),
        "begin": pads[:axes],
        "end": pads[axes:],
    }
    auto = given.get("auto_pad", "NOTSET")
    return _restored(axes, settings, lambda axis: _onnx_cut(axis, auto), groups=given.get("group", 1))


def _onnx_cut(axis: dict[str, Any], auto: str) -> tuple[int, int]:
    extra = axis.get("output_padding", 0)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = axis["dilation"] * (axis["kernel_size"] - 1) + 1 + extra - axis["stride"]
        before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        return before, total - before - extra
    begin, end = (0, 0) if auto == "VALID" else (axis["begin"], axis["end"])
    return begin, end - extra


def _caffe(text: str) -> Restored:
    words: dict[str, list[str]] = {}
    for name, value in re.findall(r"(\w+)\s*:\s*(\"\w*\"|\w+)", text):
        words.setdefault(name, []).append(value)
    try:
        numbers = {
            name: [int(value) for value in words[name]]
            for name in ("kernel_size", "stride", "pad", "dilation", "num_output", "group")
            if name in words
        }
    except ValueError:
        raise UsageError("a setting is not a whole number", "write for example kernel_size: 4") from None
    if "kernel_size" not in numbers:
        raise UsageError("kernel_size is missing", "give convolution_param { kernel_size: 4 stride: 2 pad: 1 }")
    axes = max(2, *(len(numbers.get(name, ())) for name in ("kernel_size", "stride", "pad", "dilation")))
    settings = {
        "kernel_size": numbers["kernel_size"],
        "stride": numbers.get("stride", 1),
        "dilation": numbers.get("dilation", 1),
        "pad": numbers.get("pad", 0),
    }
    channels = {
        "out_channels": numbers.get("num_output", [None])[0],
        "groups": numbers.get("group", [1])[0],
        "bias": words.get("bias_term", ["true"])[0] != "false",
    }
    return _restored(axes, settings, lambda axis: (axis["pad"], axis["pad"]), **channels)


def _like_torch(parameters: str, words: Mapping[str, str], bias: str) -> Callable[[str], Restored]:
    """A reader for a framework with PyTorch's formula under its own names."""

    def read(text: str) -> Restored:
        axes, given = _call(text, parameters, _NAMES)
        settings = {name: given.get(theirs, 1) for name, theirs in words.items() if name in ("stride", "dilation")}
        settings |= {name: given.get(name, 0) for name in ("padding", "output_padding")}
        channels = {
            "in_channels": given.get("in_channels") or None,
            "out_channels": given.get(words["out_channels"]),
            "groups": given.get("groups", 1),
            "bias": given.get(bias, True) is not False,
        }
        return _restored(
            axes,
            _needed({"kernel_size": given.get("kernel_size"), **settings}),
            lambda axis: (axis["padding"], axis["padding"] - axis.get("output_padding", 0)),
            **channels,
        )

    return read


def _needed(settings: dict[str, Any]) -> dict[str, Any]:
    if settings["kernel_size"] is None:
        raise UsageError("kernel_size is missing", "write it as a number, or one per axis")
    if any(isinstance(value, str) for value in settings.values()):
        raise UsageError("a setting is a word where a number is due", "write it in digits")
    return settings


SOURCES: dict[str, Callable[[str], Restored]] = {
    "keras": _keras,
    "tensorflow": _keras,
    "onnx": _onnx,
    "caffe": _caffe,
    "paddle": _like_torch(
        _PADDLE, {"stride": "stride", "dilation": "dilation", "out_channels": "out_channels"}, "bias_attr"
    ),
    "mxnet": _like_torch(_MXNET, {"stride": "strides", "dilation": "dilation", "out_channels": "channels"}, "use_bias"),
}
"""What reads a layer in each framework's words; TensorFlow's are those of tf.keras.layers."""
