"""Ways to change JPEG XL files."""

from __future__ import annotations

import struct

from upsample_cli.images.codecs.jxl.bits import BitReader, BitWriter
from upsample_cli.images.codecs.jxl.codestream import read_header


def with_extra(codestream: bytes, kind: int, *, is_associated: bool = False) -> bytes:
    """A codestream whose one extra channel, alpha of 8 bits, is said to be of another kind or associated."""
    header = read_header(codestream)
    at = header.depth_span[1] + 3  # after the flag of the buffers and the number of extra channels
    assert BitReader(codestream, at - 2).take(3) == 0b101
    out = BitWriter()
    out.copy(codestream, 0, at)
    out.put(0, 1)
    out.number(kind)
    out.put(0, 1 + 2 + 2 + 2)  # 8 bits, full size, no name
    if kind == 0:
        out.put(is_associated, 1)
    elif kind == 2:
        out.put(0, 4 * 16)  # the spot colour
    elif kind == 5:
        out.put(0, 2)  # the first colour filter
    out.copy(codestream, at + 1, header.end)
    return out.bytes() + codestream[header.end + 7 >> 3 :]


def with_size(codestream: bytes, height: int, width: int) -> bytes:
    """A codestream that claims another size."""
    header = read_header(codestream)
    out = BitWriter()
    out.copy(codestream, 0, 16)
    out.put(0, 1)
    out.number(height, ((1, 9), (1, 13), (1, 18), (1, 30)))
    out.put(0, 3)
    out.number(width, ((1, 9), (1, 13), (1, 18), (1, 30)))
    out.copy(codestream, header.metadata_at, header.end)
    return out.bytes() + codestream[header.end + 7 >> 3 :]


def boxed(*boxes: tuple[bytes, bytes]) -> bytes:
    """A container with these boxes."""
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    return start + b"".join(struct.pack(">I4s", len(data) + 8, kind) + data for kind, data in boxes)
