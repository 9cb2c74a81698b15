"""GIF in: each frame of an animation is decoded as an image of its own by Pillow, and is composed here.

Pillow's composition differs from that of browsers: it fills what no frame covers, or what is cleared, with a colour if
the frame has no transparent index, and restores wrong pixels after several frames that restore what was before them.
Two frames are in memory at a time.
Source: GIF89a specification, appendix A; where it says background colour, browsers show what is behind the image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import GifImagePlugin

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.gif import frame_parts, palette_bytes
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.codecs.spliced import Piece, spliced
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import Frames, Rows

_TO_NOTHING, _TO_PREVIOUS = 2, 3
_HEAD_BYTES, _DESCRIPTOR_BYTES, _MOST_COLOURS = 13, 10, 256
_LOCAL = 0x80


class _Frame(NamedTuple):
    """One frame: where its descriptor starts and its data end, and what its control extension says."""

    at: int
    end: int
    left: int
    top: int
    width: int
    height: int
    flags: int
    disposal: int
    clear: int | None
    delay: int


def has_holes(file: BinaryIO, height: int, width: int) -> bool:
    """Whether any composed frame can be transparent. The file's position is moved."""
    before = True
    for frame in _frames(file):
        shown = before and not (_covers(frame, height, width) and frame.clear is None)
        if shown:
            return True
        before = True if frame.disposal == _TO_NOTHING else before if frame.disposal == _TO_PREVIOUS else shown
    return False


def is_partial(file: BinaryIO, height: int, width: int) -> bool:
    """Whether the first frame leaves out a part of the image. The file's position is moved."""
    return any(not _covers(frame, height, width) for frame in islice(_frames(file), 1))


def _covers(frame: _Frame, height: int, width: int) -> bool:
    return frame.left == frame.top == 0 and frame.width >= width and frame.height >= height


def composed_frames(
    file: BinaryIO, name: str, frames: Frames, height: int, width: int
) -> Iterator[tuple[Rows, Fraction] | ImageError]:
    """The composed frames, (height, width, channels) in `frames.layout`, and how many ms each is shown.

    A frame that cannot be read is an error in its place; what it would have changed stays as it is.

    Args:
        file: seekable; must stay open until the last frame.
        name: for messages.
        frames: with alpha if `has_holes`.
        height, width: of the image. What is outside is cut off.
    """
    channels = 3 if frames.layout is None else frames.layout.channels
    canvas = np.zeros((height, width, channels), np.uint8)
    for frame in islice(chain(list(_frames(file)), repeat(None)), frames.count):
        try:
            with readable(name, FORMATS["gif"]):
                if frame is None:
                    raise EOFError("truncated")
                box = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
                before = canvas[box].copy()
                indices, colours = _decoded(file, frame)
        except ImageError as error:
            yield error
            continue
        shown = indices[: before.shape[0], : before.shape[1]]
        pixels = colours[shown, :channels]
        canvas[box] = pixels if frame.clear is None else np.where((shown == frame.clear)[..., None], before, pixels)
        yield canvas, Fraction(10 * frame.delay)
        if frame.disposal == _TO_NOTHING:
            canvas[box] = 0
        elif frame.disposal == _TO_PREVIOUS:
            canvas[box] = before


def _frames(file: BinaryIO) -> Iterator[_Frame]:
    for control, descriptor, at, end in frame_parts(file):
        left, top, width, height, flags = struct.unpack("<4HB", descriptor)
        packed, delay, index = struct.unpack("<BHB", control) if control else (0, 0, 0)
        yield _Frame(at, end, left, top, width, height, flags, packed >> 2 & 7, index if packed & 1 else None, delay)


def _decoded(file: BinaryIO, frame: _Frame) -> tuple[Rows, Rows]:
    """The indices of a frame's own pixels, and its colours, (256, 4)."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    shared = palette_bytes(head[10])
    sides = struct.pack("<2H", frame.width, frame.height)
    alone = b"," + bytes(4) + sides + bytes((frame.flags,))
    start = frame.at + _DESCRIPTOR_BYTES
    palette: Piece = _HEAD_BYTES, _HEAD_BYTES + shared
    parts: list[Piece] = [head[:6] + sides + head[10:], palette, alone, (start, frame.end), b";"]
    image = GifImagePlugin.GifImageFile(spliced(file, parts))
    image.load()
    palette_at, size = (start, palette_bytes(frame.flags)) if frame.flags & _LOCAL else (_HEAD_BYTES, shared)
    file.seek(palette_at)
    stored = np.frombuffer(file.read(size), np.uint8).reshape(-1, 3)
    colours = np.zeros((_MOST_COLOURS, 4), np.uint8)
    colours[:, :3] = np.arange(_MOST_COLOURS, dtype=np.uint8)[:, None] if not size else 0
    colours[: len(stored), :3], colours[:, 3] = stored, 255
    return np.asarray(image), colours
