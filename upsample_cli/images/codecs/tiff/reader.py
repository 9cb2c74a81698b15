"""TIFF read by its strips and tiles as they are needed: tifffile for the structure, imagecodecs for the segments.

What the last band touched stays decoded, and nothing else: an image of any size takes the memory of the strips, or of
one row of tiles, that a band lies in. Images stored sideways (orientation 5 to 8) are read by columns of tiles; in
strips, a column touches them all, so the whole image ends up in memory.
"""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.pillow_file import readable
from upsample_cli.images.codecs.tiff.kinds import JPEG_COMPRESSIONS, TiffKind, tiff_kind
from upsample_cli.images.codecs.tiff.lzw import lzw_decoded
from upsample_cli.images.codecs.tiff.segment_size import is_larger
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.limits import check_pixels
from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.carried import read_metadata
from upsample_cli.images.metadata.resolution import UNITS_PER_INCH
from upsample_cli.images.model import Frames, ImageInfo, Rows
from upsample_cli.images.open_frames import pages_of
from upsample_cli.images.orientation import ORIENTATION, TURNS
from upsample_cli.images.regions import ReadBox, RegionSource

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_PIXEL_BYTES = 16  # of the largest pixel that is read: colour and alpha in float32
_PLAIN_BYTES = 1 << 20  # read at a time of pixels that lie in the file as they are
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_LZW = 5
_XMP, _ICC_PROFILE = 700, 34675
_COPY = "get a new copy of it"
_FORMAT = FORMATS["tiff"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is said once, by us


def open_tiff(file: BinaryIO, name: str, *, max_pixels: int, page_at: int | None = None) -> RegionSource | None:
    """A page of a TIFF, no pixel decoded yet; None if it is of a kind that is not read here.

    Args:
        file: seekable; stays open, and must, as long as rows are read. Its position is moved about.
        name: what to call it in a message.
        max_pixels: refuse an image, or a tile, of more.
        page_at: where the page's directory lies; None for the first.

    Raises:
        ImageError: it is too large, or a part of it lies outside the file; while rows are read, that it is damaged.
    """
    tiff = opened_tiff(file, name)
    return None if tiff is None else open_page(tiff, file, name, max_pixels=max_pixels, page_at=page_at)


def opened_tiff(file: BinaryIO, name: str) -> TiffFile | None:
    """The structure of a TIFF, for `open_page`; None if it is damaged: Pillow's word on it is clearer.

    Args:
        file, name: see `open_tiff`.
    """
    from tifffile import TiffFile

    with readable(name, _FORMAT):
        structure = ifd.tiff_in_file(file)
        _check_values(structure, structure.first, file)
    file.seek(0)
    try:
        return TiffFile(file, name=name)  # a spooled pipe calls itself None
    except ImageError:
        raise
    except Exception:  # it raises nearly everything there is
        return None


def open_page(
    tiff: TiffFile, file: BinaryIO, name: str, *, max_pixels: int, page_at: int | None = None
) -> RegionSource | None:
    """One page; see `open_tiff`."""
    with readable(name, _FORMAT):
        if page_at is not None:
            _check_values(ifd.tiff_in_file(file), page_at, file)
    try:
        page = tiff.pages.first if page_at is None else page_at_offset(tiff, page_at)
        kind = tiff_kind(page, has_profile=_ICC_PROFILE in page.tags) if _has_size(page) else None
    except ImageError:
        raise
    except Exception:
        return None
    if kind is None:
        return None
    check_pixels(name, page.imagelength, page.imagewidth, max_pixels)
    if page.is_tiled:
        check_pixels(name, page.tilelength, page.tilewidth, max_pixels)
    with readable(name, _FORMAT):
        # Who asks for one page has been told of the others: to count them for each would take time by their square.
        return _source(page, kind, file, name, max_pixels, pages_of(file) if page_at is None else None)


def _check_values(structure: ifd.Tiff, at: int, file: BinaryIO) -> None:
    """Refuse a directory that makes a reader load the same bytes many times."""
    if not ifd.values_fit(structure, at, file.seek(0, 2)):
        raise ValueError(ifd.OVERLAP)


def _has_size(page: TiffPage) -> bool:
    """Whether a damaged tag has not made nothing, or several numbers, of the sizes that all else counts with."""
    sides = (page.imagelength, page.imagewidth, *((page.tilelength, page.tilewidth) if page.is_tiled else ()))
    return all(isinstance(side, int) and side >= 1 for side in sides)


def page_at_offset(tiff: TiffFile, page_at: int) -> TiffPage:
    """The page whose directory lies there."""
    from tifffile import TiffPage

    tiff.filehandle.seek(page_at)
    return TiffPage(tiff, index=1)


def _source(
    page: TiffPage, kind: TiffKind, file: BinaryIO, name: str, max_pixels: int, frames: Frames | None
) -> RegionSource:
    found = read_metadata(_Described.of(page, kind), file, "tiff")  # type: ignore[arg-type]  # all that it looks at
    segments, losses = Segments(page, file, name), set[str]()
    if segments.size_bytes > _PIXEL_BYTES * max_pixels:
        raise ImageError(
            name,
            f"is stored in strips or tiles of {segments.size_bytes} bytes, more than {_PIXEL_BYTES} for each of "
            f"{max_pixels} pixels",
            f"add --max-pixels {-(-segments.size_bytes // _PIXEL_BYTES)} if you trust the file",
        )
    sides = page.imagelength, page.imagewidth
    height, width = sides[::-1] if TURNS[found.orientation].swapped else sides
    return RegionSource(
        ImageInfo(
            format="tiff",
            height=height,
            width=width,
            layout=kind.layout,
            warnings=(*kind.warnings, *found.warnings),
            lossless=kind.lossless,
            frames=frames,
            decoding_bytes=segments.held_bytes,
        ),
        found.metadata,
        orientation=found.orientation,
        read_box=segments.reader(kind, losses),
        losses=losses,
    )


@dataclass(frozen=True, slots=True)
class _Described:
    """What `read_metadata` looks at in an image opened by Pillow, of a page opened by tifffile."""

    mode: str
    info: dict[str, Any]
    tag_v2: dict[int, Any]
    page_at: int

    @classmethod
    def of(cls, page: TiffPage, kind: TiffKind) -> _Described:
        tags = {code: page.tags.valueof(code) for code in (ORIENTATION, _X_RESOLUTION) if code in page.tags}
        info = {"icc_profile": page.tags.valueof(_ICC_PROFILE), "xmp": page.tags.valueof(_XMP), "dpi": _dpi(page)}
        mode = "CMYK" if kind.layout.colour == "cmyk" else ""
        return cls(mode, {key: value for key, value in info.items() if value}, tags, page.offset)


def _dpi(page: TiffPage) -> tuple[float, float] | None:
    per_inch = UNITS_PER_INCH.get(int(page.tags.valueof(_RESOLUTION_UNIT, 2)))
    rationals = [page.tags.valueof(code) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
    if per_inch is None or not all(isinstance(each, tuple) and len(each) == 2 and each[1] for each in rationals):
        return None
    across, down = (above / below * per_inch for above, below in rationals)
    return across, down


@dataclass
class Segments:
    """The strips or tiles of a page, decoded when a box touches them, and kept until a box does not.

    Raises:
        ImageError: one of them lies outside the file.
    """

    page: TiffPage
    file: BinaryIO
    name: str
    _plain: bool = field(init=False)
    _side: tuple[int, int] = field(init=False)
    _grid: tuple[int, int] = field(init=False)
    _decoded: dict[int, NDArray[Any] | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        page = self.page
        height, width, row_bytes = page.imagelength, page.imagewidth, 0
        self._plain = bool(
            page.is_contiguous
            and not page.is_tiled
            and page.compression == 1
            and page.predictor == 1
            and page.fillorder == 1
            and page.bitspersample in {8, 16, 32, 64}
            and not page.is_subsampled
        )
        if self._plain:
            row_bytes = width * self._contiguous * page.bitspersample // 8
            self._side = min(height, max(1, _PLAIN_BYTES // row_bytes)), width
        elif page.is_tiled:
            self._side = page.tilelength, page.tilewidth
        else:
            self._side = min(page.rowsperstrip, height), width
        self._grid = -(-height // self._side[0]), -(-width // self._side[1])
        self._check_inside(self._planes * height * row_bytes)

    @property
    def size_bytes(self) -> int:
        """Of one strip or tile, decoded."""
        return self._side[0] * self._side[1] * self._contiguous * int(np.dtype(self.page.dtype).itemsize)

    @property
    def held_bytes(self) -> int:
        """What is decoded of the page while a band is read that lies in two rows of strips or tiles."""
        rows = 0 if self._plain else min(2, self._grid[0])
        return rows * self._grid[1] * self._planes * self.size_bytes

    @property
    def _contiguous(self) -> int:
        """Samples of a pixel that lie side by side."""
        return 1 if self.page.planarconfig == 2 else int(self.page.samplesperpixel)

    @property
    def _planes(self) -> int:
        return int(self.page.samplesperpixel) // self._contiguous

    def _check_inside(self, plain_bytes: int) -> None:
        page = self.page
        end = self.file.seek(0, 2)
        if self._plain:
            spans = [(page.dataoffsets[0], plain_bytes)]
        else:
            spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        expected = 1 if self._plain else self._planes * self._grid[0] * self._grid[1]
        if len(spans) < expected or any(at + size > end for at, size in spans):
            raise ImageError(self.name, "is truncated: the file ends before its image does", _COPY)

    def reader(self, kind: TiffKind, losses: set[str]) -> ReadBox:
        """Reads boxes of the page as rows, and adds to `losses` as `TiffKind.rows` does."""

        def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
            with readable(self.name, _FORMAT):
                return kind.rows(self.box(top, bottom, left, right, kind.samples), losses)

        return read_box

    def box(self, top: int, bottom: int, left: int, right: int, samples: tuple[int, ...]) -> NDArray[Any]:
        """Stored numbers of these samples, (rows, columns, samples)."""
        box = np.zeros((bottom - top, right - left, len(samples)), self.page.dtype)
        tall, wide = self._side
        touched: dict[int, NDArray[Any] | None] = {}
        planes = range(self._planes) if self._planes == 1 else samples
        for row in range(top // tall, -(-bottom // tall)):
            for column in range(left // wide, -(-right // wide)):
                for plane in planes:
                    index = (plane * self._grid[0] + row) * self._grid[1] + column
                    piece = self._decoded[index] if index in self._decoded else self._segment(index, plane, row)
                    touched[index] = piece
                    if piece is None:  # sparse: never written, all zero
                        continue
                    y, x = row * tall, column * wide
                    part = piece[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
                    target = box[max(y - top, 0) :, max(x - left, 0) :][: part.shape[0], : part.shape[1]]
                    if self._planes == 1:
                        target[:] = part[..., list(samples)] if len(samples) != part.shape[2] else part
                    else:
                        target[..., samples.index(plane)] = part[..., 0]
        self._decoded = touched
        return box

    def _segment(self, index: int, plane: int, row: int) -> NDArray[Any] | None:
        """A strip or tile: (rows, width, samples side by side)."""
        page = self.page
        if self._plain:
            top, width = row * self._side[0], self._side[1]
            rows = min(self._side[0], page.imagelength - top)
            stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
            row_bytes = width * self._contiguous * stored.itemsize
            self.file.seek(page.dataoffsets[0] + (plane * page.imagelength + top) * row_bytes)
            return np.frombuffer(self.file.read(rows * row_bytes), stored).reshape(rows, width, self._contiguous)
        at, size = page.dataoffsets[index], page.databytecounts[index]
        if not size:
            return None
        self.file.seek(at)
        data = self.file.read(size)
        is_jpeg = page.compression in JPEG_COMPRESSIONS
        if is_larger((page.jpegheader or b"") + data, page.compression, *self._side, self._contiguous):
            raise ValueError("a segment larger than its place")
        if page.compression == _LZW:
            data, page = self._unpacked(data, index), self._unpacked_page
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {}
        decoded = page.decode(data, index, **tables)[0]
        return None if decoded is None else decoded[0]

    def _unpacked(self, data: bytes, index: int) -> bytes:
        """LZW by libtiff: damaged data make imagecodecs' decoder crash."""
        page = self.page
        rows, width = self._side
        if not page.is_tiled:
            rows = min(rows, page.imagelength - index % self._grid[0] * rows)
        row_bytes = -(-width * self._contiguous * page.bitspersample // 8)
        return lzw_decoded(data, rows, row_bytes, fill_order=page.fillorder)

    @cached_property
    def _unpacked_page(self) -> TiffPage:
        """The page as it would be if it were not compressed."""
        page = copy(self.page)
        page.compression, page.fillorder = 1, 1
        return page
