"""Caffe: a layer in a prototxt. Caffe does not have output_padding.

Source: Caffe's documentation of the layer Deconvolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.arguments import Parameters, one_of
from upsample_cli.tconv.translate.reading import left_out_notes
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import Translation, channels_text, in_torch_order, lengthened, settings

_WORDS = {"kernel_size": "kernel_size", "stride": "stride", "padding": "pad", "dilation": "dilation"}
"""Caffe's names of PyTorch's settings."""
_MESSAGES = {"layer", "layers", "convolution_param"}
"""The messages whose values are read."""
_LEFT_OUT_MESSAGES = ("weight_filler", "bias_filler", "param", "include", "exclude")
_LEFT_OUT = ("engine", "force_nd_im2col", "phase", "blobs_lr", "weight_decay", "propagate_down", "loss_weight")
_REPEATED = ("bottom", "top", "blobs_lr", "weight_decay", "propagate_down", "loss_weight")
_NOT_NUMBERS = ("name", "type", "bottom", "top", "bias_term", *_LEFT_OUT)
_KNOWN = Parameters(
    (
        *_WORDS.values(), "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "num_output", "group",
        "axis", *_NOT_NUMBERS,
    ),
    left_out=_LEFT_OUT,
)  # fmt: skip
_TOKEN = re.compile(
    r"(?:[\s,;]|#[^\n]*+)*+(?:(?P<name>\w+)\s*:\s*(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[\w.+-]+)"
    r"|(?P<open>\w+)\s*:?\s*\{|(?P<close>\}))"
)
"""A value, or the start or end of a message."""
_EXAMPLE = 'give layer { type: "Deconvolution" convolution_param { kernel_size: 4 stride: 2 pad: 1 } }'


def to_caffe(layer: TransposedConvolution) -> Translation:
    """Write a layer for a prototxt."""
    axes, zeros = lengthened(layer.each_axis, lambda axis: axis.before)
    given = settings(axes)
    repeated = "".join(
        f" {word}: {value}"
        for name, word in _WORDS.items()
        for value in (given[name] if layer.axes == 3 or len(set(given[name])) > 1 else given[name][:1])
    )
    words = (
        f"num_output: {channels_text(layer)[1]} group: {layer.groups} bias_term: {str(layer.bias).lower()}{repeated}"
    )
    head = 'layer { name: "up" type: "Deconvolution" bottom: "x" top: "y"'
    lines = [head, f"  convolution_param {{ {words} }} }}"]
    return in_torch_order(lines, axes, zeros, [axis.after - axis.before for axis in axes])


def from_caffe(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of a prototxt, or only its convolution_param."""
    words, left_out = _words(text)
    if words.get("num_output") == ["OUT"]:  # as `to_caffe` writes unknown channels
        del words["num_output"]
    numbers = {name: _numbers(name, values) for name, values in words.items() if name not in _NOT_NUMBERS}
    for name, word in _WORDS.items():
        halves = [f"{name.removesuffix('_size').removesuffix('ding')}_{letter}" for letter in "hw"]
        if any(half in numbers for half in halves):
            if word in numbers or not all(half in numbers for half in halves):
                raise UsageError(
                    f"{' and '.join(halves)} are given in part, or next to {word}", "give one or the other"
                )
            numbers[word] = [numbers[half][0] for half in halves]
    if "kernel_size" not in numbers:
        raise UsageError("kernel_size is missing", "give convolution_param { kernel_size: 4 stride: 2 pad: 1 }")
    if numbers.get("axis", [1]) != [1]:
        raise UsageError("axis is not 1", "leave it out: channels are the axis 1")
    counts = [len(numbers.get(word, ())) for word in _WORDS.values()]
    axes, notes = max(2, *counts), left_out_notes(left_out)
    if max(counts) == 1:
        notes.append("of 2 axes, because the text has one number for all")
    return restored(
        axes,
        {word: numbers.get(word, 0 if word == "pad" else 1) for word in _WORDS.values()},
        lambda axis: (axis["pad"], axis["pad"]),
        out_channels=numbers.get("num_output", [None])[0],
        groups=numbers.get("group", [1])[0],
        bias=words.get("bias_term", ["true"])[0] != "false",
        notes=notes,
    )


def _words(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """The values in a layer and in its convolution_param by name, and the names of other messages in them."""
    words: dict[str, list[str]] = {}
    left_out: dict[str, None] = {}
    open_names: list[str] = []
    seen: set[str] = set()
    position = 0
    while (found := _TOKEN.match(text, position)) is not None:
        position = found.end()
        name, value, opened = found["name"], found["value"], found["open"]
        if found["close"]:
            if not open_names:
                raise UsageError("a } closes nothing", _EXAMPLE)
            open_names.pop()
        elif opened:
            if opened in seen:
                raise UsageError(f"{opened} is given twice", "give one layer at a time")
            open_names.append(opened)
            seen |= {opened} & _MESSAGES
        if name and set(open_names) <= _MESSAGES:
            words.setdefault(name, []).append(value.strip("\"'"))
        elif open_names and open_names[-1] not in _MESSAGES:
            left_out |= {open_names[-1]: None}
    rest = re.sub("#[^\n]*", "", text[position:]).strip()
    if (words and rest) or open_names:
        raise UsageError(f"this is not a prototxt: {rest[:40]!r}", _EXAMPLE)
    _check_words(words, left_out)
    return words, [*(name for name in words if name in _LEFT_OUT), *left_out]


def _check_words(words: Mapping[str, Sequence[str]], messages: Iterable[str]) -> None:
    """Refuse values that are unknown or given twice, and other layers."""
    for name in words:
        if name not in _KNOWN.positional:
            raise _KNOWN.unknown(name)
        if len(words[name]) > 1 and name not in (*_WORDS.values(), *_REPEATED):
            raise UsageError(f"{name} is given twice", "leave one out")
    for name in messages:
        if name not in _LEFT_OUT_MESSAGES:
            raise _KNOWN.unknown(name)
    kind = words.get("type", ["Deconvolution"])[0]
    if kind.lower() != "deconvolution":  # in capitals in old files
        raise UsageError(f"type {kind[:80]!r} is not a transposed convolution", 'give one of type: "Deconvolution"')
    one_of("bias_term", words.get("bias_term", ["true"])[0], ("true", "false"))


def _numbers(name: str, values: Sequence[str]) -> list[int]:
    try:
        return [int(value) for value in values]
    except ValueError:
        raise UsageError(
            f"{name} is not a whole number: a setting is given in digits", "write kernel_size: 4"
        ) from None
