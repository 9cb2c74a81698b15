"""Reading and writing files that are not images: WAV, .npy, TIFF stacks. Arrays are (channels, *sizes)."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.atomic.files import in_memory
from upsample_cli.atomic.opened import OpenedFile, opened
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.kernels.weights.files import readable
from upsample_cli.kernels.weights.npy import read_array

MOST_SAMPLES = 2**29
"""Of an input or an output: all of them are in memory at once."""
_MOST_SOUND_BYTES = 2**32 - 2**16
"""Of a WAV file, and of one second of it: the format has 32 bits for both."""
TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Signal:
    """Samples of one to three axes.

    Args:
        source: their file.
        samples: (channels, *sizes), whole numbers or floating point. 8-bit sound is centred on 0 here.
        has_channels: whether the array in the file has an axis for channels.
        rate: of sound, samples per second.
        bits: of sound, per sample: 8, 16, 24 or 32.
    """

    source: OpenedFile
    samples: NDArray[Any]
    has_channels: bool
    rate: int | None = None
    bits: int | None = None

    @property
    def limits(self) -> tuple[int, int] | None:
        """The smallest and the largest sample of sound."""
        return None if self.bits is None else (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    @property
    def peak(self) -> int | None:
        """The largest magnitude of whole-number samples; None for floating point."""
        if self.bits is not None:
            return int(2 ** (self.bits - 1))
        if self.samples.dtype.kind == "f":
            return None
        information = np.iinfo(self.samples.dtype)
        return max(int(information.max), -int(information.min))


def read_wav(path: Path) -> Signal:
    """PCM sound of 8, 16, 24 or 32 bits.

    Raises:
        ImageError: it cannot be read, or is not PCM.
    """
    try:
        with readable(path), path.open("rb") as opened_file, wave.open(opened_file, "rb") as file:
            source = opened(path, opened_file)
            channels, width, rate, count = file.getparams()[:4]
            if min(count, source.status.st_size // (channels * width)) * channels > MOST_SAMPLES:
                raise ImageError(path, f"has more than {MOST_SAMPLES} samples", "cut it into pieces", kind="too-large")
            content = file.readframes(count)
    except (wave.Error, EOFError) as error:
        kind = "damaged" if isinstance(error, EOFError) else "unsupported"
        cause = f"is not PCM sound: {error or 'it ends too soon'}"
        raise ImageError(path, cause, "convert it to 16-bit PCM", kind=kind) from error
    if width > 4:
        raise ImageError(path, f"has samples of {8 * width} bits", "convert it to 16-bit PCM", kind="unsupported")
    whole = len(content) // (channels * width) * channels * width
    if not whole:
        raise ImageError(path, "holds no samples")
    raw = np.frombuffer(content[:whole], dtype=np.uint8).reshape(-1, channels, width)
    if width == 1:
        samples = raw[..., 0].astype(np.int32) - 128
    else:
        widened = np.zeros((*raw.shape[:2], 4), dtype=np.uint8)
        widened[..., 4 - width :] = raw  # in the upper bytes, for the sign
        samples = widened.view("<i4")[..., 0] >> (8 * (4 - width))
    return Signal(source, np.ascontiguousarray(samples.T), True, rate, 8 * width)


def wav_bytes(signal: Signal) -> bytes:
    """A WAV file of PCM samples, (channels, length) within `signal.limits`."""
    width = (signal.bits or 16) // 8
    frame_bytes = len(signal.samples) * width
    if max(signal.samples.size * width, (signal.rate or 1) * frame_bytes) > _MOST_SOUND_BYTES or frame_bytes >= 2**16:
        raise UsageError("the result is too much for a WAV file", "give an output in .npy")
    frames = np.ascontiguousarray(signal.samples.T)
    if width == 1:
        content = (frames + 128).astype(np.uint8).tobytes()
    else:
        content = np.ascontiguousarray(frames.astype("<i4")[..., None].view(np.uint8)[..., :width]).tobytes()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(signal.samples))
        file.setsampwidth(width)
        file.setframerate(signal.rate or 1)
        file.writeframes(content)
    return buffer.getvalue()


def read_npy(path: Path, axes: int | None) -> Signal:
    """An array. With one axis more than `axes`, the first is channels. By default all axes count, up to three.

    Raises:
        ImageError: it cannot be read.
        UsageError: it has another number of axes.
    """
    with readable(path), path.open("rb") as file:
        source = opened(path, file)
        try:
            array = read_array(file, MOST_SAMPLES)
        except OSError:
            raise
        except Exception as error:  # numpy raises many kinds for a damaged header
            raise ImageError(path, f"is not an array: {' '.join(str(error).split())[:200]}") from error
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
    """A .npy file of the samples, without an axis for channels if the input had none."""
    squeezed = not signal.has_channels and len(signal.samples) == 1
    return in_memory(lambda file: np.save(file, signal.samples[0] if squeezed else signal.samples))


def read_stack(path: Path) -> Signal:
    """A TIFF stack as (1, depth, height, width).

    Raises:
        ImageError: it cannot be read, or is not a stack of grey pages.
    """
    from upsample_cli.images.codecs.input_file import regular_file
    from upsample_cli.images.codecs.tiff import stack  # tifffile with it

    with regular_file(path) as file:
        return _signal(opened(path, file), stack.read_stack(file), 3)


def stack_bytes(signal: Signal) -> bytes:
    """A TIFF stack of (1, depth, height, width) samples."""
    if len(signal.samples) != 1:
        raise UsageError(f"a TIFF stack of {len(signal.samples)} channels is not written", "give an output in .npy")
    import tifffile  # with the first TIFF

    buffer = io.BytesIO()
    big = signal.samples.nbytes > 2**32 - 2**25
    tifffile.imwrite(buffer, signal.samples[0], photometric="minisblack", metadata={"axes": "ZYX"}, bigtiff=big)
    return buffer.getvalue()
