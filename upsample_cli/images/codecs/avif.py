"""Limit the item lists in the header of an AVIF before libavif reads them, which takes quadratic time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from upsample_cli.errors import ImageError

MAX_LIST_BYTES = 128 << 10
"""The most bytes of one list. An image with 4,096 tiles needs half of it."""

_LISTS = {b"iloc", b"iinf", b"iref", b"ipma"}
_CONTAINERS = {b"moov": 0, b"trak": 0, b"iprp": 0, b"meta": 4}
"""Boxes that contain boxes, and the number of bytes before the first one."""


def check_lists(file: BinaryIO, name: str) -> None:
    """Refuse a header with item lists that are too long.

    Raises:
        ImageError: a list is longer than `MAX_LIST_BYTES`; the message names it.
    """
    for kind, size_bytes in _boxes(file, 0, file.seek(0, 2)):
        if kind in _LISTS and size_bytes > MAX_LIST_BYTES:
            cause = f"lists more items in its header than any image has ({kind.decode()}, {size_bytes:,} bytes)"
            raise ImageError(name, cause, "convert it, or get a new copy")


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each box from `start` to `end`, including nested boxes."""
    for kind, at, stop in boxes_in(file, start, end):
        yield kind, stop - at
        if kind in _CONTAINERS:
            yield from _boxes(file, at + _CONTAINERS[kind], stop)


def boxes_in(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of content and end of each box from `start` to `end`, without nested boxes.

    Source: ISO/IEC 14496-12, 4.2: after a size of 1, a 64-bit size follows; a size of 0 means up to the end.
    """
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8).ljust(8, b"\0")), 16
        stop = end if size == 0 else min(start + size, end)
        if stop < start + head:
            return
        yield kind, start + head, stop
        start = stop
