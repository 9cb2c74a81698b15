"""JPEG XR in strips and tiles, without the tags of its container for which the decoder prints a line.

Source: ITU-T T.832, annex A.
"""

from __future__ import annotations

import struct

JPEG_XR = frozenset({22610, 34934})
"""TIFF's numbers of the compression."""

_NEEDED = frozenset({*range(0xBC01, 0xBC05), *range(0xBC80, 0xBC84), *range(0xBCC0, 0xBCC6)})
"""Tags of the pixels. The decoder prints each tag that it does not know; it does not need any other."""


def without_other_tags(data: bytes) -> bytes:
    """The container without the entries that do not tell how to decode it; nothing moves.

    Raises:
        ValueError: its directory is outside it.

    >>> head = b"II" + bytes.fromhex("bc01 08000000 0200")
    >>> entries = [struct.pack("<HHII", tag, 4, 1, 7) for tag in (0xBC80, 0xBEEF)]
    >>> without_other_tags(head + b"".join(entries) + bytes(4))[8:].hex(" ")
    '01 00 80 bc 04 00 01 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'
    """
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    table, end = data[at + 2 : at + 2 + 12 * count], at + 2 + 12 * count
    if not count or end > len(data):
        raise ValueError("a JPEG XR without a directory")
    entries = [table[place : place + 12] for place in range(0, len(table), 12)]
    kept = [entry for entry in entries if int.from_bytes(entry[:2], "little") in _NEEDED]
    if len(kept) == count:
        return data
    directory = struct.pack("<H", len(kept)) + b"".join(kept) + data[end : end + 4]
    return data[:at] + directory.ljust(end + 4 - at, b"\0") + data[end + 4 :]
