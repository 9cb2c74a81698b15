"""Read the chunks of a PNG, and make one.

Source: the PNG specification (W3C, third edition), chapters 5 and 11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

XMP_KEYWORD = "XML:com.adobe.xmp"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk: length, kind, data, CRC.

    >>> png_chunk(b"IEND", b"").hex(" ")
    '00 00 00 00 49 45 4e 44 ae 42 60 82'
    """
    return b"".join((len(data).to_bytes(4, "big"), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")))


def read_chunks(file: BinaryIO, at: int = len(SIGNATURE)) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of each chunk and the size of its data in bytes, with the file's position at the data.

    The last chunk is IEND. The end of the file, or a size that PNG forbids, ends the iteration earlier.

    Args:
        file: a seekable file; its position may be moved between two chunks.
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


def head_of(png: bytes) -> bytes | None:
    """The chunks before the pixels, as a PNG without pixels. Files with the same head differ only in their pixels.

    Args:
        png: a whole file.

    Returns:
        None if it is an animation, if it has long or damaged chunks before the pixels, or anything but IEND after them.

    >>> head, end = SIGNATURE + png_chunk(b"IHDR", bytes(13)), png_chunk(b"IEND", b"")
    >>> head_of(head + png_chunk(b"IDAT", b"a") + end) == head + png_chunk(b"IDAT", b"") + end
    True
    >>> head_of(head + png_chunk(b"IDAT", b"a") + png_chunk(b"tEXt", b"a") + end) is None
    True
    """
    at = len(SIGNATURE)
    while at < _MOST_HEAD_BYTES and (kind := png[at + 4 : at + 8]) not in {b"IDAT", b"acTL", b""}:
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    if at >= _MOST_HEAD_BYTES or kind != b"IDAT":
        return None
    head = png[:at]
    while png[at + 4 : at + 8] == b"IDAT":
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return head + _NO_PIXELS + _END if png[at:] == _END else None


_MOST_HEAD_BYTES = 1 << 12
_NO_PIXELS, _END = png_chunk(b"IDAT", b""), png_chunk(b"IEND", b"")


def read_data(file: BinaryIO, kind: bytes, size: int) -> bytes:
    """The data of a chunk. The file's position is at the data, and moves to the next chunk.

    Raises:
        ValueError: the chunk's checksum is wrong.
    """
    data = file.read(size)
    if int.from_bytes(file.read(4), "big") != zlib.crc32(data, zlib.crc32(kind)):
        raise ValueError("a chunk whose checksum is wrong")
    return data
