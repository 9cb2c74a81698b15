"""Read the tags that only TIFF has, and report the tags that outputs do not get.

Every tag of a page is in one of three groups: it describes how the pixels are stored (`STORAGE`); it is carried over to
the output, here or in the Exif block; or it is left out and becomes part of a loss. So an unknown tag is never left out
silently.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.metadata import georeference, ifd
from upsample_cli.images.metadata.descriptions import Description, Stored, description_of
from upsample_cli.images.metadata.exif import EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD
from upsample_cli.images.metadata.exif_from_tiff import DIRECTORIES_IN, FIRST, LAST_CLASSIC_KIND
from upsample_cli.images.metadata.ifd_write import Field
from upsample_cli.images.metadata.own_tags import (
    DESCRIPTION,
    NO_DATA,
    PAGE_NUMBER,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    OwnTags,
    names_of,
)
from upsample_cli.images.metadata.resolution import UNITS_PER_INCH
from upsample_cli.images.metadata.tiff_captions import read_captions
from upsample_cli.images.orientation import TURNS

STORAGE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 284, 288, 289, 292, 293, 317, 320}
    | {322, 323, 324, 325, 326, 327, 328, 330, 332, 334, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521}
    | {529, 530, 531, 532, 559, 32995, 32996, 32997, 32998, 34675, 50674, 52553, 52554, 52555}
    | {50706, 50707}  # DNG's version: with it, the output would be taken for a RAW file
    # The orientation is applied, and the resolution is read. The minimum and maximum sample value are not carried over.
    | {274, 280, 281, 282, 283, 296}
)
"""Tags that describe how the pixels are stored. They are read or not needed, and an output has its own."""

_SUB_IFDS, _XMP, _NEW_SUBFILE_TYPE = 330, 700, 254
_KEPT = {269, 285, PAGE_NUMBER, 318, 319, 42112, NO_DATA} | georeference.GEO_TAGS
"""Names of document and page, white point and primaries, GDAL's metadata and value for "no data", GeoTIFF."""
_MOST_BYTES = 4 << 20
_INCH = 2
_MOST_SUB_IFDS = 16
_LAYERS = 37724


def read_tags(
    file: BinaryIO, page_at: int | None, exif: bytes | None, *, has_xmp: bool, orientation: int, pages: int
) -> tuple[OwnTags | None, bytes | None, list[Loss]]:
    """The tags of a page that only TIFF has, its captions, and the loss of the tags that are not carried over.

    Args:
        file: the open file; its position is moved.
        page_at: offset of the page's directory; None for the first.
        exif: the Exif block that is carried over.
        has_xmp: whether XMP has been read, even if it is damaged.
        orientation: orientation of the stored image, 1 to 8.
        pages: number of pages that the description may describe; 0 if it belongs to another page.

    Raises:
        ValueError: the directory is damaged.
    """
    tiff = ifd.tiff_in_file(file)
    tiff = tiff if page_at is None else tiff._replace(first=page_at)
    directory = ifd.read_directory(tiff, tiff.first)
    stored = _stored(tiff, directory, pages)
    fields, losses = _georeferenced(list(_kept(tiff, directory, _KEPT)), orientation)
    description, problem = _description(tiff, directory, stored, orientation)
    if description is not None and problem:
        losses.append(Loss("metadata", f"{description.title} is left out: {problem}"))
    elif description is not None and problem is not None:
        fields += _kept(tiff, directory, {DESCRIPTION})
    is_scale = description is not None and not problem and description.scales
    fields += _resolution(tiff, directory, is_scale=is_scale)
    reported = georeference.GEO_TAGS | ({DESCRIPTION} if description is not None else set())
    captions = read_captions(tiff, directory)
    losses += [*captions.losses, *_damaged(tiff, directory), *_sub_images(tiff, directory)]
    reported |= captions.tags | ({_XMP} if has_xmp else set())
    losses += _others(tiff, exif, {field.tag for field in fields} | reported)
    turned = TURNS[orientation].swapped
    height, width = (stored.width, stored.height) if turned else (stored.height, stored.width)
    own = OwnTags(tuple(fields), tiff.order, height, width, description) if fields else None
    return own, captions.iptc, losses


def _stored(tiff: ifd.Tiff, directory: ifd.Directory, pages: int) -> Stored:
    number = partial(ifd.integer_of, tiff, directory)
    return Stored(number(257, 0), number(256, 0), number(258, 1), number(339, 1), number(277, 1), pages)


def _kept(tiff: ifd.Tiff, directory: ifd.Directory, tags: Collection[int]) -> Iterator[Field]:
    """The entries of these tags that can be copied, up to 4 MiB together."""
    free_bytes = _MOST_BYTES
    for entry in directory.entries:
        if entry.kind <= LAST_CLASSIC_KIND and entry.size_bytes <= free_bytes and entry.tag in tags:
            value = ifd.value_bytes(tiff, entry)
            if value is not None:
                free_bytes -= len(value)
                yield Field(entry.tag, entry.kind, entry.count, value)


def _georeferenced(fields: list[Field], orientation: int) -> tuple[list[Field], list[Loss]]:
    """The fields without a georeference that would be wrong, and the loss of it."""
    geo = [field for field in fields if field.tag in georeference.GEO_TAGS]
    if not geo or (orientation == 1 and georeference.is_valid(geo)):
        return fields, []
    why = "is damaged" if orientation == 1 else "is of the image before it was turned"
    lost = Loss("metadata", f"the georeference (GeoTIFF) {why}; it is left out")
    return [field for field in fields if field.tag not in georeference.GEO_TAGS], [lost]


def _description(
    tiff: ifd.Tiff, directory: ifd.Directory, stored: Stored, orientation: int
) -> tuple[Description | None, str | None]:
    """The description, if it is data of a program, and why it is left out: see `Description.problem`."""
    entry = directory.find(DESCRIPTION)
    text = ifd.value_bytes(tiff, entry) if entry is not None and entry.size_bytes <= _MOST_BYTES else None
    found = description_of(text, stored) if text else None
    if found is None or not stored.pages or found.problem is None:
        return found, None
    return found, "the image is turned" if orientation != 1 and not found.problem else found.problem


def _resolution(tiff: ifd.Tiff, directory: ifd.Directory, *, is_scale: bool) -> list[Field]:
    """The resolution tags, if they are not dpi but a physical scale or the aspect ratio of a pixel."""
    fields = list(_kept(tiff, directory, {X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT}))
    ratios = [field for field in fields if field.kind == ifd.RATIONAL and field.count == 1]
    numbers = [struct.unpack(tiff.order + "II", field.value) for field in ratios if isinstance(field.value, bytes)]
    if len(numbers) != 2 or not all(map(all, numbers)):
        return []
    unit = ifd.first_integer(tiff, directory.find(RESOLUTION_UNIT)) or _INCH
    is_square = Fraction(*numbers[0]) == Fraction(*numbers[1])
    return fields if is_scale or (unit not in UNITS_PER_INCH and not is_square) else []


def _damaged(tiff: ifd.Tiff, directory: ifd.Directory) -> Iterator[Loss]:
    """The loss of tags that are read, but cannot be. `_others` reports the tags that are not read."""
    entries = [entry for entry in directory.entries if entry.tag in STORAGE | georeference.GEO_TAGS and entry.count]
    if damaged := {entry.tag for entry in entries if not ifd.is_readable(tiff, entry)}:
        words = "tag is damaged and" if len(damaged) == 1 else "tags are damaged and"
        yield Loss("metadata", f"{len(damaged)} {words} left out", names_of(damaged))


def _sub_images(tiff: ifd.Tiff, directory: ifd.Directory) -> list[Loss]:
    """The loss of images in SubIFDs that are not reduced copies."""
    entry, count = directory.find(_SUB_IFDS), 0
    size = ifd.SIZES.get(entry.kind, 0) if entry is not None else 0
    for index in range(min(entry.count, _MOST_SUB_IFDS) if entry is not None and size >= 4 else 0):
        data = tiff.read(entry.value_at + index * size, size) if entry is not None else b""
        with suppress(ValueError):
            below = ifd.read_directory(tiff, int.from_bytes(data, "little" if tiff.order == "<" else "big"))
            count += not (ifd.first_integer(tiff, below.find(_NEW_SUBFILE_TYPE)) or 0) & 1
    are = "images in SubIFDs are" if count > 1 else "image in a SubIFD is"
    return [Loss("frames", f"{count} more {are} left out")] if count else []


def _others(tiff: ifd.Tiff, exif: bytes | None, accounted: set[int]) -> Iterator[Loss]:
    """The loss of every tag that is neither storage nor carried over."""
    carried = _tags(ifd.tiff_in_bytes(exif)) if exif else set()
    lost = _tags(tiff) - carried - {(FIRST, tag) for tag in accounted | STORAGE}
    if (FIRST, _LAYERS) in lost:
        lost.remove((FIRST, _LAYERS))
        yield Loss("metadata", "Photoshop's layers are left out")
    if lost:
        words = "other tag is" if len(lost) == 1 else "other tags are"
        below = {EXIF_IFD: "Exif", GPS_IFD: "GPS", INTEROPERABILITY_IFD: "interoperability"}
        first = names_of({tag for parent, tag in lost if parent == FIRST})
        names = [first] * bool(first) + [f"{below[parent]} {tag}" for parent, tag in sorted(lost) if parent != FIRST]
        yield Loss("metadata", f"{len(lost)} {words} left out", ", ".join(names))


def _tags(tiff: ifd.Tiff) -> set[tuple[int, int]]:
    """The tags with values in the first directory and in Exif and GPS below it, as (tag of the directory, tag)."""
    found, todo = set[tuple[int, int]](), [(FIRST, tiff.first)]
    for parent, at in todo:
        with suppress(ValueError):
            directory = ifd.read_directory(tiff, at)
            found |= {(parent, entry.tag) for entry in directory.entries if entry.count}
            below = ((tag, ifd.first_integer(tiff, directory.find(tag))) for tag in DIRECTORIES_IN[parent])
            todo += [(tag, place) for tag, place in below if place is not None]
    return found
