"""How large the picture inside a TIFF's strip or tile says it is, where that has a header of its own.

A decoder takes the memory that this header asks for, whatever the TIFF around it says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

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
    from upsample_cli.pictures.opening import webp_size

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


_SIZES: dict[int, Callable[[bytes], tuple[int, int] | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), jpeg_size),
    **dict.fromkeys((34927, 50001), _webp_size),
    34933: _png_size,
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000_size),
}


def is_larger(data: bytes, compression: int, height: int, width: int) -> bool:
    """Whether a segment of that compression (TIFF's number) says it is larger than a strip or tile of this size.

    JPEG XL, JPEG XR and LERC are not looked into.
    """
    size = _SIZES[compression](data) if compression in _SIZES else None
    return size is not None and size[0] * size[1] > height * width
