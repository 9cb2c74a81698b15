"""Make the Exif block of a TIFF: the entries of a directory that describe the image, with their Exif and GPS."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.descriptions import is_data
from upsample_cli.images.metadata.exif import EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD

FIRST = -1  # not 0, which is a tag: the version of GPS
DIRECTORIES_IN = {
    FIRST: (EXIF_IFD, GPS_IFD), EXIF_IFD: (INTEROPERABILITY_IFD,), GPS_IFD: (), INTEROPERABILITY_IFD: ()
}  # fmt: skip
"""The tags of the directories that a directory points to, by its own tag; `FIRST` stands for the first directory."""
LAST_CLASSIC_KIND = 13
"""Types with larger numbers exist only in BigTIFF."""
_MAX_DIRECTORY_BYTES = 4 << 20

_DESCRIPTION = 0x010E

DESCRIPTIVE_TAGS = frozenset(
    {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298}
    | {0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}
)
"""Tags of a first directory that describe the image, not the storage of its pixels: description, make,
model, software, date, artist, host, ratings, copyright, and the five that Windows writes."""


def descriptive_fields(
    tiff: ifd.Tiff, *, follow: bool = True, wanted: Callable[[int], bool] = DESCRIPTIVE_TAGS.__contains__
) -> list[ifd_write.Field]:
    """The descriptive entries of a TIFF's first directory, with its Exif and GPS directories.

    Entries are left out if their values are outside the file, or if one directory would exceed 4 MiB.

    Args:
        tiff: the TIFF structure.
        follow: copy the Exif and GPS directories; if False, only their offsets.
        wanted: whether a tag of the first directory is descriptive.

    Raises:
        ValueError: the first directory is damaged.
    """
    return _copied(tiff, ifd.read_directory(tiff, tiff.first), FIRST, follow, wanted)


def _copied(
    tiff: ifd.Tiff, directory: ifd.Directory, kind: int, follow: bool, wanted: Callable[[int], bool]
) -> list[ifd_write.Field]:
    fields: list[ifd_write.Field] = []
    free_bytes = _MAX_DIRECTORY_BYTES
    for entry in directory.entries:
        if entry.tag in DIRECTORIES_IN[kind]:
            with suppress(ValueError):
                below = ifd.read_directory(tiff, ifd.first_integer(tiff, entry) or 0)
                at = struct.pack(tiff.order + "I", below.at)
                inner = _copied(tiff, below, entry.tag, follow, wanted) if follow else at
                fields.append(ifd_write.Field(entry.tag, ifd.LONG, 1, inner))
        elif entry.tag in DIRECTORIES_IN or (kind == FIRST and not wanted(entry.tag)):
            continue
        elif entry.kind <= LAST_CLASSIC_KIND and entry.size_bytes <= free_bytes:
            value = ifd.value_bytes(tiff, entry)
            if value is not None:
                free_bytes -= len(value)
                fields.append(ifd_write.Field(entry.tag, entry.kind, entry.count, value))
    return fields


def exif_of_tiff(file: BinaryIO, page_at: int | None = None) -> bytes | None:
    """An Exif block with the descriptive entries of a TIFF file; None if it has no such entries.

    A camera maker's note moves in the file, and its own absolute offsets cannot be corrected.

    Args:
        file: the open file; its position is moved.
        page_at: offset of the page's directory; None for the first.

    Raises:
        ValueError: the file's first directory is damaged.
    """
    tiff = ifd.tiff_in_file(file)
    fields = [
        field
        for field in descriptive_fields(tiff if page_at is None else tiff._replace(first=page_at))
        if not (field.tag == _DESCRIPTION and isinstance(field.value, bytes) and is_data(field.value))
    ]
    head = (b"II*\0" if tiff.order == "<" else b"MM\0*") + struct.pack(tiff.order + "I", 8)
    return head + ifd_write.directory_bytes(fields, order=tiff.order, at=8) if fields else None
