"""Correct positions and lengths in pixels in an Exif block, for the turned and enlarged image.

Source: Exif 2.32 (CIPA DC-008). SubjectArea and SubjectLocation are in pixels of the stored image,
FocalPlaneXResolution is pixels per length on the sensor, and RelatedImageWidth is the width of the image that the block
belongs to.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.change import Change

_SUBJECT_TAGS = (0x9214, 0xA214)
_DENSITIES = ((0x011A, 0x011B, False), (0xA20E, 0xA20F, True), (0x920E, 0x920F, True))
"""Tags of a horizontal and a vertical resolution, and whether they are multiplied: a larger image has a larger print,
but the sensor does not grow."""

_COEFFICIENTS, _OF_JPEG, _NEAR = 0x0211, (299, 587, 114), 0.002
"""The coefficients are in thousandths, and those of JPEG are from ITU-R BT.601."""

_HEAD_BYTES, _ENTRY_BYTES, _MOST = 8, 12, 2**31
_RELATED = (0x1001, 0x1002)
_CODES = {1: "B", ifd.SHORT: "H", ifd.LONG: "I"}


def set_places(data: bytearray, tiff: ifd.Tiff, directories: list[ifd.Directory], change: Change) -> None:
    """Correct the values in place. Numbers that have become too large for their type are appended to the block."""
    _set_coefficients(data, tiff, directories)
    if change.orientation == 1 and change.across == change.down == 1:
        return
    for directory in directories:
        for tag in _SUBJECT_TAGS:
            _set_subject(data, tiff, _safe(directory.find(tag), directories), change)
        for *tags, grows in _DENSITIES:
            entries = [_safe(directory.find(tag), directories) for tag in tags]
            _set_densities(data, tiff, entries, change, grows=grows)
        _set_related(data, tiff, directory, change)


def _safe(entry: ifd.Entry | None, directories: list[ifd.Directory]) -> ifd.Entry | None:
    """The entry, or None if its values overlap a directory or the head of the block."""
    if entry is None or entry.at < entry.value_at < entry.at + _ENTRY_BYTES:
        return entry
    end = entry.value_at + entry.size_bytes
    tables = [(0, _HEAD_BYTES), *((directory.at, directory.at + directory.size_bytes) for directory in directories)]
    return None if any(start < end and entry.value_at < stop for start, stop in tables) else entry


def _set_subject(data: bytearray, tiff: ifd.Tiff, entry: ifd.Entry | None, change: Change) -> None:
    stored = ifd.value_bytes(tiff, entry) if entry is not None and entry.kind in _CODES else None
    if entry is None or stored is None or not 2 <= entry.count <= 4:
        return
    x, y, *sides = struct.unpack(f"{tiff.order}{entry.count}{_CODES[entry.kind]}", stored)
    try:
        new = change.area(x, y, *sides)
    except ValueError:  # a program has made the image smaller and has not corrected it
        return
    if max(new) < 256 ** ifd.SIZES[entry.kind]:
        struct.pack_into(f"{tiff.order}{len(new)}{_CODES[entry.kind]}", data, entry.value_at, *new)
        return
    at = len(data) + len(data) % 2
    data += bytes(at - len(data)) + struct.pack(f"{tiff.order}{len(new)}I", *new)
    struct.pack_into(f"{tiff.order}HHII", data, entry.at, entry.tag, ifd.LONG, len(new), at)


def _set_densities(
    data: bytearray, tiff: ifd.Tiff, entries: list[ifd.Entry | None], change: Change, *, grows: bool
) -> None:
    values = [_fraction(tiff, entry) for entry in entries]
    turned = values[::-1] if change.swapped and None not in values else values
    for entry, value, factor in zip(entries, turned, (change.across, change.down), strict=True):
        if entry is not None and value is not None and value * factor < _MOST:
            packed = ifd_write.rational(entry.tag, tiff.order, float(value * factor if grows else value)).value
            data[entry.value_at : entry.value_at + 8] = packed  # type: ignore[assignment]


def _fraction(tiff: ifd.Tiff, entry: ifd.Entry | None) -> Fraction | None:
    stored = ifd.value_bytes(tiff, entry) if entry is not None and entry.kind == ifd.RATIONAL else None
    if entry is None or stored is None or entry.count != 1:
        return None
    above, below = struct.unpack(tiff.order + "II", stored)
    return Fraction(above, below) if below else None


def odd_coefficients(tiff: ifd.Tiff, directory: ifd.Directory) -> tuple[ifd.Entry, tuple[float, ...]] | None:
    """The YCbCr coefficients of a directory, if they differ from JPEG's, which decoders use; otherwise None."""
    entry = directory.find(_COEFFICIENTS)
    stored = ifd.value_bytes(tiff, entry) if entry is not None and entry.kind == ifd.RATIONAL else None
    if entry is None or stored is None or entry.count != len(_OF_JPEG):
        return None
    parts = struct.unpack(tiff.order + "6I", stored)
    stated = tuple(above / below if below else 0 for above, below in zip(parts[::2], parts[1::2], strict=True))
    if all(abs(one - other / 1000) < _NEAR for one, other in zip(stated, _OF_JPEG, strict=True)):
        return None
    return entry, stated


def _set_coefficients(data: bytearray, tiff: ifd.Tiff, directories: list[ifd.Directory]) -> None:
    """Replace YCbCr coefficients that differ from JPEG's by JPEG's."""
    odd = odd_coefficients(tiff, directories[0])
    if odd is not None and _safe(odd[0], directories) is not None:
        parts = [part for thousandths in _OF_JPEG for part in (thousandths, 1000)]
        struct.pack_into(tiff.order + "6I", data, odd[0].value_at, *parts)


def _set_related(data: bytearray, tiff: ifd.Tiff, directory: ifd.Directory, change: Change) -> None:
    entries = [directory.find(tag) for tag in _RELATED]
    if [ifd.first_integer(tiff, entry) for entry in entries] == [change.stored_width, change.stored_height]:
        for entry, value in zip(entries, (change.width, change.height), strict=True):
            if entry is not None:
                set_integer(data, tiff, entry, value)


def set_integer(data: bytearray, tiff: ifd.Tiff, entry: ifd.Entry, value: int) -> None:
    """Set an entry to one whole number, with a type that is large enough."""
    kind = ifd.SHORT if value < 2**16 and entry.kind != ifd.LONG else ifd.LONG
    packed = ifd_write.integers(entry.tag, kind, tiff.order, value).value
    struct.pack_into(f"{tiff.order}HHI4s", data, entry.at, entry.tag, kind, 1, packed)
