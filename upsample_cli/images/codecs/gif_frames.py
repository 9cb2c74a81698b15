"""The frames of a GIF, and whether they leave out a part of the image. It imports no numpy: plans need it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

from upsample_cli.images.codecs.gif import frame_parts

TO_NOTHING, TO_PREVIOUS = 2, 3
"""What a frame's place becomes when the next frame comes: transparent, or what it was before the frame."""


class GifFrame(NamedTuple):
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
    for frame in gif_frames(file):
        shown = before and not (_covers(frame, height, width) and frame.clear is None)
        if shown:
            return True
        before = True if frame.disposal == TO_NOTHING else before if frame.disposal == TO_PREVIOUS else shown
    return False


def is_partial(file: BinaryIO, height: int, width: int) -> bool:
    """Whether the first frame leaves out a part of the image. The file's position is moved."""
    return any(not _covers(frame, height, width) for frame in islice(gif_frames(file), 1))


def _covers(frame: GifFrame, height: int, width: int) -> bool:
    return frame.left == frame.top == 0 and frame.width >= width and frame.height >= height


def gif_frames(file: BinaryIO) -> Iterator[GifFrame]:
    """All frames, in order. The file's position is moved."""
    for control, descriptor, at, end in frame_parts(file):
        left, top, width, height, flags = struct.unpack("<4HB", descriptor)
        packed, delay, index = struct.unpack("<BHB", control) if control else (0, 0, 0)
        yield GifFrame(at, end, left, top, width, height, flags, packed >> 2 & 7, index if packed & 1 else None, delay)
