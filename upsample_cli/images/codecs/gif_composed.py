"""Compose the frames of a GIF. Each is decoded as an image of its own by Pillow.

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
from typing import BinaryIO

import numpy as np
from PIL import GifImagePlugin

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.gif import palette_bytes
from upsample_cli.images.codecs.gif_frames import TO_NOTHING, TO_PREVIOUS, GifFrame, gif_frames
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.codecs.spliced import Piece, spliced
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import Frames, Rows

_HEAD_BYTES, _DESCRIPTOR_BYTES, _MOST_COLOURS = 13, 10, 256
_LOCAL = 0x80


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
    for frame in islice(chain(list(gif_frames(file)), repeat(None)), frames.count):
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
        if frame.disposal == TO_NOTHING:
            canvas[box] = 0
        elif frame.disposal == TO_PREVIOUS:
            canvas[box] = before


def _decoded(file: BinaryIO, frame: GifFrame) -> tuple[Rows, Rows]:
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
