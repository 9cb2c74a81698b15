"""Read and write WAV files: PCM with up to 32 bits and floating point, with a plain or an extensible header.

Source: Microsoft, Multiple channel audio data and WAVE files (WAVEFORMATEXTENSIBLE); EBU Tech 3306 for RF64.
"""

from __future__ import annotations

import io
import os
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError, Loss, UsageError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OTHER_FORMATS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 49: "GSM", 80: "MPEG", 85: "MP3"}
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
"""The bytes after the format's number in the GUID of an extensible header."""
_WITHOUT_MEANING = {b"fact", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"ds64"}
"""Chunks that only fill space or repeat what the samples say; their loss is not reported."""
_MOST_CHUNKS = 1000
_UNKNOWN = 2**32 - 1
"""The stated size of the data in a file that was streamed, or whose 64-bit size is in another chunk."""
_MOST_SOUND_BYTES = 2**32 - 2**16
"""The most bytes of a WAV file, and of one second of it: the format has 32 bits for both."""


@dataclass(frozen=True, slots=True)
class Sound:
    """How a WAV file stores samples.

    Args:
        rate: samples per second.
        bits: bits of a sample: 1 to 32 for whole numbers, 32 or 64 for floating point.
        width: bytes of a stored sample, of which the upper `bits` bits are used.
        is_float: whether samples are floating point.
        speakers: the speaker mask of an extensible header; None for a plain header.
    """

    rate: int
    bits: int
    width: int
    is_float: bool = False
    speakers: int | None = None

    @property
    def limits(self) -> tuple[int, int] | None:
        """The smallest and the largest sample of whole numbers; None for floating point."""
        return None if self.is_float else (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)


def read_sound(path: Path, file: BinaryIO, most: int) -> tuple[NDArray[Any], Sound, tuple[Loss, ...]]:
    """Read samples (channels, length), how they are stored, and the losses of other chunks.

    Whole numbers are int32. 8-bit samples are centred on 0.

    Args:
        path: path of the file, for messages.
        file: the open file.
        most: the most samples to read.

    Raises:
        ImageError: if the file is damaged, is too large, or is not a WAV file.
    """
    form, start, length, others = _chunks(path, file)
    channels, sound = _form(path, form)
    there = max(0, os.fstat(file.fileno()).st_size - start)
    losses = [Loss("metadata", f"chunks of the WAV file are left out: {', '.join(others)}")] if others else []
    if length > there:
        frames = (length - there) // (channels * sound.width) if length < _UNKNOWN else 0
        losses += [Loss("frames", f"the file ends {frames} samples too soon")] if frames else []
        length = there
    count = length // (channels * sound.width)
    if count * channels > most:
        raise ImageError(path, f"has more than {most} samples", "cut it into pieces", kind="too-large")
    if not count:
        raise ImageError(path, "holds no samples")
    file.seek(start)
    content = file.read(count * channels * sound.width)
    count = len(content) // (channels * sound.width)
    raw = np.frombuffer(content[: count * channels * sound.width], np.uint8).reshape(count, channels, sound.width)
    samples, sound = _numbers(raw, sound)
    return np.ascontiguousarray(samples.T), sound, tuple(losses)


def _chunks(path: Path, file: BinaryIO) -> tuple[bytes, int, int, list[str]]:
    """The format chunk, the offset and the length in bytes of the samples, and the names of other chunks."""
    kind, _, what = struct.unpack("<4sI4s", _read(path, file, 12))
    if kind not in (b"RIFF", b"RF64", b"BW64") or what != b"WAVE":
        raise _not_sound(path, "it is not a WAV file", kind="unsupported")
    form, data, long_data, others = b"", None, None, []
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        start = file.tell()
        if name == b"fmt ":
            form = _read(path, file, min(length, 40))
        elif name == b"ds64":
            (long_data,) = struct.unpack("<8xQ", _read(path, file, 16))
        elif name == b"data" and data is None:
            length = long_data if length == _UNKNOWN and long_data is not None else length
            data = start, length
        elif name not in _WITHOUT_MEANING:
            others.append(name.decode("latin-1").strip())
        file.seek(min(start + length + length % 2, 2**62))
    if not form or data is None:
        raise _not_sound(path, "it ends before its samples")
    return form, *data, others


def _read(path: Path, file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise _not_sound(path, "it ends too soon")
    return content


def _not_sound(path: Path, why: str, *, kind: str = "damaged") -> ImageError:
    return ImageError(path, f"is not PCM sound: {why}", "convert it to 16-bit PCM", kind=kind)


def _form(path: Path, form: bytes) -> tuple[int, Sound]:
    """Parse a format chunk: the number of channels, and how samples are stored."""
    if len(form) < 16:
        raise _not_sound(path, "its header is too short")
    number, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", form[:16])
    speakers, valid = None, bits
    if number == _EXTENSIBLE:
        if len(form) < 40:
            raise _not_sound(path, "its header is too short")
        valid, speakers, number = struct.unpack("<HIH", form[18:26])
        if form[26:40] != _SUBFORMAT:
            raise _not_sound(path, "its samples are coded in an unknown way", kind="unsupported")
    if number not in (_PCM, _FLOAT):
        name = _OTHER_FORMATS.get(number, "coded in another way")
        raise _not_sound(path, f"its samples are {name} (format {number})", kind="unsupported")
    if not channels or not bits:
        raise _not_sound(path, "it has no channels" if bits else "its samples have no bits")
    if (number == _FLOAT and bits not in (32, 64)) or (number == _PCM and bits > 32):
        kind = "floating-point samples" if number == _FLOAT else "samples"
        raise ImageError(path, f"has {kind} of {bits} bits", "convert it to 16-bit PCM", kind="unsupported")
    width = (bits + 7) // 8
    if number == _PCM and frame_bytes % channels == 0 and width < frame_bytes // channels <= 4:
        width = frame_bytes // channels
    used = valid if number == _PCM and 0 < valid <= bits else bits
    return channels, Sound(rate, used, width, number == _FLOAT, speakers)


def _numbers(raw: NDArray[np.uint8], sound: Sound) -> tuple[NDArray[Any], Sound]:
    """Samples (length, channels). If unused bits are not 0, all bits are taken as used."""
    width = sound.width
    if sound.is_float:
        return np.ascontiguousarray(raw).view(f"<f{width}")[..., 0].astype(f"f{width}"), sound
    if width == 1:
        samples = raw[..., 0].astype(np.int32) - 128
    else:
        widened = np.zeros((*raw.shape[:2], 4), dtype=np.uint8)
        widened[..., 4 - width :] = raw  # into the upper bytes, so that the sign is correct
        samples = widened.view("<i4")[..., 0] >> (8 * (4 - width))
    unused = 8 * width - sound.bits
    if unused and (samples & (2**unused - 1)).any():
        return samples, Sound(sound.rate, 8 * width, width, speakers=sound.speakers)
    return samples >> unused, sound


def check_sound(shape: Sequence[int], sound: Sound) -> None:
    """Refuse samples of the shape (channels, length) that a WAV file cannot hold."""
    channels, length = shape
    frame_bytes = channels * sound.width
    if max(length, sound.rate) * frame_bytes > _MOST_SOUND_BYTES or frame_bytes >= 2**16:
        raise UsageError("the result is too much for a WAV file", "give an output in .npy")


def sound_bytes(samples: NDArray[Any], sound: Sound) -> bytes:
    """The bytes of a WAV file of samples (channels, length), which must be within `sound.limits`. See `check_sound`."""
    channels, width = len(samples), sound.width
    frame_bytes = channels * width
    content = _content(samples, sound)
    if sound.speakers is None and not sound.is_float and sound.bits == 8 * width:
        return _plain(content, channels, sound)
    number = _FLOAT if sound.is_float else _PCM
    head = struct.pack("<HIIHH", channels, sound.rate, sound.rate * frame_bytes, frame_bytes, 8 * width)
    if sound.speakers is None:
        bits = struct.pack("<H", sound.bits)
        form = struct.pack("<H", number) + head[:-2] + bits + (b"\0\0" if sound.is_float else b"")
    else:
        more = struct.pack("<HHIH", 22, sound.bits, sound.speakers, number)
        form = struct.pack("<H", _EXTENSIBLE) + head + more + _SUBFORMAT
    fact = _chunk(b"fact", struct.pack("<I", samples.shape[1])) if sound.is_float else b""
    chunks = b"WAVE" + _chunk(b"fmt ", form) + fact + _chunk(b"data", content)
    return _chunk(b"RIFF", chunks)


def _content(samples: NDArray[Any], sound: Sound) -> bytes:
    frames = np.ascontiguousarray(samples.T)
    if sound.is_float:
        return frames.astype(f"<f{sound.width}").tobytes()
    frames = frames << (8 * sound.width - sound.bits)
    if sound.width == 1:
        return (frames + 128).astype(np.uint8).tobytes()
    return np.ascontiguousarray(frames.astype("<i4")[..., None].view(np.uint8)[..., : sound.width]).tobytes()


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _plain(content: bytes, channels: int, sound: Sound) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(sound.width)
        file.setframerate(sound.rate or 1)
        file.writeframes(content)
    return buffer.getvalue()
