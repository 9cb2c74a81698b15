"""Weights of a transposed convolution as those of a convolution before `nn.PixelShuffle`, and back."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.same_file import check_inputs_stay
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.kernels.weights.files import read_weights
from upsample_cli.kernels.weights.readers import MOST_WEIGHTS
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.described import check_weights
from upsample_cli.tconv.translate.pixel_shuffle import (
    pixel_shuffle_layers,
    shuffle_factor,
    shuffled_axis,
    without_result,
)
from upsample_cli.tconv.weights import write_weights

Floats = NDArray[np.float64]


def convert_weights(text: str, place: str, output: Path, *, back: bool, overwrite: bool) -> None:
    """Write a copy of a file of weights with the weight and the bias of a layer in the other form.

    Args:
        text: the transposed convolution; with `back`, the convolution and PixelShuffle. See `pixel_shuffle`.
        place: the file with the weights of that layer, `PATH` or `PATH:KEY`.
        output: the file to write.
        back: convert from PixelShuffle to the transposed convolution.

    Raises:
        UsageError: if the weights do not fit the layer, or the file cannot be written. See also `read_weights`.
    """
    read = read_weights(place)
    check_inputs_stay(output, [read.path])
    check_writable(output, overwrite=overwrite)
    has_bias = None if not read.key else read.bias is not None
    if back:
        conv, factor = pixel_shuffle_layers(without_result(text))
        check_conv_weights(conv, read.weight, has_bias)
        weight, bias = unshuffled_weights(read.weight, read.bias, conv, factor)
    else:
        layer = parse_layer(text)
        if not isinstance(layer, TransposedConvolution):
            raise UsageError(f"{layer.name} is not a transposed convolution", "give a ConvTranspose2d")
        check_weights(layer, read.weight.shape, bias=has_bias)
        if read.weight.shape[2:] != tuple(axis.kernel_size for axis in layer.each_axis):
            raise UsageError(
                f"the layer has another kernel_size than the weights of the shape {read.weight.shape}",
                "give the layer of these weights",
            )
        weight, bias = shuffled_weights(read.weight, read.bias, layer)
    write_weights(read, weight, output, bias=bias, overwrite=overwrite)


def shuffled_weights(weight: Floats, bias: Floats | None, layer: TransposedConvolution) -> tuple[Floats, Floats | None]:
    """The weight and the bias of the convolution, from those of the transposed convolution.

    Args:
        weight: (in, out / groups, kernel...), as PyTorch stores it.
        bias: (out,), or None.
        layer: the transposed convolution.

    Raises:
        UsageError: if the new weight would be too large.
        GeometryError: if PixelShuffle cannot do what the layer does.
    """
    factor, groups = shuffle_factor(layer), layer.groups
    rows, columns = (shuffled_axis(axis).taps for axis in layer.each_axis)
    _check_count((*weight.shape[:2], rows * factor, columns * factor))
    taps = _spread(weight, [axis.dilation for axis in layer.each_axis])
    missing = [(0, rows * factor - taps.shape[2]), (0, columns * factor - taps.shape[3])]
    taps = np.pad(taps, [(0, 0), (0, 0), *missing])
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    taps = taps.reshape(groups, inputs, outputs, rows, factor, columns, factor)[:, :, :, ::-1, :, ::-1]
    taps = taps.transpose(0, 2, 4, 6, 1, 3, 5)
    shape = (groups * outputs * factor**2, inputs, rows, columns)
    return taps.reshape(shape), None if bias is None else np.repeat(bias, factor**2)


def unshuffled_weights(
    weight: Floats, bias: Floats | None, conv: Convolution, factor: int
) -> tuple[Floats, Floats | None]:
    """The weight and the bias of the transposed convolution, from those of the convolution before PixelShuffle.

    Args:
        weight: (out * factor**2, in / groups, kernel...), as PyTorch stores it.
        bias: (out * factor**2,), or None.
        conv: the convolution.
        factor: the factor of PixelShuffle.

    Raises:
        GeometryError: if the phases of an output channel have different biases.
    """
    groups = conv.groups
    _check_count((*weight.shape[:2], *(axis.span for axis in conv.each_axis)))
    taps = _spread(weight, [axis.dilation for axis in conv.each_axis])
    outputs, inputs, rows, columns = weight.shape[0] // (factor**2 * groups), *taps.shape[1:]
    taps = taps.reshape(groups, outputs, factor, factor, inputs, rows, columns)[..., ::-1, ::-1]
    taps = taps.transpose(0, 4, 1, 5, 2, 6, 3)
    taps = taps.reshape(groups * inputs, outputs, rows * factor, columns * factor)
    if bias is None:
        return taps, None
    phases = bias.reshape(-1, factor**2)
    if (phases != phases[:, :1]).any():
        raise GeometryError(
            "the biases of the phases of an output channel differ, and a transposed convolution has one bias for all",
            "leave the bias out of the file, and add it after the layer",
        )
    return taps, phases[:, 0]


def check_conv_weights(conv: Convolution, weight: Floats, has_bias: bool | None) -> None:
    """Refuse weights that do not fit a convolution. `has_bias` is None if the file cannot say.

    Raises:
        UsageError: the weights do not fit; the message names both shapes.
    """
    if conv.in_channels is None or conv.out_channels is None:
        raise UsageError("the convolution has no channels", "write for example Conv2d(16, 32, 3, padding=1)")
    expected = (conv.out_channels, conv.in_channels // conv.groups, *(axis.kernel_size for axis in conv.each_axis))
    if weight.shape != expected or has_bias not in (None, conv.bias):
        words = {None: "", True: " with a bias", False: " without a bias"}
        raise UsageError(
            f"the layer has weights of the shape {expected}{words[conv.bias]}, the file {weight.shape}"
            f"{words[has_bias]}",
            "give the layer of these weights",
        )


def _check_count(shape: tuple[int, ...]) -> None:
    """Refuse a new weight that is too large, because of a large stride or dilation."""
    if prod(shape) > MOST_WEIGHTS:
        raise UsageError(
            f"the new weight would have {prod(shape)} numbers, most of them 0", f"{MOST_WEIGHTS} are the most"
        )


def _spread(weight: Floats, dilations: list[int]) -> Floats:
    """The taps with dilation written as zeros between them."""
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
    result = np.zeros((*weight.shape[:2], *spans))
    result[:, :, :: dilations[0], :: dilations[1]] = weight
    return result
