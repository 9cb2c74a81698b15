"""Small files that claim large resources, built byte by byte for the tests of bounds."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from support.corpus import png_chunk, saved
from upsample_cli.images.metadata import ifd, ifd_write

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_of_chunks(*chunks: tuple[bytes, bytes], behind: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A grey PNG of one pixel with chunks before and after its pixels."""
    head = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pieces = (head, *chunks, (b"IDAT", zlib.compress(b"\0\0")), *behind, (b"IEND", b""))
    return SIGNATURE + b"".join(png_chunk(*piece) for piece in pieces)


def deflated_text(count: int, text_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    """`count` iTXt chunks with `text_bytes` bytes of text each, compressed."""
    deflated = zlib.compress(b"a" * text_bytes, 9)
    return tuple((b"iTXt", b"k%d\0\1\0\0\0" % number + deflated) for number in range(count))


def jpeg_of_segments(marker: int, body: bytes, count: int) -> bytes:
    """A JPEG of 8 by 8 pixels after `count` segments."""
    image = saved(Image.new("RGB", (8, 8)), "JPEG")
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
    return image[:2] + segment * count + image[2:]


def profiles(count: int, size_bytes: int = 1 << 20) -> tuple[tuple[bytes, bytes], ...]:
    """`count` colour profiles of a megabyte."""
    return ((b"iCCP", b"p\0\0" + zlib.compress(bytes(size_bytes), 9)),) * count


def tiff_pages(count: int, side: int = 1, compression: int = 1, data: bytes = b"\x80") -> bytes:
    """A TIFF of `count` grey pages that share one strip."""
    pieces = [b"II*\0" + struct.pack("<I", 8 + len(data) + len(data) % 2), data + bytes(len(data) % 2)]
    at = sum(map(len, pieces))
    for number in range(count):
        fields = _page_fields(side, side, compression, (8, len(data)))
        directory = ifd_write.directory_bytes(fields, order="<", at=at)
        at += len(directory)
        directory = ifd_write.directory_bytes(
            fields, order="<", at=at - len(directory), next_at=at * (number + 1 < count)
        )
        pieces.append(directory)
    return b"".join(pieces)


def _page_fields(height: int, width: int, compression: int, strip: tuple[int, int]) -> list[ifd_write.Field]:
    longs = {256: width, 257: height, 273: strip[0], 278: height, 279: strip[1]}
    shorts = {258: 8, 259: compression, 262: 1, 277: 1}
    return [
        *(ifd_write.integers(tag, ifd.LONG, "<", value) for tag, value in longs.items()),
        *(ifd_write.integers(tag, ifd.SHORT, "<", value) for tag, value in shorts.items()),
    ]


def tiff_overlapping(count: int, entries: int = 4096) -> bytes:
    """A TIFF of `count` directories that begin 12 bytes apart, have `entries` entries, and point to the next.

    The first is a page of one pixel. The first two bytes of a directory are the last of an entry of the one before.
    """
    table = bytearray(struct.pack("<H", entries) * (6 * (count + entries) + 3))
    shorts = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 4, 277: 1, 278: 1, 279: 1}
    for index, (tag, value) in enumerate(shorts.items()):
        struct.pack_into("<HHIH", table, 2 + 12 * index, tag, ifd.SHORT, 1, value)
    for number in range(count):
        next_at = 8 + 12 * (number + 1) if number + 1 < count else 0
        struct.pack_into("<I", table, 12 * number + 2 + 12 * entries, next_at)
    return b"II*\0" + struct.pack("<I", 8) + bytes(table)


def tiff_of_shared_values(count: int, size_bytes: int) -> bytes:
    """A TIFF of one page with `count` entries for the offsets of its strips, all in the same half of the file."""
    shorts = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1, 279: 1}
    entries = [struct.pack("<HHIHH", tag, ifd.SHORT, 1, value, 0) for tag, value in shorts.items()]
    entries += [struct.pack("<HHII", 273, ifd.SHORT, size_bytes // 4, size_bytes // 2)] * count
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(size_bytes, b"\0")


def webp_of(width: int, height: int) -> bytes:
    """A lossless WebP of one colour: five symbols that never change take no bits."""
    bits, used = 0, 0

    def put(value: int, count: int) -> None:
        nonlocal bits, used
        bits |= value << used
        used += count

    put(width - 1, 14)
    put(height - 1, 14)
    put(0, 1 + 3 + 1 + 1 + 1)  # no alpha, version, no transform, no colour cache, no further tables
    for _ in range(5):
        put(1, 1)  # a simple table
        put(0, 1)  # with one symbol
        put(0, 1)  # with one bit
        put(0, 1)
    body = b"\x2f" + bits.to_bytes((used + 7) // 8, "little") + bytes(6)  # the reader reads ahead
    body += bytes(len(body) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def gif_of(count: int, side: int, frame: bytes = b"") -> bytes:
    """A GIF of `count` frames of one pixel on a large canvas."""
    one = frame or b"\x21\xf9\x04\0\1\0\0\0" + b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    palette = bytes((0, 0, 0, 255, 255, 255))
    return b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + palette + one * count + b";"


def gif_comments(count: int) -> bytes:
    """A GIF of one frame after `count` comments of one letter."""
    return gif_of(1, 1, frame=b"\x21\xfe\1c\0" * count + b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0")
