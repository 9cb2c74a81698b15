"""Chunks of a PNG: reading them one after the other, writing one, and those that carry metadata.

Source: the PNG specification (W3C, third edition), chapters 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from upsample_cli.images.metadata import iptc
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import Metadata

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


def _keyword(text: str) -> bytes:
    """A keyword as near to `text` as PNG allows: 1 to 79 bytes of printable Latin-1, single spaces inside only."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).encode("latin-1", "replace")[:79].strip() or b"Comment"


def _international_text(keyword: bytes, text: bytes) -> bytes:
    # two zeros: not compressed; then a language tag and a translated keyword, both empty
    return png_chunk(b"iTXt", keyword + b"\0" + b"\0\0" + b"\0" + b"\0" + text)


def _text(keyword: str, value: str) -> bytes:
    name, text = _keyword(keyword), value.replace("\0", "")
    try:
        return png_chunk(b"tEXt", name + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _international_text(name, text.encode("utf-8", "replace"))


def metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    """The chunks between IHDR and IDAT that carry `metadata`.

    A resolution that PNG cannot hold is left out, zero bytes in text are dropped, keywords are made legal. XMP is
    written once, even if `text` holds it too.

    >>> [chunk[4:8] for chunk in metadata_chunks(Metadata(dpi=(300, 300), text=(("Author", "Ada"),)))]
    [b'pHYs', b'tEXt']
    """
    if metadata.icc_profile:
        yield png_chunk(b"iCCP", b"ICC profile\0" + b"\0" + zlib.compress(metadata.icc_profile, 9))
    dots_per_metre = [dots / METRES_PER_INCH for dots in metadata.dpi or ()]
    if dots_per_metre and all(0.5 < dots < 2**31 - 1 for dots in dots_per_metre):
        yield png_chunk(b"pHYs", struct.pack(">IIB", *map(round, dots_per_metre), 1))
    if metadata.exif:
        yield png_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _international_text(XMP_KEYWORD.encode(), metadata.xmp)
    if metadata.iptc:
        yield _text(iptc.PNG_KEYWORD, iptc.png_text(metadata.iptc))
    for keyword, value in metadata.text:
        if keyword != XMP_KEYWORD or not metadata.xmp:
            yield _text(keyword, value)
