"""A transposed convolution applied to a file: a picture, a sound, a signal, a volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from upsample_cli.axes import PerAxis
from upsample_cli.errors import UsageError
from upsample_cli.pictures.files import new_file
from upsample_cli.plan import BORDERS, Border
from upsample_cli.tconv.checkerboard import axes_of
from upsample_cli.tconv.described import described_layer
from upsample_cli.tconv.layers import TransposedConvolution, bilinear_layer
from upsample_cli.tconv.signals import (
    TIFF_SUFFIXES,
    Signal,
    is_stack,
    npy_bytes,
    read_npy,
    read_stack,
    read_wav,
    stack_bytes,
    wav_bytes,
)
from upsample_cli.tconv.weights import Weights, read_weights

_SIGNAL_SUFFIXES = (".wav", ".npy")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a run.

    Args:
        factor: the linear layer that enlarges so many times; else `text`, `settings` or `weights` describe it.
        text: a layer as PyTorch writes it.
        settings: of a layer, by name.
        weights: `PATH` or `PATH:KEY`; without them the kernel is linear on every axis.
        groups: of the weights.
        axes: of an array; None to take them from it.
        border: "zeros", "replicate" or "reflect"; None for "replicate" with a factor, else "zeros".
        tile: side of the tiles in input samples.
        overwrite: replace an output that exists.
    """

    factor: PerAxis | None = None
    text: str | None = None
    settings: tuple[tuple[str, PerAxis], ...] = ()
    weights: str | None = None
    groups: int | None = None
    axes: int | None = None
    border: Border | None = None
    tile: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done: the layer, (channels, *sizes) before and after, and what to know of it.

    A picture that went through the engine has its sizes alone.
    """

    layer: TransposedConvolution
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    border: Border
    remarks: tuple[str, ...] = ()


def run(source: Path, target: Path, request: Request) -> Outcome:
    """Apply a layer to a file and write the result.

    Sound keeps its bits, its rate is multiplied by the stride. Whole numbers are exact, rounded half up and clamped.
    A picture through a bilinear layer of a factor is `upsample_file`.

    Raises:
        UsageError: if the request cannot be carried out on this file.
        GeometryError: where torch would refuse the layer.
        PictureError: if a file cannot be read or written.
    """
    if request.border is not None and request.border not in BORDERS:
        raise UsageError(f"there is no border {request.border!r}", f"choose one of {', '.join(BORDERS)}")
    if request.tile is not None and request.tile < 1:
        raise UsageError(f"a tile of {request.tile} samples holds nothing", "give --tile 1 or more")
    weights = None if request.weights is None else read_weights(request.weights)
    kind = source.suffix.lower()
    if kind == ".wav":
        return _run_signal(read_wav(source), 1, target, request, weights)
    if kind == ".npy":
        axes = _wanted_axes(request, weights)
        signal = read_npy(source, axes)
        return _run_signal(signal, axes or signal.samples.ndim - 1, target, request, weights)
    if kind in TIFF_SUFFIXES and (_wanted_axes(request, weights) == 3 or (request.axes is None and is_stack(source))):
        return _run_signal(read_stack(source), 3, target, request, weights)
    from upsample_cli.tconv.run_picture import run_picture

    return run_picture(source, target, request, weights)


def layer_of(request: Request, axes: int, weights: Weights | None) -> TransposedConvolution:
    """The layer that a request describes, for so many axes.

    Raises:
        UsageError: if it is described in no way or in several, or for another number of axes.
    """
    if request.factor is not None:
        if request.text or request.settings or weights is not None:
            raise UsageError("--factor is a layer of its own", "leave out LAYER, its settings and --weights")
        layer = bilinear_layer(axes, request.factor)
    else:
        kernel_size = None if weights is None else weights.weight.shape[2:]
        if weights is not None and weights.axes != axes:
            raise UsageError(f"the weights are for {weights.axes} axes, the input has {axes}", "add --axes, or others")
        layer = described_layer(request.text, dict(request.settings), axes=axes, kernel_size=kernel_size)
    if layer.axes != axes:
        raise UsageError(f"{layer.name} for an input of {axes} axes", f"write ConvTranspose{axes}d")
    return layer


def applied(
    samples: Any, request: Request, weights: Weights | None, *, peak: int | None, limits: tuple[int, int] | None
) -> tuple[Any, TransposedConvolution, Border]:
    """The layer that is asked for, over (channels, *sizes)."""
    layer = layer_of(request, samples.ndim - 1, weights)
    layer.output_sizes(samples.shape[1:])
    axes = axes_of(layer)
    from upsample_cli.tconv.apply import apply, linear_filled, weighted

    if weights is None:
        filled = linear_filled(axes)
    else:
        groups = request.groups or layer.groups
        filled = weighted(axes, weights.weight, bias=weights.bias, groups=groups, peak=peak)
    border: Border = request.border or ("zeros" if request.factor is None else "replicate")
    return apply(filled, samples, border=border, tile=request.tile, limits=limits), layer, border


def _wanted_axes(request: Request, weights: Weights | None) -> int | None:
    if request.axes is not None:
        return request.axes
    return None if weights is None else weights.axes


def _run_signal(signal: Signal, axes: int, target: Path, request: Request, weights: Weights | None) -> Outcome:
    if request.axes not in (None, axes):
        raise UsageError(f"--axes {request.axes} does not fit this file", f"it has {axes}")
    suffix = target.suffix.lower()
    writers = {".npy": npy_bytes}
    if signal.bits is not None:
        writers[".wav"] = wav_bytes
    elif axes == 3:
        writers |= dict.fromkeys(TIFF_SUFFIXES, stack_bytes)
    if suffix not in writers:
        raise UsageError(f"{target}: this input is not written as {suffix!r}", f"use {' or '.join(writers)}")
    samples, layer, border = applied(signal.samples, request, weights, peak=signal.peak, limits=signal.limits)
    stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
    result = replace(signal, samples=samples, rate=None if signal.rate is None else signal.rate * stride)
    if signal.bits is not None and suffix == ".npy":
        result = replace(result, samples=samples.astype(np.int16 if signal.bits <= 16 else np.int32))
    content = writers[suffix](result)
    with new_file(target, overwrite=request.overwrite) as file:
        file.write(content)
    return Outcome(layer, signal.samples.shape, samples.shape, border)
