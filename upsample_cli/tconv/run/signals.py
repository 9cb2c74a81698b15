"""Read and write files that are not images: WAV, .npy, TIFF stacks. Arrays are (channels, *sizes)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.files import in_memory
from upsample_cli.atomic.opened import OpenedFile, opened
from upsample_cli.errors import ImageError, Loss, UsageError
from upsample_cli.kernels.weights.files import readable
from upsample_cli.kernels.weights.npy import read_array
from upsample_cli.tconv.run.wav import Sound, read_sound, sound_bytes
from upsample_cli.text import short_cause

MOST_SAMPLES = 2**29
"""The most samples of an input or an output: all of them are in memory at the same time."""
TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Signal:
    """Samples with one to three axes.

    Args:
        source: the file.
        samples: (channels, *sizes), whole numbers or floating point. 8-bit sound is centred on 0.
        has_channels: whether the array in the file has an axis for channels.
        sound: how a sound is stored; None for other files.
        losses: other contents of the file, which the output does not get.
    """

    source: OpenedFile
    samples: NDArray[Any]
    has_channels: bool
    sound: Sound | None = None
    losses: tuple[Loss, ...] = ()

    @property
    def limits(self) -> tuple[int, int] | None:
        """The smallest and the largest sample of a sound with whole numbers; otherwise None."""
        return None if self.sound is None else self.sound.limits

    @property
    def peak(self) -> int | None:
        """The largest magnitude of whole-number samples; None for floating point."""
        if self.samples.dtype.kind == "f":
            return None
        if self.limits is not None:
            return -self.limits[0]
        information = np.iinfo(self.samples.dtype)
        return max(int(information.max), -int(information.min))


def read_wav(path: Path) -> Signal:
    """Read a WAV file: PCM with up to 32 bits, or floating point.

    Raises:
        ImageError: the file cannot be read, or has another coding.
    """
    with readable(path), path.open("rb") as file:
        source = opened(path, file)
        samples, sound, losses = read_sound(path, file, MOST_SAMPLES)
    return Signal(source, samples, True, sound, losses)


def wav_bytes(signal: Signal) -> bytes:
    """The bytes of a WAV file, for a signal that was read from one."""
    assert signal.sound is not None
    return sound_bytes(signal.samples, signal.sound)


def read_npy(path: Path, axes: int | None) -> Signal:
    """Read an array. With one axis more than `axes`, the first axis is channels.

    If `axes` is None, an array with up to three axes has no axis for channels.

    Raises:
        ImageError: the file cannot be read.
        UsageError: the array has another number of axes.
    """
    with readable(path), path.open("rb") as file:
        source = opened(path, file)
        try:
            array = read_array(file, MOST_SAMPLES)
        except OSError:
            raise
        except Exception as error:  # numpy raises many exceptions for a damaged header
            raise ImageError(path, f"is not an array: {short_cause(error)}", "save numbers with numpy.save") from error
    return _signal(source, array, axes)


def _signal(source: OpenedFile, array: NDArray[Any], axes: int | None) -> Signal:
    path = source.path
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        next_step = "give whole numbers or floating point"
        raise ImageError(path, "its numbers are of another kind", next_step, kind="unsupported")
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        cause = "whole numbers of 64 bits are not exact in the layer"
        raise ImageError(path, cause, "convert to int32 or float64", kind="unsupported")
    array = array.astype(array.dtype.newbyteorder("="))
    axes = min(array.ndim, 3) if axes is None else axes
    if array.ndim not in (axes, axes + 1) or not axes or 0 in array.shape:
        raise UsageError(
            f"{path}: an array of shape {array.shape} for {axes} axes", f"give {axes} axes, or {axes + 1} with channels"
        )
    has_channels = array.ndim > axes
    return Signal(source, array if has_channels else array[None], has_channels)


def npy_bytes(signal: Signal) -> bytes:
    """The bytes of a .npy file of the samples, with an axis for channels only if the input had one."""
    squeezed = not signal.has_channels and len(signal.samples) == 1
    return in_memory(lambda file: np.save(file, signal.samples[0] if squeezed else signal.samples))


def read_stack(path: Path) -> Signal:
    """Read a TIFF stack as (1, depth, height, width).

    Raises:
        ImageError: the file cannot be read, or is not a stack of grey pages.
    """
    from upsample_cli.images.codecs.input_file import regular_file
    from upsample_cli.images.codecs.tiff import stack  # imports tifffile

    with regular_file(path) as file:
        return _signal(opened(path, file), stack.read_stack(file), 3)


def check_stack(shape: Sequence[int]) -> None:
    """Refuse samples of the shape (channels, depth, height, width) that a TIFF stack cannot hold."""
    if shape[0] != 1:
        raise UsageError(f"a TIFF stack of {shape[0]} channels is not written", "give an output in .npy")


def stack_bytes(signal: Signal) -> bytes:
    """The bytes of a TIFF stack of samples (1, depth, height, width)."""
    import tifffile  # only for a TIFF

    buffer = io.BytesIO()
    big = signal.samples.nbytes > 2**32 - 2**25
    tifffile.imwrite(buffer, signal.samples[0], photometric="minisblack", metadata={"axes": "ZYX"}, bigtiff=big)
    return buffer.getvalue()
