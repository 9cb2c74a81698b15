"""Read animated PNG: each frame is made into a separate PNG, read like a still image, and composed here.

A frame may cover only a part of the image, be blended over it, and be removed before the next frame. Pillow does not
restore what a frame has covered, clears to black where there is no alpha, and cuts 16 bits to 8. Two frames are in
memory at a time.
Source: the PNG specification (W3C, third edition), 11.3.6 and 13.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import PngImagePlugin

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.pillow_pixels import how_to_read
from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk, read_chunks, read_data
from upsample_cli.images.codecs.png.reader import png_pixels
from upsample_cli.images.codecs.png.structure import Structure, structure_of
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import Frames, Layout, Rows

_TO_NOTHING, _TO_PREVIOUS, _OVER = 1, 2, 1
_CONTROL_LAYOUT, _CONTROL_BYTES = ">5I2H2B", 26


class _Control(NamedTuple):
    """The fcTL chunk of a frame."""

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
    controls = list[_Control]()
    for kind, size in read_chunks(file):
        if kind == b"fcTL":
            with suppress(ValueError, struct.error):  # a damaged frame is left out
                controls.append(_control(read_data(file, kind, size)))
    first = controls[0] if controls else None
    covers = first is not None and (first.width, first.height) == (width, height) and first.disposal != _TO_PREVIOUS
    return not covers or any(control.disposal == _TO_NOTHING for control in controls)


def composed_frames(
    file: BinaryIO, name: str, frames: Frames, height: int, width: int, *, has_profile: bool
) -> Iterator[tuple[Rows, Fraction] | ImageError]:
    """The composed frames, (height, width, channels) in `frames.layout`, and how many ms each is shown.

    A frame that cannot be read is an error in its place; what it would have changed stays as it is.

    Args:
        file: a seekable file; it must stay open, and its position must not be moved, until the last frame.
        frames: with alpha if `has_holes`.
        height, width: of the image.
        name: for messages.
        has_profile: see `pillow_pixels.how_to_read`.
    """
    layout = frames.layout
    if layout is None:
        raise ValueError("pages are not an animation")
    canvas = np.zeros((height, width, layout.channels), layout.dtype)
    for control, data in islice(_frame_files(file), frames.count):
        try:
            with readable(name, FORMATS["png"]):
                box = _box(control, height, width)
                before = canvas[box].copy()
                canvas[box] = _laid(_decoded(data, layout, has_profile), before, is_over=control.blending == _OVER)
        except ImageError as error:
            yield error
            continue
        yield canvas, Fraction(1000 * control.delay, control.per_second or 100)
        if control.disposal == _TO_NOTHING:
            canvas[box] = 0
        elif control.disposal == _TO_PREVIOUS:  # transparent, if this is the first frame
            canvas[box] = before


def _box(control: _Control, height: int, width: int) -> tuple[slice, slice]:
    if control.left + control.width > width or control.top + control.height > height:
        raise ValueError("a frame that leaves the image")
    return slice(control.top, control.top + control.height), slice(control.left, control.left + control.width)


def _decoded(data: bytes, layout: Layout, has_profile: bool) -> Rows:
    """The pixels of a frame, not composed. Opaque alpha is added if only the composed frames have alpha."""
    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    reading = how_to_read(image, io.BytesIO(data), "png", "frame", has_profile=has_profile)
    own, pixels = reading.layout, png_pixels(image, io.BytesIO(data), reading)
    if (own.colour, own.depth) != (layout.colour, layout.depth):
        raise ValueError(f"a frame of {own} where {layout} was announced")
    if own.alpha < layout.alpha:
        opaque = np.full_like(pixels[..., :1], np.iinfo(layout.dtype).max)
        pixels = np.concatenate([pixels, opaque], axis=2)
    return pixels


def _laid(frame: Rows, below: Rows, *, is_over: bool) -> Rows:
    """A frame over the pixels below it. Blended numbers are rounded once, half up."""
    if not is_over or frame.shape[2] in {1, 3}:
        return frame
    full = np.iinfo(frame.dtype).max
    seen = np.where(frame[..., -1:] == full, frame, below)
    mixed = (frame[..., -1] > 0) & (frame[..., -1] < full)
    above, under = frame[mixed].astype(np.uint64), below[mixed].astype(np.uint64)
    weights = above[:, -1:] * np.uint64(full), under[:, -1:] * (np.uint64(full) - above[:, -1:])
    alpha = weights[0] + weights[1]
    colour = (above[:, :-1] * weights[0] + under[:, :-1] * weights[1] + alpha // 2) // alpha
    seen[mixed] = np.concatenate([colour, (alpha + np.uint64(full // 2)) // np.uint64(full)], axis=1)
    return seen


def _frame_files(file: BinaryIO) -> Iterator[tuple[_Control, bytes]]:
    """The control of each frame, and the frame as a separate PNG; empty if the frame is damaged."""
    structure = structure_of(file, "")
    control, pieces, is_whole = None, list[bytes](), True
    for kind, size in read_chunks(file):
        if kind not in {b"fcTL", b"IDAT", b"fdAT"} or (control is None and kind != b"fcTL"):
            continue  # pixels before the first fcTL are a still image that is not part of the animation
        try:
            data, is_intact = read_data(file, kind, size), True
        except ValueError:
            data, is_intact = b"", False
        if kind != b"fcTL":
            pieces.append(png_chunk(b"IDAT", data[4 * (kind == b"fdAT") :]))
            is_whole &= is_intact
            continue
        if control is not None:
            yield control, _png(structure, control, pieces) if is_whole else b""
        is_whole = is_intact and len(data) == _CONTROL_BYTES
        control, pieces = _control(data.ljust(_CONTROL_BYTES, b"\0")[:_CONTROL_BYTES]), []
    if control is not None:
        yield control, _png(structure, control, pieces) if is_whole else b""


def _control(data: bytes) -> _Control:
    return _Control(*struct.unpack(_CONTROL_LAYOUT, data))


def _png(structure: Structure, control: _Control, pieces: list[bytes]) -> bytes:
    own = png_chunk(b"IHDR", struct.pack(">II", control.width, control.height) + structure.head[8:])
    return b"".join((SIGNATURE, own, structure.shared_chunks(), *pieces, png_chunk(b"IEND", b"")))
