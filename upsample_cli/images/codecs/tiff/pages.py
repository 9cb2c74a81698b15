"""Find the pages of a TIFF. Reduced copies and masks are not pages; an ImageJ stack of one directory is several pages.

Source: TIFF revision 6.0, NewSubfileType and SubfileType; DNG 1.6 for depth maps; ImageJ 1.53, TiffDecoder.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import COPY
from upsample_cli.images.metadata import ifd
from upsample_cli.images.model import Frames

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _DESCRIPTION = 254, 255, 270
_STRIP_BYTES, _TILE_BYTES = 279, 325
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 273, 277
_REDUCED, _MASK, _DEPTH_MAP = 1, 4, 8
_OLD_REDUCED = 2
_MOST_FROM_ONE_BYTE = {1: 1, 5: 1366, 8: 1032, 32773: 64, 32946: 1032, 34926: 1 << 15, 50000: 1 << 15}
"""The most bytes of pixels per stored byte, by compression.

An LZW code has 12 bits and stands for at most 2**11 bytes. A Zstandard block has at least 4 bytes and stands for at
most 2**17.
"""
_FAR, _SPARE_BYTES = 8, 64 << 20
"""Tolerance of the size check, so that a truncated file is not mistaken for one with a false size."""

_IMAGEJ = re.compile(rb"ImageJ=[^\0]*?^images=(\d{1,9})$", re.MULTILINE)
_MOST_DESCRIPTION_BYTES = 1 << 16

_OF_A_PAGE = {
    _MASK: Loss("alpha", "its transparency mask, which is an image of its own, is left out"),
    _DEPTH_MAP: Loss("channels", "its depth map, which is an image of its own, is left out"),
}
"""The loss of an image that belongs to the page before it, by its bit in NewSubfileType."""
_CUT = Loss("frames", "the file ends, or is damaged, before the pages that follow; they are left out")


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Args:
        at: offset of its directory.
        shift: bytes to add to the offset of the pixels in the directory, for a page of a stack of one directory.
        size_bytes: bytes of pixels of a page of a stack of one directory; 0 for other pages, which have their own tags.
        pixels: number of pixels.
        losses: the losses of images that belong to the page and are not read.
    """

    at: int
    shift: int = 0
    size_bytes: int = 0
    pixels: int = 0
    losses: tuple[Loss, ...] = ()


def pages(file: BinaryIO, name: str) -> Iterator[Page]:
    """The pages of a TIFF in order; at least one. The file's position is moved.

    The directory after a page is read before the page is returned. If all images are marked as reduced copies, each is
    a page.

    Raises:
        ValueError: the directories are damaged.
        ImageError: a page is far larger than the file can hold.
    """
    tiff, end = ifd.tiff_in_file(file), file.seek(0, 2)
    last, copies, seen, next_at = None, list[ifd.Directory](), set[int](), tiff.first
    for directory in ifd.directories(tiff):
        seen.add(directory.at)
        next_at = directory.next_at
        kind = _subfile_type(tiff, directory)
        if kind & _REDUCED:
            copies.append(directory)
        elif last is not None and kind & (_MASK | _DEPTH_MAP):
            last = replace(last, losses=(*last.losses, *(_OF_A_PAGE[bit] for bit in _OF_A_PAGE if kind & bit)))
        else:
            if last is not None:
                yield last
            last = _page(tiff, directory, end, name)
    is_cut = next_at != 0 and next_at not in seen and len(seen) < ifd.MOST_PAGES
    if last is not None:
        last = replace(last, losses=(*last.losses, _CUT)) if is_cut else last
        yield from _stack(tiff, last, end) if last.at == tiff.first else (last,)
    elif not copies:
        yield Page(tiff.first)
    elif is_cut:
        raise ImageError(name, "is truncated: the file ends before its image does", COPY)
    else:
        yield from (_page(tiff, directory, end, name) for directory in copies)


def pages_of(file: BinaryIO, name: str) -> tuple[Page, Frames | None]:
    """The first page, and all pages as `Frames` if there are several. The file's position is restored."""
    at = file.tell()
    found = list(pages(file, name))
    file.seek(at)
    frames = Frames(len(found), "pages", pixels=sum(page.pixels for page in found)) if len(found) > 1 else None
    is_cut = _CUT in found[-1].losses and len(found) > 1  # reported with the header of the file
    first = replace(found[0], losses=(*found[0].losses, _CUT)) if is_cut else found[0]
    return first, frames


def first_pages(file: BinaryIO, name: str, count: int = ifd.MOST_PAGES) -> list[Page]:
    """A TIFF's first `count` pages, or all. The file's position is restored."""
    at = file.tell()
    found = list(islice(pages(file, name), count))
    file.seek(at)
    return found


def _subfile_type(tiff: ifd.Tiff, directory: ifd.Directory) -> int:
    """NewSubfileType, or the older SubfileType converted to it."""
    kind = ifd.first_integer(tiff, directory.find(_NEW_SUBFILE_TYPE))
    if kind is None:
        return _REDUCED * (ifd.first_integer(tiff, directory.find(_SUBFILE_TYPE)) == _OLD_REDUCED)
    return kind


def _page(tiff: ifd.Tiff, directory: ifd.Directory, end: int, name: str) -> Page:
    width, height = (ifd.integer_of(tiff, directory, tag, 0) for tag in (_WIDTH, _HEIGHT))
    most = _MOST_FROM_ONE_BYTE.get(ifd.integer_of(tiff, directory, _COMPRESSION, 1))
    claimed = _size_bytes(tiff, directory)
    plausible = _FAR * (most or 0) * end + _SPARE_BYTES
    if most is not None and claimed > plausible and claimed * _share_stored(tiff, directory) > plausible:
        raise ImageError(name, f"is damaged: it says that it holds {width}×{height} pixels in {end} bytes", COPY)
    return Page(directory.at, pixels=width * height)


def _share_stored(tiff: ifd.Tiff, directory: ifd.Directory) -> float:
    """The fraction of strips or tiles that are stored. In a sparse file, the others have size 0 and are black."""
    entry = directory.find(_STRIP_BYTES) or directory.find(_TILE_BYTES)
    code = {ifd.SHORT: "H", ifd.LONG: "I", ifd.LONG8: "Q"}.get(entry.kind) if entry is not None else None
    data = ifd.value_bytes(tiff, entry) if entry is not None and code else None
    if entry is None or code is None or data is None:
        return 1.0
    return 1 - struct.unpack(f"={entry.count}{code}", data).count(0) / entry.count  # 0 is 0 in either byte order


def _size_bytes(tiff: ifd.Tiff, directory: ifd.Directory) -> int:
    """Bytes of the uncompressed pixels."""
    width, height = (ifd.integer_of(tiff, directory, tag, 0) for tag in (_WIDTH, _HEIGHT))
    bits, samples = (ifd.integer_of(tiff, directory, tag, 1) for tag in (_BITS, _SAMPLES))
    return height * (-(-width * bits * samples // 8))


def _stack(tiff: ifd.Tiff, page: Page, end: int) -> Iterator[Page]:
    """The pages of a TIFF with one directory. ImageJ writes one for the first page, and all pixels contiguously."""
    directory = ifd.read_directory(tiff, page.at)
    described = directory.find(_DESCRIPTION)
    text = tiff.read(described.value_at, min(described.size_bytes, _MOST_DESCRIPTION_BYTES)) if described else b""
    offsets, size = directory.find(_OFFSETS), _size_bytes(tiff, directory)
    match = _IMAGEJ.match(text)
    count = int(match[1]) if match else 1
    is_plain = ifd.integer_of(tiff, directory, _COMPRESSION, 1) == 1 and offsets is not None and offsets.count == 1
    begin = ifd.first_integer(tiff, offsets) or 0
    if not is_plain or not size or count > ifd.MOST_PAGES or begin + count * size > end:
        count = 1
    if count == 1:
        yield page
        return
    yield from (replace(page, shift=index * size, size_bytes=size) for index in range(count))
