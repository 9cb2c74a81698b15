"""An image decoded by Pillow, as a source: pieces of its memory are cut out and turned as bands are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from upsample_cli.images.codecs.pillow_file import PIECE_BYTES, PILLOW_PIXEL_BYTES, quiet_pillow
from upsample_cli.images.header import Header
from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.regions import TURNS

_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what brings a stored piece upright, by Exif's orientation


class PillowSource:
    """An image decoded by Pillow; a `model.Source`. Made by `source.open_image`."""

    info: ImageInfo
    metadata: Metadata
    losses: Collection[str] = ()

    def __init__(self, image: Image.Image, header: Header) -> None:
        self.info, self.metadata = header.info, header.metadata
        self._reading, self._turn = header.reading, TURNS[header.orientation]
        self._method = _METHODS.get(header.orientation)
        self._image: Image.Image | None = image

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` to `bottom` (exclusive): `(bottom - top, width, channels)`, writable, owned by the caller.

        Bands may be asked for in any order and from several threads.
        """
        info = self.info
        if not 0 <= top < bottom <= info.height:
            raise ValueError(f"no rows {top} to {bottom} in an image of {info.height}")
        rows = np.empty((bottom - top, info.width, info.layout.channels), info.layout.dtype)
        with quiet_pillow():
            for y0, y1, x0, x1 in self._pieces(top, bottom):
                rows[y0 - top : y1 - top, x0:x1] = self._reading.rows(self._piece(y0, y1, x0, x1))
        return rows

    def _pieces(self, top: int, bottom: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut a band so that each piece is small, and long in the direction in which it is stored."""
        width, piece_pixels = self.info.width, PIECE_BYTES // PILLOW_PIXEL_BYTES
        if self._turn.swapped:
            step = max(1, piece_pixels // (bottom - top))
            yield from ((top, bottom, x, min(x + step, width)) for x in range(0, width, step))
        else:
            step = max(1, piece_pixels // width)
            yield from ((y, min(y + step, bottom), 0, width) for y in range(top, bottom, step))

    def _piece(self, y0: int, y1: int, x0: int, x1: int) -> Image.Image:
        """A piece of the upright image."""
        if self._image is None:
            raise ValueError("this image is closed")
        top, bottom, left, right = self._turn.stored((y0, y1, x0, x1), self.info.height, self.info.width)
        piece = self._image.crop((left, top, right, bottom))
        return piece if self._method is None else piece.transpose(self._method)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image = None
