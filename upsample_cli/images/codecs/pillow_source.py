"""Read boxes of an image that Pillow has decoded."""

from __future__ import annotations

from PIL import Image

from upsample_cli.images.codecs.pillow_pixels import Reading
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.model import Rows
from upsample_cli.images.regions import ReadBox

# The allocator reuses memory blocks of this size. Larger ones cost a page fault every 4 KiB (measured: six times
# slower).
PIECE_BYTES = 1 << 18
_PIXEL_BYTES = 4


def pillow_box(image: Image.Image, reading: Reading) -> ReadBox:
    """A `ReadBox` for a decoded image. It works in small pieces."""

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        import numpy as np  # headers are read without it

        rows = np.empty((bottom - top, right - left, reading.layout.channels), reading.layout.dtype)
        step = max(1, PIECE_BYTES // _PIXEL_BYTES // (right - left))
        with quiet_pillow():
            for y in range(top, bottom, step):
                end = min(y + step, bottom)
                rows[y - top : end - top] = reading.rows(image.crop((left, y, right, end)))
        return rows

    return read_box
