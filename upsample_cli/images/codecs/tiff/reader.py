"""Read strips and tiles of a TIFF on request: tifffile reads the structure, imagecodecs decodes the segments.

Only the segments of the last band stay decoded, so memory is that of the strips, or of a row of tiles, of one band.
Images stored sideways (orientation 5 to 8) are read by columns of tiles. In strips, every column needs all strips, so
the whole image is in memory.
"""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import REDUCE, readable
from upsample_cli.images.codecs.tiff.kinds import TiffKind, tiff_kind
from upsample_cli.images.codecs.tiff.pages import Page, pages_of
from upsample_cli.images.codecs.tiff.refused import refused_kind
from upsample_cli.images.codecs.tiff.segments import Segments
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.limits import allow_more_pixels, check_pixels
from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.reading import read_metadata
from upsample_cli.images.metadata.resolution import UNITS_PER_INCH
from upsample_cli.images.model import ImageInfo
from upsample_cli.images.orientation import ORIENTATION, TURNS
from upsample_cli.images.regions import RegionSource

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_PIXEL_BYTES = 16  # the largest pixel: colour and alpha in float32
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_XMP, _ICC_PROFILE = 700, 34675
_EXTRA_SAMPLES = 338
_COMPRESSION = 259
_BITS, _PHOTOMETRIC, _COLOUR_MAP = 258, 262, 320
_PALETTE, _MOST_BITS = 3, 16
_ONE_NUMBER = {256, 257, 262, 266, 277, 278, 284, 317, 322, 323}
_PIXEL_TAGS = _ONE_NUMBER | {_BITS, _COLOUR_MAP, 339, 530, _COMPRESSION, _EXTRA_SAMPLES}
"""Tags of whole numbers without which pixels are read in another way. Before TIFF 5, compression had a number for each
sample."""

_OLD_JPEG, _START_OF_JPEG = 6, b"\xff\xd8"
_FORMAT = FORMATS["tiff"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # this package reports faults of a file itself


def open_tiff(file: BinaryIO, name: str, *, max_pixels: int) -> RegionSource | None:
    """Open the first page of a TIFF without decoding it; None if this module does not read its kind of pixels.

    Its header has the number of pages.

    Args:
        file: a seekable file; it must stay open as long as rows are read. Its position is moved.
        name: name of the file in messages.
        max_pixels: larger images or tiles are refused.

    Raises:
        ImageError: the image is too large, or a part of it is outside the file. Also while rows are read, if it is
            damaged.
    """
    tiff = opened_tiff(file, name)
    with readable(name, _FORMAT):
        if tiff is None:
            structure = ifd.tiff_in_file(file)
            _check_pixel_tags(structure, structure.first)  # Pillow assumes other numbers too
            return None
        first, frames = pages_of(file, name)
    source = open_page(tiff, file, name, first, max_pixels=max_pixels, described=frames.count if frames else 1)
    if source is not None:
        source.info = source.info._replace(frames=frames)
    return source


def opened_tiff(file: BinaryIO, name: str) -> TiffFile | None:
    """The structure of a TIFF, for `open_page`; None if it is damaged, because Pillow's message is clearer.

    Args:
        file, name: see `open_tiff`.
    """
    from tifffile import TiffFile

    with readable(name, _FORMAT):
        structure = ifd.tiff_in_file(file)
        _check_values(structure, structure.first, file)
    file.seek(0)
    try:
        return TiffFile(file, name=name)  # the name of a spooled pipe is None
    except ImageError:
        raise
    except Exception:  # tifffile can raise almost any exception
        return None


def open_page(
    tiff: TiffFile, file: BinaryIO, name: str, at: Page, *, max_pixels: int, described: int = 1
) -> RegionSource | None:
    """Open one page; see `open_tiff`.

    Args:
        tiff: the structure, from `opened_tiff`.
        file, name, max_pixels: see `open_tiff`.
        at: the page.
        described: number of pages that its description is about.
    """
    with readable(name, _FORMAT):
        structure = ifd.tiff_in_file(file)
        _check_values(structure, at.at, file)
        _check_pixel_tags(structure, at.at)
    try:
        page = tifffile_page(tiff, at)
        is_ours = _has_size(page) and not _needs_libtiff(page)
        kind = tiff_kind(page, has_profile=_ICC_PROFILE in page.tags) if is_ours else None
    except ImageError:
        raise
    except Exception:
        return None
    if kind is None:
        if _has_size(page) and (what := refused_kind(page)) is not None:
            raise ImageError(name, f"holds {what}, which is not supported", REDUCE, kind="unsupported")
        return None
    check_pixels(name, page.imagelength, page.imagewidth, max_pixels)
    if page.is_tiled:
        check_pixels(name, page.tilelength, page.tilewidth, max_pixels)
    with readable(name, _FORMAT):
        return _source(page, kind, file, name, max_pixels, at, described)


def _check_values(structure: ifd.Tiff, at: int, file: BinaryIO) -> None:
    """Refuse a directory that makes a reader load the same bytes many times."""
    if not ifd.values_fit(structure, at, file.seek(0, 2)):
        raise ValueError(ifd.OVERLAP)


def _check_pixel_tags(structure: ifd.Tiff, at: int) -> None:
    """Refuse a directory that is truncated, or that has an unreadable number: decoders assume another."""
    directory = ifd.read_directory(structure, at)
    counts = dict.fromkeys(_ONE_NUMBER, 1)
    if ifd.integer_of(structure, directory, _PHOTOMETRIC, 0) == _PALETTE:
        counts[_COLOUR_MAP] = 3 << min(ifd.integer_of(structure, directory, _BITS, 1), _MOST_BITS)
    for entry in directory.entries:
        is_empty = entry.tag == _EXTRA_SAMPLES and not entry.count  # some programs write it
        if entry.tag in _PIXEL_TAGS and not is_empty:
            is_right = entry.count == counts.get(entry.tag, entry.count)
            if not is_right or entry.kind not in ifd.INTEGERS or not ifd.is_readable(structure, entry):
                raise ValueError(f"the tag {entry.tag} is damaged")


def _needs_libtiff(page: TiffPage) -> bool:
    """Whether old-style JPEG segments are not complete JPEG files, because their tables are elsewhere in the file."""
    if page.compression != _OLD_JPEG or (page.jpegheader and len(page.dataoffsets) == 1):
        return False
    heads = [page.parent.filehandle.seek(at) and page.parent.filehandle.read(2) for at in page.dataoffsets[:2]]
    return any(head != _START_OF_JPEG for head in heads)


def _has_size(page: TiffPage) -> bool:
    """Whether the sizes are single positive numbers. In a damaged file, a tag may have no value or several."""
    sides = (page.imagelength, page.imagewidth, *((page.tilelength, page.tilewidth) if page.is_tiled else ()))
    return all(isinstance(side, int) and side >= 1 for side in sides)


def tifffile_page(tiff: TiffFile, at: Page) -> TiffPage:
    """The page as tifffile reads it."""
    from tifffile import TiffPage

    if at.at == tiff.pages.first.offset:
        page = copy(tiff.pages.first)
    else:
        tiff.filehandle.seek(at.at)
        page = TiffPage(tiff, index=1)
    if at.size_bytes:  # the tags may count the bytes of the whole stack
        page.dataoffsets, page.databytecounts = (page.dataoffsets[0] + at.shift,), (at.size_bytes,)
    return page


def _source(
    page: TiffPage, kind: TiffKind, file: BinaryIO, name: str, max_pixels: int, at: Page, described: int
) -> RegionSource:
    sides = page.imagelength, page.imagewidth
    image = _Described.of(page, kind, 0 if at.shift else described)
    found = read_metadata(image, file, "tiff", stored=sides)  # type: ignore[arg-type]  # has all attributes that it reads
    segments, losses = Segments(page, file, name), set[Loss]()
    if segments.size_bytes > _PIXEL_BYTES * max_pixels:
        size_bytes = segments.size_bytes
        each = f"{_PIXEL_BYTES} for each of {max_pixels} pixels"
        cause = f"is stored in strips or tiles of {size_bytes} bytes, more than {each}"
        raise ImageError(name, cause, allow_more_pixels(-(-size_bytes // _PIXEL_BYTES)), kind="too-large")
    height, width = sides[::-1] if TURNS[found.orientation].swapped else sides
    return RegionSource(
        ImageInfo(
            format="tiff",
            height=height,
            width=width,
            layout=kind.layout,
            losses=(*kind.losses, *at.losses, *found.losses),
            lossless=kind.lossless,
            decoding_bytes=segments.held_bytes,
            orientation=found.orientation,
            states_colours=found.metadata.icc_profile is not None,
        ),
        found.metadata,
        orientation=found.orientation,
        read_box=segments.reader(kind, losses),
        losses=losses,
    )


@dataclass(frozen=True, slots=True)
class _Described:
    """The attributes of a Pillow image that `read_metadata` reads, for a page that tifffile has opened."""

    mode: str
    info: dict[str, Any]
    tag_v2: dict[int, Any]
    page_at: int
    pages: int

    @classmethod
    def of(cls, page: TiffPage, kind: TiffKind, pages: int) -> _Described:
        tags = {code: page.tags.valueof(code) for code in (ORIENTATION, _X_RESOLUTION) if code in page.tags}
        info = {"icc_profile": page.tags.valueof(_ICC_PROFILE), "xmp": page.tags.valueof(_XMP), "dpi": _dpi(page)}
        mode = "CMYK" if kind.layout.colour == "cmyk" else ""
        return cls(mode, {key: value for key, value in info.items() if value}, tags, page.offset, pages)


def _dpi(page: TiffPage) -> tuple[float, float] | None:
    unit = page.tags.valueof(_RESOLUTION_UNIT, 2)
    per_inch = UNITS_PER_INCH.get(unit) if isinstance(unit, int) else None  # text or several numbers, if damaged
    rationals = [page.tags.valueof(code) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
    if per_inch is None or not all(isinstance(value, tuple) and len(value) == 2 and value[1] for value in rationals):
        return None
    across, down = (above / below * per_inch for above, below in rationals)
    return across, down
