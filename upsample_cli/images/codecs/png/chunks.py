"""Chunks of a PNG: reading them one after the other, and writing one.

Source: the PNG specification (W3C, third edition), chapters 5 and 11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

XMP_KEYWORD = "XML:com.adobe.xmp"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, CRC.

    >>> png_chunk(b"IEND", b"").hex(" ")
    '00 00 00 00 49 45 4e 44 ae 42 60 82'
    """
    return b"".join((len(data).to_bytes(4, "big"), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")))


def read_chunks(file: BinaryIO, at: int = len(SIGNATURE)) -> Iterator[tuple[bytes, int]]:
    """Kind of each chunk and size of its data in bytes; the file stands at the data when the pair is yielded.

    The last one is IEND. A file that is cut short, or a size that PNG forbids, ends the walk earlier.

    Args:
        file: seekable; it may be moved between two chunks.
        at: offset of the first chunk.

    >>> import io
    >>> list(read_chunks(io.BytesIO(png_chunk(b"tEXt", b"a") + png_chunk(b"IEND", b"")), 0))
    [(b'tEXt', 1), (b'IEND', 0)]
    """
    while True:
        file.seek(at)
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or size >= 2**31:
            return
        yield kind, size
        if kind == b"IEND":
            return
        at += 12 + size


def read_data(file: BinaryIO, kind: bytes, size: int) -> bytes:
    """The data of the chunk that the file stands at.

    Raises:
        ValueError: the chunk's checksum is wrong.
    """
    data = file.read(size)
    if int.from_bytes(file.read(4), "big") != zlib.crc32(data, zlib.crc32(kind)):
        raise ValueError("a chunk whose checksum is wrong")
    return data
