"""Read image file directories (IFD), which TIFF files and Exif blocks consist of. Every bound is checked.

Source: TIFF revision 6.0, section 2; BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NamedTuple

SHORT, LONG, RATIONAL, UNDEFINED, LONG8, IFD8 = 3, 4, 5, 7, 16, 18
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SIGNED = {6, 8, 9, 17}
INTEGERS = {1, SHORT, LONG, 13, LONG8, IFD8} | _SIGNED
_MAX_ENTRIES = 4096
"""The most entries to read: more than any image has. A damaged count must not cause minutes of reading."""

_BLOCK_BYTES = 512
"""Bytes to read from a file at once, because a directory is parsed in pieces of a few bytes."""

OVERLAP = "directories overlap"

MOST_PAGES = 65535
"""The most pages: as many as TIFF's tag for a page number can count."""

_MAGIC = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}


class Tiff(NamedTuple):
    """A TIFF structure being read.

    Args:
        order: "<" or ">", as `struct` writes byte order.
        big: whether it is BigTIFF, with 64-bit offsets.
        first: offset of the first directory.
        read: reads up to `size_bytes` bytes from an offset; fewer at the end, none beyond it.
    """

    order: str
    big: bool
    first: int
    read: Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory.

    Args:
        tag: TIFF's number for the meaning of the entry.
        kind: TIFF's number for the type of its values.
        count: number of values.
        at: offset of the entry.
        value_at: offset of its values.
        size_bytes: size of all its values; 0 if the type is unknown.
    """

    tag: int
    kind: int
    count: int
    at: int
    value_at: int
    size_bytes: int


class Directory(NamedTuple):
    """One directory: its entries, its offset, and the offset of the next one (0 after the last)."""

    entries: tuple[Entry, ...]
    at: int
    size_bytes: int
    next_at: int
    next_pointer_at: int

    def find(self, tag: int) -> Entry | None:
        """The first entry with a tag, or None."""
        return next((entry for entry in self.entries if entry.tag == tag), None)


def tiff_in_bytes(data: bytes | bytearray) -> Tiff:
    """Read the head of a TIFF structure in memory.

    Raises:
        ValueError: the data do not begin like a TIFF.
    """
    return _tiff(lambda at, size_bytes: bytes(data[at : at + size_bytes]))


def tiff_in_file(file: BinaryIO) -> Tiff:
    """Read the head of a TIFF file; the file's position is moved.

    Raises:
        ValueError: the file does not begin like a TIFF.
    """
    block, block_at = b"", 0

    def read(at: int, size_bytes: int) -> bytes:
        nonlocal block, block_at
        if at >= 2**63:
            return b""
        if not block_at <= at <= at + size_bytes <= block_at + len(block):
            file.seek(at)
            block, block_at = file.read(max(size_bytes, _BLOCK_BYTES)), at
        return block[at - block_at : at - block_at + size_bytes]

    return _tiff(read)


def _tiff(read: Callable[[int, int], bytes]) -> Tiff:
    head = read(0, 16)
    order, big = _MAGIC.get(head[:4], ("", False))
    if not order or len(head) < (16 if big else 8):
        raise ValueError("no TIFF structure")
    first = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
    return Tiff(order, big, first, read)


def read_directory(tiff: Tiff, at: int) -> Directory:
    """The directory at an offset. Values are not read; a missing pointer to the next directory counts as 0.

    Raises:
        ValueError: the directory is not inside the data.
    """
    count_size, entry_size, head, pointer = (8, 20, "HHQ", "Q") if tiff.big else (2, 12, "HHI", "I")
    counted = tiff.read(at, count_size) if at >= 8 else b""
    if len(counted) < count_size:
        raise ValueError(f"no directory at {at}")
    count = int.from_bytes(counted, "little" if tiff.order == "<" else "big")
    if count > _MAX_ENTRIES:
        raise ValueError(f"a directory of {count} entries")
    table = tiff.read(at + count_size, count * entry_size)
    if len(table) < count * entry_size:
        raise ValueError(f"the directory at {at} is truncated")
    pointer_at = at + count_size + count * entry_size
    pointed = tiff.read(pointer_at, count_size if tiff.big else 4)
    next_at = struct.unpack(tiff.order + pointer, pointed)[0] if len(pointed) == struct.calcsize(pointer) else 0
    entries = []
    for index in range(count):
        tag, kind, values = struct.unpack_from(tiff.order + head, table, index * entry_size)
        entry_at = at + count_size + index * entry_size
        inline_at = struct.calcsize("=" + head)
        size = SIZES.get(kind, 0) * values
        value_at = entry_at + inline_at
        if size > struct.calcsize(pointer):
            value_at = struct.unpack_from(tiff.order + pointer, table, index * entry_size + inline_at)[0]
        entries.append(Entry(tag, kind, values, entry_at, value_at, size))
    return Directory(tuple(entries), at, pointer_at - at + len(pointed), next_at, pointer_at)


def directories(tiff: Tiff) -> Iterator[Directory]:
    """The directories of a file's pages, in order; a damaged or circular chain ends early.

    Raises:
        ValueError: directories overlap, so a small file could have any number of entries.
    """
    ends: dict[int, int] = {}
    at, total_bytes, end = tiff.first, 0, 0
    while at and at not in ends and len(ends) < MOST_PAGES:
        try:
            directory = read_directory(tiff, at)
        except ValueError:
            break
        ends[at] = at + directory.size_bytes
        total_bytes, end = total_bytes + directory.size_bytes, max(end, ends[at])
        if total_bytes > end:
            raise ValueError(OVERLAP)
        yield directory
        at = directory.next_at
    if any(end > next_at for (_, end), (next_at, _) in pairwise(sorted(ends.items()))):
        raise ValueError(OVERLAP)


def values_fit(tiff: Tiff, at: int, size_bytes: int) -> bool:
    """Whether the values of a directory fit into `size_bytes` bytes without sharing bytes.

    Values outside the file and damaged directories are not read, so they are ignored.
    """
    try:
        entries = read_directory(tiff, at).entries
    except ValueError:
        return True
    return sum(entry.size_bytes for entry in entries if entry.value_at + entry.size_bytes <= size_bytes) <= size_bytes


def value_bytes(tiff: Tiff, entry: Entry) -> bytes | None:
    """The bytes of an entry's values as stored; None if a part is outside the data."""
    data = tiff.read(entry.value_at, entry.size_bytes) if entry.size_bytes else b""
    return data if data and len(data) == entry.size_bytes else None


def is_readable(tiff: Tiff, entry: Entry) -> bool:
    """Whether an entry has values, of a known type and inside the data."""
    return bool(entry.size_bytes and tiff.read(entry.value_at + entry.size_bytes - 1, 1))


def first_integer(tiff: Tiff, entry: Entry | None) -> int | None:
    """The first value of an entry; None if it is missing, negative, or not a whole number."""
    size = SIZES[entry.kind] if entry is not None and entry.kind in INTEGERS else 0
    if entry is None or not size or not entry.count:
        return None
    data = tiff.read(entry.value_at, size)
    value = int.from_bytes(data, "little" if tiff.order == "<" else "big", signed=entry.kind in _SIGNED)
    return value if len(data) == size and value >= 0 else None


def integer_of(tiff: Tiff, directory: Directory, tag: int, default: int) -> int:
    """`first_integer` of the entry of a tag; the default in place of None."""
    found = first_integer(tiff, directory.find(tag))
    return default if found is None else found
