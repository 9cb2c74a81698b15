"""Read Photoshop's image resources: captions, EXIF and XMP. Other resources are left out.

Source: Adobe Photoshop file format specification, "Image resource blocks".
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.left_out import counted_names

CAPTIONS = 0x0404
_EXIF, _XMP, _RESOLUTION, _ASPECT = 0x0422, 0x0424, 0x03ED, 0x0428
_MARKS = {b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"}
_HEAD_BYTES = 6

_SESSION = {
    0x03E8, 0x03E9, 0x03EA, 0x03EB, 0x03EE, 0x03EF, 0x03F1, 0x03F2, 0x03F3, 0x03F4, 0x03F5, 0x03F6, 0x03F7, 0x03F8,
    0x03F9, 0x03FA, 0x03FB, 0x03FC, 0x03FD, 0x03FE, 0x0400, 0x0402, 0x0406, 0x0409, 0x040C, 0x040D, 0x0411, 0x0412,
    0x0414, 0x0415, 0x0416, 0x0417, 0x0419, 0x041D, 0x0421, 0x0425, 0x0426, 0x0429, 0x042A, 0x042B, 0x042C, 0x042D,
    0x0430, 0x0432, 0x0433, 0x0434, 0x0435, 0x0436, 0x0438, 0x043A, 0x043B, 0x043C, 0x043D, 0x1F40, 0x2710,
}  # fmt: skip
"""Resources whose loss is not reported: settings of printing, halftones, layers, channels and views; thumbnails;
version numbers and checksums."""

_COUNTED = {0x0408: 12, 0x040A: 0, 0x041E: 0}
"""Offset of the count in guides, the copyright flag (one byte) and URLs. A resource whose count is 0 is empty."""

_NAMES = {
    0x03F0: "a caption", 0x0408: "guides", 0x040A: "the copyright flag", 0x040B: "a URL", 0x040F: "a colour profile",
    0x041A: "slices", 0x041E: "URLs", 0x0BB7: "clipping paths", 0x0410: "a watermark",
    **dict.fromkeys(range(0x07D0, 0x0BB7), "clipping paths"),
}  # fmt: skip
_SLICES = 0x041A


class Resources(NamedTuple):
    """The contents of the resources.

    Args:
        captions: IPTC-NAA records.
        exif: an Exif block.
        xmp: an XMP packet.
        dpi: dots per inch, (x, y).
        aspect: pixels per unit, (x, y), if they are not square.
        lost: the other resources: their names, and how many of each.
    """

    captions: bytes | None
    exif: bytes | None
    xmp: bytes | None
    dpi: tuple[float, float] | None
    aspect: tuple[int, int] | None
    lost: Counter[str]


def lost_resources(lost: Counter[str]) -> tuple[Loss, ...]:
    """The loss of resources, with their names; empty without resources."""
    if not lost:
        return ()
    return (Loss("metadata", f"resources of Photoshop are left out: {counted_names([*lost.items()])}"),)


def read_resources(block: bytes) -> Resources:
    """Read the resources of a block. Resources after a damaged one are lost."""
    found: dict[int, bytes] = {}
    lost: Counter[str] = Counter()
    captions: dict[bytes, None] = {}
    for code, data in _resources(block):
        if code == CAPTIONS:
            captions[data] = None
        elif code in {_EXIF, _XMP, _RESOLUTION, _ASPECT} and found.setdefault(code, data) == data:
            continue
        elif code is None:
            lost["damaged ones"] += 1
        elif code not in _SESSION and not _is_empty(code, data):
            lost[_NAMES.get(code, f"number {code}")] += 1
    return Resources(
        b"".join(captions) or None,
        found.get(_EXIF),
        found.get(_XMP),
        _dpi(found.get(_RESOLUTION, b"")),
        _aspect(found.get(_ASPECT, b"")),
        lost,
    )


def resource(block: bytes, code: int) -> bytes | None:
    """The data of the first resource with a code, or None."""
    return next((data for found, data in _resources(block) if found == code), None)


def _resources(block: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Code and data of each resource. At a damaged one, the code is None, and the iteration ends."""
    at = 0
    while block[at : at + 4] in _MARKS:
        code, name_bytes = int.from_bytes(block[at + 4 : at + 6], "big"), block[at + 6 : at + 7]
        start = at + _HEAD_BYTES + (name_bytes[0] + 2) // 2 * 2 if name_bytes else len(block)
        size = int.from_bytes(block[start : start + 4], "big")
        data = block[start + 4 : start + 4 + size]
        if start + 4 > len(block) or len(data) < size:
            yield None, b""
            return
        yield code, data
        at = start + 4 + size + size % 2
        if size % 2 and block[at : at + 4] not in _MARKS and block[at - 1 : at + 3] in _MARKS:
            at -= 1  # some programs leave out the padding byte
    if block[at:].strip(b"\0"):
        yield None, b""


def _is_empty(code: int, data: bytes) -> bool:
    if code == _SLICES:  # a single slice is the whole image
        name_bytes = 2 * int.from_bytes(data[20:24], "big")
        return data[:4] != b"\0\0\0\6" or int.from_bytes(data[24 + name_bytes : 28 + name_bytes], "big") < 2
    return code in _COUNTED and not any(data[_COUNTED[code] : _COUNTED[code] + 4])


def _dpi(data: bytes) -> tuple[float, float] | None:
    if len(data) < 16:
        return None
    across, down = struct.unpack(">I4xI4x", data[:16])  # always per inch; the unit is only for display
    return (across / 65536, down / 65536) if across and down else None


def _aspect(data: bytes) -> tuple[int, int] | None:
    """The aspect from the ratio of a pixel's width to its height."""
    width = struct.unpack(">d", data[4:12])[0] if len(data) >= 12 else 1.0
    return (1000, round(1000 * width)) if 0.02 < width < 50 and abs(width - 1) > 0.001 else None
