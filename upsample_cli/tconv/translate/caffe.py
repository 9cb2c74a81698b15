"""Caffe: a layer of a prototxt, without output_padding.

Source: the documentation of the layer Deconvolution.
"""

from __future__ import annotations

import re

from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.reading import Restored, restored
from upsample_cli.tconv.translate.writing import Translation, in_torch_order, lengthened, settings

_WORDS = {"kernel_size": "kernel_size", "stride": "stride", "padding": "pad", "dilation": "dilation"}
"""Caffe's words for PyTorch's settings."""


def to_caffe(layer: TransposedConvolution) -> Translation:
    """A layer of a prototxt."""
    axes, zeros = lengthened(layer.each_axis, lambda axis: axis.before)
    given = settings(axes)
    repeated = "".join(
        f" {word}: {value}"
        for name, word in _WORDS.items()
        for value in (given[name][:1] if len(set(given[name])) == 1 else given[name])
    )
    words = f"num_output: {layer.out_channels} group: {layer.groups} bias_term: {str(layer.bias).lower()}{repeated}"
    head = 'layer { name: "up" type: "Deconvolution" bottom: "x" top: "y"'
    lines = [head, f"  convolution_param {{ {words} }} }}"]
    return in_torch_order(lines, axes, zeros, [axis.after - axis.before for axis in axes])


def from_caffe(text: str) -> Restored:
    """A layer of a prototxt, or its convolution_param alone."""
    words: dict[str, list[str]] = {}
    for name, value in re.findall(r"(\w+)\s*:\s*(\"\w*\"|\w+)", text):
        words.setdefault(name, []).append(value)
    try:
        numbers = {
            name: [int(value) for value in words[name]]
            for name in (*_WORDS.values(), "num_output", "group")
            if name in words
        }
    except ValueError:
        raise UsageError("a setting is not a whole number", "write for example kernel_size: 4") from None
    if "kernel_size" not in numbers:
        raise UsageError("kernel_size is missing", "give convolution_param { kernel_size: 4 stride: 2 pad: 1 }")
    axes = max(2, *(len(numbers.get(word, ())) for word in _WORDS.values()))
    return restored(
        axes,
        {word: numbers.get(word, 0 if word == "pad" else 1) for word in _WORDS.values()},
        lambda axis: (axis["pad"], axis["pad"]),
        out_channels=numbers.get("num_output", [None])[0],
        groups=numbers.get("group", [1])[0],
        bias=words.get("bias_term", ["true"])[0] != "false",
    )
