"""Apply a transposed convolution to a file: an image, a sound, a signal or a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.same_file import check_inputs_stay
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import Loss, Setting, UsageError
from upsample_cli.kernels.weights.files import Weights, read_weights
from upsample_cli.special_files import refuse_special
from upsample_cli.tconv.run.request import Outcome, Request, applied, filled_layer, layer_of
from upsample_cli.tconv.run.signals import (
    TIFF_SUFFIXES,
    Signal,
    check_stack,
    npy_bytes,
    read_npy,
    read_stack,
    read_wav,
    stack_bytes,
    wav_bytes,
)
from upsample_cli.tconv.run.wav import check_sound


def run(source: Path, target: Path, request: Request) -> Outcome:
    """Apply a layer to a file and write the result.

    Sound keeps its bits, and its rate is multiplied by the stride. Whole numbers are exact, rounded half up and
    clamped. With a whole factor, an image is enlarged as by `upsample_file`.

    Raises:
        UsageError: if the request does not fit the file, or would overwrite it or the weights.
        GeometryError: if torch would refuse the layer.
        ImageError: if a file cannot be read or written.
    """
    if request.tile is not None and request.tile < 1:
        raise UsageError(f"a tile of {request.tile} samples holds nothing", ("give ", Setting("tile", 1), " or more"))
    if source.exists():
        refuse_special(source, next_step="copy it into one")
    weights = None if request.weights is None else read_weights(request.weights)
    check_inputs_stay(target, [source] if weights is None else [source, weights.path])
    check_writable(target, overwrite=request.overwrite)
    kind = source.suffix.lower()
    if kind == ".wav":
        return _run_signal(read_wav(source), 1, target, request, weights)
    if kind == ".npy":
        axes = _wanted_axes(request, weights)
        signal = read_npy(source, axes)
        return _run_signal(signal, axes or signal.samples.ndim - 1, target, request, weights)
    if kind in TIFF_SUFFIXES:
        from upsample_cli.images.codecs.tiff.stack import is_stack  # imports Pillow and tifffile

        if _wanted_axes(request, weights) == 3 or (request.axes is None and is_stack(source)):
            return _run_signal(read_stack(source), 3, target, request, weights)
    from upsample_cli.tconv.run.image import run_image

    return run_image(source, target, request, weights)


def _wanted_axes(request: Request, weights: Weights | None) -> int | None:
    if request.axes is not None:
        return request.axes
    return None if weights is None else weights.axes


def _run_signal(signal: Signal, axes: int, target: Path, request: Request, weights: Weights | None) -> Outcome:
    if request.axes not in (None, axes):
        raise UsageError((Setting("axes", request.axes), " does not fit this file"), f"it has {axes}")
    suffix = target.suffix.lower()
    writers = {".npy": npy_bytes}
    if signal.sound is not None:
        writers[".wav"] = wav_bytes
    elif axes == 3:
        writers |= dict.fromkeys(TIFF_SUFFIXES, stack_bytes)
    if suffix not in writers:
        raise UsageError(f"{target}: this input is not written as {suffix!r}", f"use {' or '.join(writers)}")
    layer = layer_of(request, axes, weights)
    layer.output_sizes(signal.samples.shape[1:])
    filled = filled_layer(layer, request, weights, signal.samples.shape, peak=signal.peak)
    shape = filled.output_shape(signal.samples.shape)
    form = signal
    if suffix in TIFF_SUFFIXES:
        check_stack(shape)
    elif suffix == ".wav":
        form = _with_sound(signal, layer.each_axis[0].stride, shape)
    samples = applied(filled, signal.samples, request, limits=signal.limits)
    if suffix == ".npy" and signal.limits is not None:
        samples = samples.astype(np.int16 if signal.limits[1] < 2**15 else np.int32)
    content = writers[suffix](replace(form, samples=samples))
    with new_file(target, overwrite=request.overwrite, sources=[signal.source]) as file:
        file.write(content)
    return Outcome(layer, signal.samples.shape, shape, request.border_used, form.losses)


def _with_sound(signal: Signal, stride: int, shape: Sequence[int]) -> Signal:
    """The form of a result of the shape (channels, length): how its sound is stored, and the losses.

    The rate is multiplied by the stride, so that the duration does not change.
    """
    assert signal.sound is not None
    sound = replace(signal.sound, rate=signal.sound.rate * stride)
    check_sound(shape, sound)
    if not sound.speakers or len(signal.samples) == shape[0]:
        return replace(signal, sound=sound)
    lost = Loss("metadata", "the speakers of the channels are left out, because their number changes")
    return replace(signal, sound=replace(sound, speakers=0), losses=(*signal.losses, lost))
