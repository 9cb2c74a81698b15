"""How large the image inside a TIFF's strip or tile says it is, where that has a header of its own.

A decoder allocates what this header asks for, whatever the surrounding TIFF says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from upsample_cli.images.codecs.webp import webp_size

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
_START_OF_SCAN = 0xDA


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width in a JPEG's frame header; None if there is none. Source: ITU-T T.81, annex B.

    >>> jpeg_size(bytes.fromhex("ffd8 ffc0 000b 08 0003 0005 01 01 11 00"))
    (3, 5)
    """
    at = 0
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            found = data[at + 5 : at + 9]
            return struct.unpack(">HH", found) if len(found) == 4 else None
        if marker == _START_OF_SCAN:
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
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return bottom - top, right - left


def _jpeg_xl_size(data: bytes) -> tuple[int, int] | None:
    """Source: ISO/IEC 18181-1, D.2: bits, the lowest first, of the codestream, which may be in a box."""
    if data[4:8] == b"JXL ":
        at = data.find(b"jxlc") + 4 if b"jxlc" in data[:4096] else data.find(b"jxlp") + 8
        data = data[at:]
    if data[:2] != b"\xff\x0a" or len(data) < 12:
        return None
    bits = int.from_bytes(data[2:12], "little")

    def take(count: int) -> int:
        nonlocal bits
        taken, bits = bits & (1 << count) - 1, bits >> count
        return taken

    def side(small: int) -> int:
        return 8 * (take(5) + 1) if small else take(_XL_BITS[take(2)]) + 1

    small = take(1)
    height = side(small)
    ratio = _XL_RATIOS[take(3)]
    return height, height * ratio[0] // ratio[1] if ratio else side(small)


def _lerc_size(data: bytes) -> tuple[int, int] | None:
    """All samples of a pixel count as rows of their own. Source: Esri's LERC specification, headers of both versions.

    A checksum comes before the sizes from version 3, and the samples of a pixel after them from version 4; each of
    several bands is an image of its own, one after the other. Where LERC is wrapped in deflate or Zstandard, its head
    is not there to be read.
    """
    if data[:10] == b"CntZImage " and len(data) >= 26:
        height, width = struct.unpack_from("<ii", data, 18)
        return height * data.count(b"CntZImage "), width
    if data[:6] == b"Lerc2 " and len(data) >= 26:
        version = struct.unpack_from("<i", data, 6)[0]
        height, width, samples = struct.unpack_from("<iii", data, 14 if version >= 3 else 10)
        return height * data.count(b"Lerc2 ") * (samples if version >= 4 else 1), width
    return None


_XL_BITS = (9, 13, 18, 30)
_XL_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

_LERC = 34887

_SIZES: dict[int, Callable[[bytes], tuple[int, int] | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), jpeg_size),
    **dict.fromkeys((34927, 50001), _webp_size),
    34933: _png_size,
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000_size),
    **dict.fromkeys((50002, 52546), _jpeg_xl_size),
    _LERC: _lerc_size,
}


def is_larger(data: bytes, compression: int, height: int, width: int, samples: int = 1) -> bool:
    """Whether a segment of that compression (TIFF's number) says it is larger than a strip or tile of this size.

    Args:
        samples: of each of its pixels.
    """
    size = _SIZES[compression](data) if compression in _SIZES else None
    return size is not None and size[0] * size[1] > height * width * (samples if compression == _LERC else 1)
