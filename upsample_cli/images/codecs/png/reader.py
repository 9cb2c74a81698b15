"""Read PNG by rows: they are inflated and unfiltered on request, so the whole image is never in memory.

Interlaced images are decoded as a whole by libraries, and so are all images without the compiled module.
Source: the PNG specification (W3C, third edition), chapters 7, 9 and 11.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.pillow_pixels import Reading, raw_mode_of
from upsample_cli.images.codecs.png.compiled import compiled
from upsample_cli.images.codecs.png.kinds import is_read_by_rows, pixel_bits
from upsample_cli.images.codecs.png.stream import FilteredRows, may_hold
from upsample_cli.images.model import Rows
from upsample_cli.images.regions import ReadBox

_Stored = NDArray[np.uint8]

_BLOCK_BYTES = 96 << 10
"""Bytes of rows to inflate at a time: they stay in the cache until they are unfiltered, and malloc keeps the memory."""


def png_pixels(image: ImageFile.ImageFile, file: BinaryIO, reading: Reading) -> Rows:
    """All pixels of a PNG. The arguments are those of `PngRows`, for any PNG."""
    box = 0, image.height, 0, image.width
    if is_read_by_rows(image):
        return PngRows(image, file, reading).read_box(*box)
    if reading.drops_low_byte:
        from upsample_cli.images.codecs.png.deep import decoded_png

        return decoded_png(file, reading.layout)(*box)
    return reading.rows(image)


class PngRows:
    """Decodes the rows of a PNG on request.

    Args:
        image: an image for which `kinds.is_read_by_rows` is true, as Pillow opened it, not decoded.
        file: the PNG, a seekable file, which must stay open; its position is moved.
        reading: how the pixels become rows.

    Raises:
        EOFError: the file is too short for the size in its header.
    """

    def __init__(self, image: ImageFile.ImageFile, file: BinaryIO, reading: Reading) -> None:
        bits = pixel_bits(image)
        self.losses = list[Loss]()
        self._file, self._height, self._bits = file, image.height, bits
        self._row_bytes, self._pixel_bytes = -(-image.width * bits // 8), max(1, bits // 8)
        self._samples = _samples_of(image, reading)
        if not may_hold(file, self._height * (1 + self._row_bytes)):
            raise EOFError("truncated")
        self._start()

    def _start(self) -> None:
        self._filtered, self._bottom = FilteredRows(self._file), 0
        self._above: _Stored = np.zeros(self._row_bytes, np.uint8)
        self._held, self._held_at = np.empty((0, self._row_bytes), np.uint8), 0

    def read_box(self, top: int, bottom: int, left: int, right: int) -> Rows:
        """A `regions.ReadBox`. For a band above the last one, the file is read again from the start.

        Raises:
            EOFError, ValueError, igzip_lib.error: the file is damaged.
        """
        if top < self._held_at:
            self._start()
        self._skip(top)
        known = self._held[top - self._held_at :]
        stored = np.empty((max(bottom, self._bottom) - top, self._row_bytes), np.uint8)
        stored[: len(known)] = known
        self._decode(stored[len(known) :])
        self._held, self._held_at = stored, top
        return self._box(stored[: bottom - top], left, right)

    def whole(self) -> ReadBox:
        """A `ReadBox` for boxes in any order. All stored rows are decoded now, and stay in memory."""
        self._start()
        stored = np.empty((self._height, self._row_bytes), np.uint8)
        self._decode(stored)
        return lambda top, bottom, left, right: self._box(stored[top:bottom], left, right)

    def _box(self, stored: _Stored, left: int, right: int) -> Rows:
        first = left * self._bits // 8
        samples = self._samples(stored[:, first : -(-right * self._bits // 8)])
        skipped = left - first * 8 // self._bits
        return samples[:, skipped : skipped + right - left]

    def _skip(self, top: int) -> None:
        step = self._block_rows()
        while self._bottom < top:
            self._decode(np.empty((min(step, top - self._bottom), self._row_bytes), np.uint8))
            self._held, self._held_at = self._held[:0], self._bottom

    def _block_rows(self) -> int:
        return max(1, _BLOCK_BYTES // (1 + self._row_bytes))

    def _decode(self, out: _Stored) -> None:
        """Decode the next rows into `out`."""
        unfilter, step = compiled().unfilter, self._block_rows()
        for top in range(0, len(out), step):
            rows = out[top : top + step]
            unfilter(self._filtered.take(len(rows) * (1 + self._row_bytes)), self._above, rows, self._pixel_bytes)
            self._above = rows[-1]
        if not len(out):
            return
        self._above, self._bottom = self._above.copy(), self._bottom + len(out)
        if self._bottom == self._height:
            self.losses[:] = self._filtered.checked()


def _samples_of(image: ImageFile.ImageFile, reading: Reading) -> Callable[[_Stored], Rows]:
    """The function that converts whole stored bytes, (rows, bytes), to rows in the layout of the reading."""
    raw_mode, key = raw_mode_of(image), image.info.get("transparency")
    if image.mode in {"1", "L", "P"} and (raw_mode != "L" or key is not None):
        return partial(_expanded, table=_table(image, reading))
    stored_channels = {"I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[raw_mode.partition(";")[0]]
    sample = reading.layout.dtype.newbyteorder(">")

    def samples(stored: _Stored) -> Rows:
        pixels = stored.view(sample).reshape(len(stored), -1, stored_channels)
        return pixels if stored_channels == reading.layout.channels else _with_alpha(pixels, key)

    return samples


def _expanded(stored: _Stored, table: Rows) -> Rows:
    height, width = stored.shape
    pixels = np.empty((height, width * table.shape[1], table.shape[2]), np.uint8)
    compiled().expand(np.ascontiguousarray(stored), table, pixels)
    return pixels


def _with_alpha(pixels: Rows, key: Any) -> Rows:
    """Pixels with an alpha channel, transparent where they have the colour `key`."""
    is_opaque = (pixels != np.array(key, pixels.dtype)).any(axis=2, keepdims=True)
    return np.concatenate((pixels, is_opaque * np.array(np.iinfo(pixels.dtype).max, pixels.dtype)), axis=2)


def _table(image: ImageFile.ImageFile, reading: Reading) -> Rows:
    """The pixels that each byte stands for, (256, pixels in a byte, channels). Pillow reads them as 256 rows."""
    across = 8 // pixel_bits(image)
    every = Image.frombytes(image.mode, (across, 256), bytes(range(256)), "raw", raw_mode_of(image))
    every.info = dict(image.info)
    if image.palette is not None:
        every.palette = image.palette.copy()
    every.load()
    return reading.rows(every)
