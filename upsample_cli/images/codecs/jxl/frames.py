"""The frames of an animated JPEG XL: how long they are shown, and frames made of still images."""

from __future__ import annotations

from upsample_cli.images.codecs.jxl.bits import BitReader, BitWriter
from upsample_cli.images.codecs.jxl.codestream import Header
from upsample_cli.images.codecs.jxl.frame_header import (
    DURATION,
    REGULAR,
    SKIP_PROGRESSIVE,
    read_frame,
    skip_order,
    skip_pixels,
)

MAX_FRAMES = 20_000
"""The most frames of an animation that are looked for. Each takes about 50 µs."""

MAX_PARTS = 1 << 19
"""The most parts of all these frames. Each takes 2 to 4 µs. Frames of more have more pixels than are read."""


def shown_durations(data: bytes, header: Header, frames_at: int) -> list[int] | None:
    """The duration of each frame that is shown, in ticks; None if there are too many frames or parts.

    Args:
        data: the whole codestream.
        header: its header, of an animation.
        frames_at: where its frames start.

    Raises:
        ValueError: a frame is damaged or missing.
    """
    bits, found, parts = BitReader(data, 8 * frames_at), list[int](), 0
    for _ in range(MAX_FRAMES):
        frame = read_frame(bits, header)
        if frame.kind in {REGULAR, SKIP_PROGRESSIVE} and (frame.duration or frame.is_last):
            found.append(frame.duration)
        parts += frame.parts
        if parts > MAX_PARTS:
            return None
        skip_pixels(bits, frame.parts)
        if frame.is_last:
            return found
    return None


def as_frame(data: bytes, header: Header, frames_at: int, *, duration: int, is_last: bool) -> bytes:
    """The frames of a still image as one frame of an animation.

    Args:
        data: the codestream of the still image.
        header: its header.
        frames_at: where its frames start.
        duration: how long it is shown, in ticks; at least 1.
        is_last: whether it is the last frame of the animation.

    Raises:
        ValueError: the image consists of several layers.
    """
    bits = BitReader(data, 8 * frames_at)
    while True:
        start = bits.at
        frame = read_frame(bits, header)
        if frame.is_last:
            break
        if frame.kind in {REGULAR, SKIP_PROGRESSIVE}:
            raise ValueError("an image of several layers")
        skip_pixels(bits, frame.parts)
    out, end = BitWriter(), bits.at
    if frame.is_default:
        _put_default(out, header)
    else:
        out.copy(data, start, frame.last_at)
    out.number(duration, DURATION)
    out.put(is_last, 1)
    if not is_last:
        out.put(0, 2)  # later frames do not refer to it
    if frame.is_default:
        out.put(0b00_1_00, 5)  # no name, default filters, no extensions
    else:
        out.copy(data, frame.last_at + 1, end)
    skip_order(bits, frame.parts)
    out.copy(data, end, bits.at)
    bits.pad()
    return data[frames_at : start >> 3] + out.bytes() + data[bits.at >> 3 :]


def _put_default(out: BitWriter, header: Header) -> None:
    """Write the fields of a frame header that is all default, up to its duration."""
    out.put(0, 1 + 2 + 1 + 2)  # not all default, a regular frame, not modular, no flags
    out.put(0, 0 if header.is_xyb else 1)  # no YCbCr
    out.put(0, 2 * (1 + len(header.extra)))  # full size
    if header.is_xyb:
        out.put(3 | 2 << 3, 6)
    out.put(0, 2 + 1)  # one pass, no crop
    out.put(0, 2 * (1 + len(header.extra)))  # it replaces what was there
