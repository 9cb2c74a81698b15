"""Write PNG as rows arrive: the whole enlarged image is never in memory.

Rows are regrouped into strips whose height depends only on the width, and each strip becomes one IDAT chunk. So the
bytes of the file depend neither on how rows are grouped into calls nor on which thread deflates them. But ISA-L does
not promise the same stream for the same rows: on a busy machine, about one file of 6,000 differed by a byte, with equal
pixels.
"""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import Executor
from typing import BinaryIO, NamedTuple

import numpy as np

from upsample_cli.errors import UsageError
from upsample_cli.images.codecs import deflate
from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk
from upsample_cli.images.codecs.png.metadata_chunks import metadata_chunks
from upsample_cli.images.codecs.strips import StripWriter
from upsample_cli.images.model import Colour, Layout, Metadata, Rows

MAX_SIDE = 2**31 - 1
CHUNK_BYTES = 1 << 20
_COLOUR_TYPES: dict[tuple[Colour, bool], int] = {
    ("grey", False): 0,
    ("rgb", False): 2,
    ("grey", True): 4,
    ("rgb", True): 6,
}


class _Idat(NamedTuple):
    chunk: bytes
    adler32: int  # of the bytes before deflating
    size: int  # their number


def _idat(pieces: list[Rows], above: Rows | None, *, level: int) -> _Idat:
    """Make an IDAT chunk of a strip of rows; a `strips.Work`. The first chunk begins the zlib stream."""
    width, channels = pieces[0].shape[1:]
    sample = pieces[0].dtype.newbyteorder(">")
    raw = np.empty((1 + sum(map(len, pieces)), width, channels), sample)
    raw[0] = 0 if above is None else above
    np.concatenate(pieces, out=raw[1:])
    pixel_bytes = channels * sample.itemsize
    part = deflate.deflate_rows(raw.view(np.uint8).reshape(len(raw), -1), pixel_bytes=pixel_bytes, level=level)
    start = deflate.STREAM_START if above is None else b""
    return _Idat(png_chunk(b"IDAT", start + part.data), part.adler32, part.size)


class PngSink(StripWriter[_Idat]):
    """Writes a PNG to `file`, a strip at a time; an `interfaces.Sink`.

    Args:
        file: the output file. It is written in order, never seeks, and is not closed.
        height: number of rows.
        width: pixels of a row.
        layout: "grey" or "rgb", with or without alpha, 8 or 16 bits.
        metadata: the metadata to write.
        level: 0 (not compressed), or 1 (fastest) to 9 (smallest); see `deflate.deflate_rows`.
        executor: deflates strips together with the calling thread; None for the calling thread only.

    Raises:
        UsageError: the level does not exist.
        ValueError: PNG cannot hold this size or layout; here and later, if rows have another shape or type.

    >>> import io
    >>> file = io.BytesIO()
    >>> sink = PngSink(file, height=2, width=3, layout=Layout("grey"), metadata=Metadata())
    >>> sink.write_rows(np.zeros((2, 3, 1), np.uint8))
    >>> sink.finish()
    >>> len(file.getvalue())
    91
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        height: int,
        width: int,
        layout: Layout,
        metadata: Metadata,
        level: int = deflate.DEFAULT_LEVEL,
        executor: Executor | None = None,
    ) -> None:
        colour_type = _COLOUR_TYPES.get((layout.colour, layout.alpha))
        if colour_type is None or layout.depth > 16:
            raise ValueError(f"PNG holds grey or rgb of 8 or 16 bits, not {layout}")
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ValueError(f"PNG holds 1 to {MAX_SIDE} rows and columns, not {height} rows of {width}")
        if level not in deflate.LEVELS:
            raise UsageError(f"PNG level {level} does not exist", f"use {min(deflate.LEVELS)} to {max(deflate.LEVELS)}")
        self._file, self._adler32 = file, zlib.adler32(b"")
        row_bytes = width * layout.channels * layout.dtype.itemsize
        super().__init__(
            height,
            width,
            layout,
            max(1, CHUNK_BYTES // row_bytes),
            work=lambda pieces, above: _idat(pieces, above, level=level),
            write=self._write_idat,
            executor=executor,
        )
        file.write(
            SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, layout.depth, colour_type, 0, 0, 0))
        )
        file.write(b"".join(metadata_chunks(metadata, layout)))

    def finish(self) -> None:
        """Write the pending strips and the end of the file.

        Raises:
            ValueError: rows are missing, or the sink has already ended.
        """
        super().finish()
        self._file.write(png_chunk(b"IDAT", deflate.stream_end(self._adler32)) + png_chunk(b"IEND", b""))

    def _write_idat(self, idat: _Idat) -> None:
        self._adler32 = deflate.adler32_combine(self._adler32, idat.adler32, idat.size)
        self._file.write(idat.chunk)
