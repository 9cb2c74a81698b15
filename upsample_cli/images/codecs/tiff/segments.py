"""Decode the strips and tiles of a TIFF page with imagecodecs when a box of the page overlaps them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.jpeg2000_tiles import CODESTREAM_START, check_tiles
from upsample_cli.images.codecs.jpeg_decoder import END_OF_IMAGE, FILLINGS
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import COPY, readable
from upsample_cli.images.codecs.tiff.embedded import EMBEDDED, decoded_image
from upsample_cli.images.codecs.tiff.kinds import JPEG_COMPRESSIONS, TiffKind
from upsample_cli.images.codecs.tiff.lzw import lzw_decoded
from upsample_cli.images.codecs.tiff.segment_size import JPEG_2000, is_larger, jpeg_frame
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import Rows
from upsample_cli.images.regions import ReadBox

if TYPE_CHECKING:
    from tifffile import TiffPage

_PLAIN_BYTES = 1 << 20  # bytes of uncompressed pixels to read at a time
_LZW, _ROWS_PER_STRIP = 5, 278
_SPARE_BYTES = 64 << 20
"""The most bytes of all strips in addition to four times their pixels. Overlapping strips can claim any size."""


@dataclass
class Segments:
    """The strips or tiles of a page. They are decoded when a box overlaps them, and kept until a box does not.

    Raises:
        ImageError: a strip or tile is outside the file.
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
        height, width = page.imagelength, page.imagewidth
        row_bytes = -(-width * self._contiguous * page.bitspersample // 8)
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
            self._side = min(height, max(1, _PLAIN_BYTES // row_bytes)), width
        elif page.is_tiled:
            self._side = page.tilelength, page.tilewidth
        else:
            self._side = min(page.rowsperstrip, height), width
        self._grid = -(-height // self._side[0]), -(-width // self._side[1])
        self._check_inside(self._planes * height * row_bytes)

    @property
    def size_bytes(self) -> int:
        """Bytes of one decoded strip or tile."""
        return self._side[0] * self._side[1] * self._contiguous * int(np.dtype(self.page.dtype).itemsize)

    @property
    def held_bytes(self) -> int:
        """Bytes of the decoded segments while a band overlaps two rows of strips or tiles."""
        rows = 0 if self._plain else min(2, self._grid[0])
        return rows * self._grid[1] * self._planes * self.size_bytes

    @property
    def _contiguous(self) -> int:
        """Samples of a pixel that are stored contiguously."""
        return 1 if self.page.planarconfig == 2 else int(self.page.samplesperpixel)

    @property
    def _planes(self) -> int:
        return int(self.page.samplesperpixel) // self._contiguous

    @property
    def _tall(self) -> int:
        """Rows that a segment may store: a strip possibly more than the image has, but less than twice as many."""
        # Not page.rowsperstrip, which tifffile limits to the image.
        stated, rows = self.page.tags.valueof(_ROWS_PER_STRIP), self._side[0]
        is_taller = isinstance(stated, int) and rows < stated < 2 * rows and not self.page.is_tiled
        return stated if is_taller else rows

    def _check_inside(self, pixel_bytes: int) -> None:
        page = self.page
        end = self.file.seek(0, 2)
        if self._plain:
            spans = [(page.dataoffsets[0], pixel_bytes)]
        else:
            spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        expected = 1 if self._plain else self._planes * self._grid[0] * self._grid[1]
        if len(spans) < expected or any(at + size > end for at, size in spans):
            raise ImageError(self.name, "is truncated: the file ends before its image does", COPY)
        if sum(size for _, size in spans[:expected]) > _SPARE_BYTES + 4 * pixel_bytes:
            raise ImageError(self.name, "is damaged: its strips or tiles are far larger than their pixels", COPY)

    def reader(self, kind: TiffKind, losses: set[Loss]) -> ReadBox:
        """A `ReadBox` for the page. It adds to `losses` like `TiffKind.rows`."""

        def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
            with quiet_pillow(), readable(self.name, FORMATS["tiff"]):
                return kind.rows(self.box(top, bottom, left, right, kind.samples), losses)

        return read_box

    def box(self, top: int, bottom: int, left: int, right: int, samples: tuple[int, ...]) -> NDArray[Any]:
        """The stored numbers of these samples, (rows, columns, samples)."""
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
                    if piece is None:  # sparse: not stored, all zero
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
        """Decode a strip or tile: (rows, width, contiguous samples). None if it is not stored."""
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
        if is_larger((page.jpegheader or b"") + data, page.compression, self._tall, self._side[1], self._contiguous):
            raise ValueError("a segment larger than its place")
        if page.compression in JPEG_2000:
            check_tiles(data[max(data.find(CODESTREAM_START), 0) :])
        if page.compression in EMBEDDED:
            pixels = decoded_image(page, data, self._contiguous)
            self._check_side(pixels.shape[0], pixels.shape[1], index, row)
            return pixels[: page.imagelength - row * self._side[0]]
        if page.compression == _LZW:
            data, page = self._unpacked(data, index), self._unpacked_page
        decoded = self._decode(page, data, index, row)
        if decoded is None:
            return None
        if page.compression in JPEG_COMPRESSIONS:
            self._check_jpeg(page, data, decoded, index, row)
        piece: NDArray[Any] = decoded[0]
        return piece[: page.imagelength - row * self._side[0]]

    def _check_side(self, height: int, width: int, index: int, row: int) -> None:
        """Check the size of an image in a segment: that of the segment, or of the part of it that is in the page."""
        tall, wide = self._side
        needed = min(tall, self.page.imagelength - row * tall)
        remaining = min(wide, self.page.imagewidth - index % self._grid[1] * wide)
        if (height, width) != (needed, remaining) and not (width == wide and needed <= height <= self._tall):
            raise ValueError("a segment of another size than its place")

    def _check_jpeg(self, page: TiffPage, data: bytes, decoded: NDArray[Any], index: int, row: int) -> None:
        frame = jpeg_frame((page.jpegheader or b"") + data)
        if frame is not None:
            self._check_side(frame.height, frame.width, index, row)
            if (frame.bits, frame.samples) != (page.bitspersample, self._contiguous):
                raise ValueError("a segment of other pixels than the page")
        if END_OF_IMAGE not in data:
            for filling in FILLINGS:
                filled = self._decode(page, data + filling + END_OF_IMAGE, index, row)
                if filled is None or (filled != decoded).any():
                    raise ValueError("truncated")  # decoders invent the missing pixels

    def _decode(self, page: TiffPage, data: bytes, index: int, row: int) -> NDArray[Any] | None:
        is_jpeg = page.compression in JPEG_COMPRESSIONS
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {}
        try:
            decoded: NDArray[Any] | None = page.decode(data, index, **tables)[0]
        except Exception:
            if page.is_tiled or row < self._grid[0] - 1:
                raise
            # Some writers store the last strip with full height, beyond the end of the image.
            taller = _with_rows(page, row * self._side[0], self._tall)
            decoded = taller.decode(data, index, **tables)[0]
        return decoded

    def _unpacked(self, data: bytes, index: int) -> bytes:
        """Decompress LZW with libtiff, because the decoder of imagecodecs crashes on damaged data."""
        page = self.page
        rows, width = self._side
        if not page.is_tiled:
            rows = min(rows, page.imagelength - index % self._grid[0] * rows)
        row_bytes = -(-width * self._contiguous * page.bitspersample // 8)
        return lzw_decoded(data, rows, row_bytes, fill_order=page.fillorder)

    @cached_property
    def _unpacked_page(self) -> TiffPage:
        """The page, described as uncompressed."""
        page = copy(self.page)
        page.compression, page.fillorder = 1, 1
        return page


def _with_rows(page: TiffPage, above: int, rows: int) -> TiffPage:
    """The page, described as having `rows` rows in its last strip."""
    page = copy(page)
    for cached in ("decode", "hash"):
        vars(page).pop(cached, None)
    page.imagelength, page.rowsperstrip = above + rows, rows
    page.shaped = (*page.shaped[:2], page.imagelength, *page.shaped[3:])
    return page
