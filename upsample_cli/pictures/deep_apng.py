"""Animated PNG of 16 bits, which Pillow cuts to 8 or garbles: its frames are decoded by libpng and composed here.

A frame is made a PNG of its own; it may cover a part of the picture, be laid over what is there, and be taken away
again before the next. One frame, and the one before it, are in memory at a time.
Source: the PNG specification (W3C, third edition), 11.3.6 and 13.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upsample_cli.pictures.model import Frames, Rows
from upsample_cli.pictures.png import SIGNATURE
from upsample_cli.pictures.png_chunks import png_chunk

_TO_NOTHING, _TO_PREVIOUS, _OVER = 1, 2, 1
_FULL = np.uint64(65535)
_KEPT = {b"IHDR", b"tRNS", b"fcTL", b"IDAT", b"fdAT"}


class _Control(NamedTuple):
    """A frame's fcTL."""

    sequence: int
    width: int
    height: int
    left: int
    top: int
    delay: int
    per_second: int
    disposal: int
    blending: int


def has_holes(file: BinaryIO, height: int, width: int) -> bool:
    """Whether a composed frame can be transparent although no pixel in the file is. The file's position is moved."""
    controls = [_control(_data(file, kind, size)) for kind, size in _chunks(file) if kind == b"fcTL"]
    first = controls[0] if controls else None
    covers = first is not None and (first.width, first.height) == (width, height) and first.disposal != _TO_PREVIOUS
    return not covers or any(each.disposal == _TO_NOTHING for each in controls)


def deep_frames(file: BinaryIO, frames: Frames, height: int, width: int) -> Iterator[tuple[Rows, Fraction]]:
    """Each frame composed: (height, width, channels) uint16 as `frames.layout` says, and how many ms it is shown.

    Args:
        file: seekable; must stay open, and its position be left alone, until the last frame.
        frames: of 16 bits, with alpha if `has_holes`.
        height, width: of the picture.

    Raises:
        ValueError, RuntimeError: the file is damaged.
    """
    if frames.layout is None:
        raise ValueError("pages are no animation")
    canvas = np.zeros((height, width, frames.layout.channels), np.uint16)
    count = 0
    for control, data in _frame_files(file):
        if count == frames.count:
            return
        if control.left + control.width > width or control.top + control.height > height:
            raise ValueError("a frame that leaves the picture")
        box = (slice(control.top, control.top + control.height), slice(control.left, control.left + control.width))
        before = canvas[box].copy()
        canvas[box] = _blended(_decoded(data, canvas.shape[2]), before, is_over=control.blending == _OVER)
        count += 1
        yield canvas, Fraction(1000 * control.delay, control.per_second or 100)
        if control.disposal == _TO_NOTHING:
            canvas[box] = 0
        elif control.disposal == _TO_PREVIOUS:  # which is nothing, if this is the first
            canvas[box] = before
    if count < frames.count:
        raise ValueError(f"{count} frames where {frames.count} are announced")


def _decoded(data: bytes, channels: int) -> NDArray[np.uint16]:
    from imagecodecs import png_decode

    pixels = png_decode(data)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype != np.uint16:
        raise ValueError("a frame of another depth")
    if pixels.shape[2] == channels - 1:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], _FULL)], axis=2)
    return pixels


def _blended(frame: NDArray[np.uint16], below: NDArray[np.uint16], *, is_over: bool) -> NDArray[Any]:
    """What is seen where a frame is; each number rounded once, half up."""
    if not is_over or frame.shape[2] in {1, 3}:
        return frame
    above, under = frame[..., -1:].astype(np.uint64), below[..., -1:].astype(np.uint64)
    weights = above * _FULL, under * (_FULL - above)
    alpha = weights[0] + weights[1]
    colour = (frame[..., :-1] * weights[0] + below[..., :-1] * weights[1] + alpha // 2) // np.maximum(alpha, 1)
    return np.concatenate([colour, (alpha + _FULL // 2) // _FULL], axis=2).astype(np.uint16)


def _frame_files(file: BinaryIO) -> Iterator[tuple[_Control, bytes]]:
    """Each frame's fcTL, and the frame as a PNG of its own."""
    head, key, control, pieces = b"", b"", None, list[bytes]()
    for kind, size in _chunks(file):
        data = _data(file, kind, size)
        if kind == b"IHDR":
            head = data
        elif kind == b"tRNS":
            key = png_chunk(kind, data)
        elif kind == b"fcTL":
            if control is not None:
                yield control, _png(head, key, control, pieces)
            control, pieces = _control(data), []
        elif control is not None:  # else the still picture, which is none of the animation's
            pieces.append(png_chunk(b"IDAT", data if kind == b"IDAT" else data[4:]))
    if control is not None:
        yield control, _png(head, key, control, pieces)


def _control(data: bytes) -> _Control:
    return _Control(*struct.unpack(">5I2H2B", data))


def _png(head: bytes, key: bytes, control: _Control, pieces: list[bytes]) -> bytes:
    own = png_chunk(b"IHDR", struct.pack(">II", control.width, control.height) + head[8:])
    return b"".join((SIGNATURE, own, key, *pieces, png_chunk(b"IEND", b"")))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of the chunks that matter here, the file just behind their head. Ends where the file does."""
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND":
            return
        if kind in _KEPT:
            yield kind, size
        at += 12 + size


def _data(file: BinaryIO, kind: bytes, size: int) -> bytes:
    data = file.read(size)
    if int.from_bytes(file.read(4), "big") != zlib.crc32(data, zlib.crc32(kind)):
        raise ValueError("a chunk whose checksum is wrong")
    return data
