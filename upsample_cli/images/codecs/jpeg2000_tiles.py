"""The tiles of a JPEG 2000 codestream. Source: ISO/IEC 15444-1, annexes A and B."""

from __future__ import annotations

import struct
from contextlib import suppress

CODESTREAM_START = b"\xff\x4f\xff\x51"
"""Two markers: of the codestream, and of its SIZ segment."""

_SEGMENTS_AT, _SIZES_AT = 2, 8
_START_OF_TILE_PART, _LEAST_PART_BYTES = 0xFF90, 14
_MARKERS = 0xFF00
_MOST_TILES = 65535


def tile_count(codestream: bytes) -> int:
    """The number of tiles that the SIZ segment states, which a codestream begins with.

    Raises:
        ValueError: it makes no sense.
        struct.error: it is truncated.
    """
    numbers: tuple[int, ...] = struct.unpack_from(">8I", codestream, _SIZES_AT)
    right, bottom, left, top, width, height, first_x, first_y = numbers
    if not width or not height or first_x > left or first_y > top:
        raise ValueError("its tiles make no sense")
    count = -(-(right - first_x) // width) * -(-(bottom - first_y) // height)
    if count > _MOST_TILES:
        raise ValueError("more tiles than have numbers")
    return count


def check_tiles(codestream: bytes) -> None:
    """Find every tile. The decoder fills a missing tile with one colour, if the codestream has its end.

    Raises:
        ValueError: a tile is missing, or it is not a codestream.
    """
    with suppress(struct.error):  # the end
        missing = set(range(tile_count(codestream)))
        at = _SEGMENTS_AT
        while missing:
            marker, size = struct.unpack_from(">HH", codestream, at)
            if marker < _MARKERS:
                raise ValueError("its codestream makes no sense")
            if marker != _START_OF_TILE_PART:  # a segment of the main header
                at += 2 + size
                continue
            tile, part_bytes = struct.unpack_from(">HI", codestream, at + 4)
            missing.discard(tile)
            at += part_bytes if part_bytes >= _LEAST_PART_BYTES else len(codestream)  # 0: to the end
        return
    raise ValueError("truncated")
