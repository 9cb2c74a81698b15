"""Correct Exif blocks for an enlarged image. Values are changed in place; all other bytes keep their position.

Camera makers' notes contain absolute offsets into the block, so rewriting the whole block would break them.
Source: Exif 2.32 (CIPA DC-008) for the tags.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.exif_density import RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION
from upsample_cli.images.metadata.exif_places import odd_coefficients, set_integer, set_places
from upsample_cli.images.orientation import ORIENTATION, valid

_WIDTH, _HEIGHT = 0x0100, 0x0101
EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
_PIXEL_X, _PIXEL_Y, _MAKER_NOTE = 0xA002, 0xA003, 0x927C
_PREFIX = b"Exif\0\0"
_THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # the tags for offset and length of a JPEG, or of one strip


def without_prefix(block: bytes) -> bytes:
    r"""The TIFF structure of an Exif block, without the prefix that it has in a JPEG. Some programs write two prefixes.

    >>> without_prefix(b"Exif\0\0Exif\0\0MM")
    b'MM'
    """
    at = 0
    while block.startswith(_PREFIX, at):
        at += len(_PREFIX)
    return block[at:]


def orientation(exif: bytes) -> int | None:
    r"""The orientation of the stored image, 1 to 8; None if the block has none or is damaged.

    >>> field = ifd_write.integers(0x0112, ifd.SHORT, "<", 6)
    >>> orientation(b"II*\0\x08\0\0\0" + ifd_write.directory_bytes([field], order="<", at=8))
    6
    """
    try:
        return tiff_orientation(ifd.tiff_in_bytes(exif))
    except ValueError:
        return None


def tiff_orientation(tiff: ifd.Tiff) -> int | None:
    """The orientation in the first directory, 1 to 8; None if it has no valid one.

    Raises:
        ValueError: the directory is damaged.
    """
    return valid(ifd.first_integer(tiff, ifd.read_directory(tiff, tiff.first).find(ORIENTATION)))


def exif_for_output(exif: bytes, change: Change) -> bytes:
    """Correct the block for the upright image after a change. No other data move.

    The orientation becomes 1, sizes become the new ones, and positions in pixels are corrected (`exif_places`). The
    thumbnail is unlinked, and its bytes are cut off or zeroed.

    Raises:
        ValueError: the block is damaged and cannot be corrected.
    """
    data = bytearray(exif)
    tiff = ifd.tiff_in_bytes(data)
    if tiff.big:
        raise ValueError("an Exif block cannot be BigTIFF")
    first = ifd.read_directory(tiff, tiff.first)
    kept = [first, *_directories_below(tiff, first)]
    new_values = {
        ORIENTATION: 1,
        **dict.fromkeys((_WIDTH, _PIXEL_X), change.width),
        **dict.fromkeys((_HEIGHT, _PIXEL_Y), change.height),
    }
    for directory in kept:
        for entry in directory.entries:
            if entry.tag in new_values:
                set_integer(data, tiff, entry, new_values[entry.tag])
    if first.next_at:
        data[first.next_pointer_at : first.next_pointer_at + 4] = bytes(4)
        _erase_thumbnail(data, tiff, first.next_at, [span for directory in kept for span in _spans(directory)])
    set_places(data, tiff, kept, change)
    return bytes(data)


def _directories_below(tiff: ifd.Tiff, first: ifd.Directory) -> Iterator[ifd.Directory]:
    exif_at = ifd.first_integer(tiff, first.find(EXIF_IFD))
    exif = ifd.read_directory(tiff, exif_at) if exif_at is not None else None
    if exif is not None:
        yield exif
    for parent, tag in ((first, GPS_IFD), (exif, INTEROPERABILITY_IFD)):
        at = ifd.first_integer(tiff, parent.find(tag)) if parent is not None else None
        with suppress(ValueError):  # a damaged Exif or GPS directory stays as it is
            yield ifd.read_directory(tiff, at or 0)


def _spans(directory: ifd.Directory) -> Iterator[tuple[int, int]]:
    yield directory.at, directory.at + directory.size_bytes
    for entry in directory.entries:
        yield entry.value_at, entry.value_at + entry.size_bytes


def _erase_thumbnail(data: bytearray, tiff: ifd.Tiff, at: int, kept: list[tuple[int, int]]) -> None:
    """Zero the unlinked thumbnail, or cut it off at the end of the block. Parts that overlap other data stay."""
    try:
        directory = ifd.read_directory(tiff, at)
    except ValueError:
        return
    spans = [(directory.at, directory.at + directory.size_bytes)]
    for start_tag, size_tag in _THUMBNAIL:
        start = ifd.first_integer(tiff, directory.find(start_tag))
        size = ifd.first_integer(tiff, directory.find(size_tag))
        if start is not None and size is not None:
            spans.append((start, min(start + size, len(data))))
    free = [
        (start, end)
        for start, end in spans
        if 8 <= start < end and not any(start < other_end and other < end for other, other_end in kept)
    ]
    for start, end in free:
        data[start:end] = bytes(end - start)
    for start, end in free:
        if end == len(data):
            del data[start:]


def without_orientation(exif: bytes) -> bytes:
    """The block without its orientation entry. The later entries move up, and other data do not move.

    With this entry, Pillow would rewrite the Exif block of an AVIF, makers' notes included.
    """
    tiff = ifd.tiff_in_bytes(exif)
    first = ifd.read_directory(tiff, tiff.first)
    entry = first.find(ORIENTATION)
    if entry is None:
        return exif
    end = first.at + first.size_bytes
    count = struct.pack(tiff.order + "H", len(first.entries) - 1)
    return exif[: first.at] + count + exif[first.at + 2 : entry.at] + exif[entry.at + 12 : end] + bytes(12) + exif[end:]


def with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """Set the resolution in the block. If `exif` is None, a new block is made.

    If the block has none, or other data share its bytes, the first directory is written at the end, with the new
    values behind it. Other data do not move.

    Raises:
        ValueError: the block is damaged.

    >>> from upsample_cli.images.metadata.exif_density import resolution
    >>> resolution(with_resolution(None, (300, 299.5)))
    (300.0, 299.5)
    >>> resolution(with_resolution(with_resolution(None, (300, 299.5)), (72, 72)))
    (72.0, 72.0)
    """
    block = exif or b"II*\0" + struct.pack("<IHI", 8, 0, 0)
    tiff = ifd.tiff_in_bytes(block)
    first = ifd.read_directory(tiff, tiff.first)
    new = [
        *(
            ifd_write.rational(tag, tiff.order, value)
            for tag, value in zip((X_RESOLUTION, Y_RESOLUTION), dpi, strict=True)
        ),
        ifd_write.integers(RESOLUTION_UNIT, ifd.SHORT, tiff.order, 2),
    ]
    if (changed := _changed_in_place(block, tiff, first, new)) is not None:
        return changed
    replaced = {field.tag for field in new}
    slots = [
        ifd_write.Field(entry.tag, entry.kind, entry.count, block[entry.at + 8 : entry.at + 12])
        for entry in first.entries
        if entry.tag not in replaced
    ]
    at = len(block) + len(block) % 2
    directory = ifd_write.directory_bytes([*slots, *new], order=tiff.order, at=at, next_at=first.next_at)
    return block[:4] + struct.pack(tiff.order + "I", at) + block[8:].ljust(at - 8, b"\0") + directory


def _changed_in_place(block: bytes, tiff: ifd.Tiff, first: ifd.Directory, new: list[ifd_write.Field]) -> bytes | None:
    """The block with new values in the first directory; None if they cannot be stored where the old ones are."""
    data, spans = bytearray(block), [(0, 8), *_spans(first)]
    for directory in _directories_below(tiff, first):
        spans += _spans(directory)
    for field in new:
        entry = first.find(field.tag)
        if entry is None or (entry.kind, entry.count) != (field.kind, field.count):
            return None
        start, end = entry.value_at, entry.value_at + entry.size_bytes
        sharers = sum(start < other_end and other < end for other, other_end in spans)
        is_inside = entry.at < start < entry.at + 12
        if end > len(data) or not isinstance(field.value, bytes) or (sharers > 1 and not is_inside):
            return None
        data[start:end] = field.value
    return bytes(data)


def stated_coefficients(exif: bytes) -> tuple[float, ...] | None:
    """The YCbCr coefficients in a block, if they differ from those with which JPEG is decoded; otherwise None."""
    try:
        tiff = ifd.tiff_in_bytes(exif)
        odd = odd_coefficients(tiff, ifd.read_directory(tiff, tiff.first))
    except ValueError:
        return None
    return odd[1] if odd is not None else None


def has_maker_note(exif: bytes) -> bool:
    """Whether the block contains a camera maker's note."""
    try:
        tiff = ifd.tiff_in_bytes(exif)
        below = _directories_below(tiff, ifd.read_directory(tiff, tiff.first))
        return any(directory.find(_MAKER_NOTE) is not None for directory in below)
    except ValueError:
        return False
