"""Write TIFF as rows arrive, in independently deflated strips; BigTIFF if 4 GiB might be exceeded.

The Exif block is the head of the file. Its offsets count from the start of a TIFF structure, so all of them stay valid
there, including those in camera makers' notes. The strips follow, and a new directory at the end points to them and to
the values in the block. In a BigTIFF, offsets have another size, so the block is rewritten.
Source: TIFF revision 6.0 with its supplements 1 (deflate) and 2 (Photoshop); BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import errno
import struct
from concurrent.futures import Executor
from functools import partial
from importlib import import_module
from io import BytesIO
from shutil import copyfileobj
from typing import BinaryIO

import numpy as np

from upsample_cli.images.codecs.strips import StripWriter
from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.exif_from_tiff import descriptive_fields
from upsample_cli.images.metadata.iptc import TIFF_TAG
from upsample_cli.images.metadata.tiff_tags import STORAGE
from upsample_cli.images.model import Colour, Layout, Metadata, Rows

DEFAULT_LEVEL = 1
_STRIP_BYTES = 1 << 20
_CLASSIC_MAX_BYTES = 2**32 - 1
_PHOTOMETRIC: dict[Colour, int] = {"grey": 1, "rgb": 2, "cmyk": 5, "cielab": 8, "icclab": 9}
_UNCOMPRESSED, _DEFLATE, _CHUNKY, _STRAIGHT_ALPHA, _NO_UNIT, _INCH = 1, 8, 1, 2, 1, 2
_HORIZONTAL_DIFFERENCE, _FLOAT_DIFFERENCE, _FLOATING_POINT = 2, 3, 3

# Level to module (both have zlib's interface) and its effort.
_LEVELS: dict[int, tuple[str, int] | None] = {
    0: None,
    **{level: ("isal.isal_zlib", level) for level in (1, 2)},
    **{level: ("zlib", level) for level in range(3, 10)},
}


class TiffSink(StripWriter[bytes]):
    """Writes a TIFF to `file`, a strip at a time; an `interfaces.Sink`.

    Args:
        file: the output file, at its start. If it is not seekable, the TIFF is kept in memory until `finish`.
        height: number of rows.
        width: pixels of a row.
        layout: any layout.
        metadata: the metadata to write, with `exif` as `metadata_for_output` returns it.
        level: 0 (not compressed) to 9 (smallest, slowest). 1 and 2 use ISA-L's deflate, 3 to 9 zlib's.
        executor: deflates strips together with the calling thread; see `strips.StripWriter`.
        total_bytes: bytes of pixels in the whole file, if more pages follow.
        before: the previous page of the same file, finished; `file` and `total_bytes` must be the same as for it.

    >>> file = BytesIO()
    >>> sink = TiffSink(file, height=2, width=3, layout=Layout("grey"), metadata=Metadata(), level=0)
    >>> import numpy as np
    >>> sink.write_rows(np.zeros((2, 3, 1), np.uint8))
    >>> sink.finish()
    >>> file.getvalue()[:2]
    b'II'
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        height: int,
        width: int,
        layout: Layout,
        metadata: Metadata,
        level: int = DEFAULT_LEVEL,
        executor: Executor | None = None,
        total_bytes: int = 0,
        before: TiffSink | None = None,
    ) -> None:
        self._final, self._file = file, file if file.seekable() else BytesIO()
        self._height, self._width, self._layout, self._metadata, self._level = height, width, layout, metadata, level
        self._order = ">" if (metadata.exif or b"").startswith(b"MM") else "<"
        row_bytes = width * layout.channels * layout.dtype.itemsize
        blocks = (metadata.exif, metadata.icc_profile, metadata.xmp)
        # Deflate enlarges incompressible data; 1 part in 1000 and 1 MiB cover this and the tables in every case.
        most_bytes = (
            max(total_bytes, height * row_bytes) * 1001 // 1000 + sum(len(block or b"") for block in blocks) + (1 << 20)
        )
        self._big = most_bytes > _CLASSIC_MAX_BYTES
        self._strip_at: list[int] = []
        self._strip_bytes: list[int] = []
        self._at, self._next_at, self._is_head = 0, 0, before is None
        if before is None:
            self._append(self._head())
            self._link_at = 8 if self._big else 4
        else:
            self._order, self._big, self._at, self._link_at = before._order, before._big, before._at, before._next_at
        super().__init__(
            height,
            width,
            layout,
            max(1, _STRIP_BYTES // row_bytes),
            work=partial(_strip, order=self._order, level=level, signed=layout.colour == "cielab"),
            write=self._write_strip,
            executor=executor,
        )

    def finish(self) -> None:
        """Write the pending strips, the directory, and its offset."""
        super().finish()
        self._append(bytes(-self._at % 2))
        at, fields = self._at, self._fields()
        self._next_at = at + (8 + 20 * len(fields) if self._big else 2 + 12 * len(fields))
        self._append(ifd_write.directory_bytes(fields, order=self._order, at=at, big=self._big))
        self._file.seek(self._link_at)
        self._file.write(struct.pack(self._order + ("Q" if self._big else "I"), at))
        self._file.seek(self._at)
        if self._file is not self._final:
            self._file.seek(0)
            copyfileobj(self._file, self._final)

    @property
    def end(self) -> int | None:
        """The end of the finished page in the file; None if it is not finished."""
        return self._at if self._next_at else None

    def _append(self, data: bytes) -> None:
        if not self._big and self._at + len(data) > _CLASSIC_MAX_BYTES:
            raise OSError(errno.EFBIG, "its pages are too large for one another")
        self._file.write(data)
        self._at += len(data)

    def _write_strip(self, data: bytes) -> None:
        self._append(bytes(-self._at % 2))
        self._strip_at.append(self._at)
        self._strip_bytes.append(len(data))
        self._append(data)

    def _head(self) -> bytes:
        if self._metadata.exif and not self._big:
            return self._metadata.exif
        mark = b"II" if self._order == "<" else b"MM"
        return mark + (
            struct.pack(self._order + "HHHQ", 43, 8, 0, 0) if self._big else struct.pack(self._order + "HI", 42, 0)
        )

    def _fields(self) -> list[ifd_write.Field]:
        layout, metadata, order = self._layout, self._metadata, self._order
        short, long = (partial(_integers, order, kind) for kind in (ifd.SHORT, ifd.LONG))
        fields = [
            long(256, self._width),
            long(257, self._height),
            short(258, *[layout.depth] * layout.channels),
            short(259, _DEFLATE if _LEVELS[self._level] else _UNCOMPRESSED),
            short(262, _PHOTOMETRIC[layout.colour]),
            _integers(order, ifd.LONG8 if self._big else ifd.LONG, 273, *self._strip_at),
            short(277, layout.channels),
            long(278, min(self._strip_rows, self._height)),
            long(279, *self._strip_bytes),
            short(284, _CHUNKY),
        ]
        if _LEVELS[self._level]:
            fields.append(short(317, _FLOAT_DIFFERENCE if layout.depth == 32 else _HORIZONTAL_DIFFERENCE))
        if layout.depth == 32:
            fields.append(short(339, *[_FLOATING_POINT] * layout.channels))
        if layout.alpha:
            fields.append(short(338, _STRAIGHT_ALPHA))
        if metadata.dpi:
            fields += [
                ifd_write.rational(282, order, metadata.dpi[0]),
                ifd_write.rational(283, order, metadata.dpi[1]),
                short(296, _INCH),
            ]
        elif metadata.aspect:
            fields += [
                ifd_write.rational(282, order, metadata.aspect[0]),
                ifd_write.rational(283, order, metadata.aspect[1]),
                short(296, _NO_UNIT),
            ]
        described = self._described(metadata.exif) if metadata.exif else []
        blocks = (
            (700, 1, metadata.xmp),
            (TIFF_TAG, ifd.UNDEFINED, metadata.iptc),
            (34675, ifd.UNDEFINED, metadata.icc_profile),
        )
        for tag, kind, value in blocks:
            if value:
                fields.append(ifd_write.Field(tag, kind, len(value), value))
        own = list(metadata.tags.fields) if metadata.tags is not None else []
        if metadata.tags is not None and metadata.tags.order != order:
            own = [ifd_write.swapped(field) for field in own]
        taken = {field.tag for field in (*fields, *own)}
        return fields + own + [field for field in described if field.tag not in taken]

    def _described(self, exif: bytes) -> list[ifd_write.Field]:
        tiff = ifd.tiff_in_bytes(exif)
        follow = self._big or not self._is_head
        fields = descriptive_fields(tiff, follow=follow, wanted=lambda tag: tag not in STORAGE)
        return fields if tiff.order == self._order else [ifd_write.swapped(field) for field in fields]


def _strip(pieces: list[Rows], _above: Rows | None, *, order: str, level: int, signed: bool) -> bytes:
    """Convert rows to stored bytes; a `strips.Work`. If `signed`, a* and b* are stored as signed numbers."""
    rows = np.concatenate(pieces)
    if signed:
        rows[..., 1:3] ^= rows.dtype.type(1 << 8 * rows.itemsize - 1)  # from an offset to signed numbers
    library = _LEVELS[level]
    if library is None:
        return rows.astype(order + rows.dtype.str[1:], copy=False).tobytes()
    data = _float_differences(rows) if rows.dtype.kind == "f" else _differences(rows, order)
    return bytes(import_module(library[0]).compress(data, library[1]))


def _differences(rows: Rows, order: str) -> bytes:
    """Horizontal differences of whole numbers. Source: TIFF revision 6.0, section 14."""
    rows[:, 1:] -= rows[:, :-1].copy()
    return rows.astype(order + rows.dtype.str[1:], copy=False).tobytes()


def _float_differences(rows: Rows) -> bytes:
    """Differences of floating point: the first bytes of a row, then the second ones, and so on, most significant first.

    Source: TIFF Technical Note 3 (Adobe, 2005).
    """
    height, width, channels = rows.shape
    planes = rows.astype(">f4", copy=False).view(np.uint8).reshape(height, width * channels, 4).transpose(0, 2, 1)
    line = planes.reshape(height, 4 * width * channels)
    line[:, channels:] -= line[:, :-channels].copy()
    return line.tobytes()


def _integers(order: str, kind: int, tag: int, *values: int) -> ifd_write.Field:
    return ifd_write.integers(tag, kind, order, *values)
