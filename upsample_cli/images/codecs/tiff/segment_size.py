"""Read the size of the image inside a strip or tile of a TIFF, for compressions that have their own header.

A decoder allocates memory according to this header, not according to the TIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from upsample_cli.images.codecs.jpeg2000_tiles import CODESTREAM_START
from upsample_cli.images.codecs.jpeg_markers import FRAMES, START_OF_SCAN
from upsample_cli.images.codecs.jxl.bits import BitReader
from upsample_cli.images.codecs.jxl.codestream import MAGIC, coded_size
from upsample_cli.images.codecs.webp import webp_size

JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
"""TIFF's numbers of this compression."""
JPEG_XL, WEBP = frozenset({50002, 52546}), frozenset({34927, 50001})
LERC, PNG = 34887, 34933
_MOST_SIZE_BYTES = 10
"""The most bytes that the size in a JPEG XL takes."""

_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})


class JpegFrame(NamedTuple):
    """The frame header of a JPEG: its size in pixels, bits of a sample, and samples of a pixel."""

    height: int
    width: int
    bits: int
    samples: int


def jpeg_frame(data: bytes) -> JpegFrame | None:
    """The frame header of a JPEG; None if it does not have one. Source: ITU-T T.81, annex B.

    >>> jpeg_frame(bytes.fromhex("ffd8 ffc0 000b 08 0003 0005 01 01 11 00"))
    JpegFrame(height=3, width=5, bits=8, samples=1)
    """
    at = 0
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker in FRAMES:
            found = data[at + 4 : at + 10]
            if len(found) < 6:
                return None
            bits, height, width, samples = struct.unpack(">BHHB", found)
            return JpegFrame(height, width, bits, samples)
        if marker == START_OF_SCAN:
            return None
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH or not marker:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    return webp_size(data[:32]) if len(data) >= 32 else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", data, 16) if len(data) >= 24 else (0, 0)
    return height, width


def _jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    """Source: ITU-T T.800, annex A.5.1, the SIZ marker."""
    at = data.find(CODESTREAM_START)
    if at < 0 or len(data) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return bottom - top, right - left


def _jpeg_xl_size(data: bytes) -> tuple[int, int] | None:
    """The codestream may be in a box."""
    if data[4:8] == b"JXL ":
        at = data.find(b"jxlc") + 4 if b"jxlc" in data[:4096] else data.find(b"jxlp") + 8
        data = data[at:]
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + _MOST_SIZE_BYTES:
        return None
    return coded_size(BitReader(data, 8 * len(MAGIC)))


def _lerc_size(data: bytes) -> tuple[int, int] | None:
    """Height times samples per pixel, and width. Source: Esri's LERC specification, headers of both versions.

    From version 3, a checksum precedes the sizes. From version 4, the number of samples per pixel follows them. Several
    bands are stored as separate images, one after the other. If LERC is compressed again with deflate or Zstandard, its
    header cannot be read here.
    """
    if data[:10] == b"CntZImage " and len(data) >= 26:
        height, width = struct.unpack_from("<ii", data, 18)
        return height * data.count(b"CntZImage "), width
    if data[:6] == b"Lerc2 " and len(data) >= 26:
        version = struct.unpack_from("<i", data, 6)[0]
        height, width, samples = struct.unpack_from("<iii", data, 14 if version >= 3 else 10)
        return height * data.count(b"Lerc2 ") * (samples if version >= 4 else 1), width
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    frame = jpeg_frame(data)
    return None if frame is None else (frame.height, frame.width)


_SIZES: dict[int, Callable[[bytes], tuple[int, int] | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg_size),
    **dict.fromkeys(WEBP, _webp_size),
    PNG: _png_size,
    **dict.fromkeys(JPEG_2000, _jpeg_2000_size),
    **dict.fromkeys(JPEG_XL, _jpeg_xl_size),
    LERC: _lerc_size,
}


def is_larger(data: bytes, compression: int, height: int, width: int, samples: int = 1) -> bool:
    """Whether the header of a segment states a larger size than its strip or tile has.

    Args:
        data: the segment as stored.
        compression: TIFF's number of the compression.
        height, width: size of the strip or tile, in pixels.
        samples: samples per pixel.
    """
    size = _SIZES[compression](data) if compression in _SIZES else None
    return size is not None and size[0] * size[1] > height * width * (samples if compression == LERC else 1)
