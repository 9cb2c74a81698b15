"""Which PNGs are read by rows, and how much memory decoding takes. No numpy: headers are read without it."""

from __future__ import annotations

import os
from typing import BinaryIO

from PIL import ImageFile

from upsample_cli.images.codecs.pillow_pixels import Reading, raw_mode_of
from upsample_cli.images.codecs.png.compiled import compiled

_BITS = {
    "1": 1, "L;2": 2, "L;4": 4, "L": 8, "I;16B": 16, "RGB": 24, "RGB;16B": 48, "P;1": 1, "P;2": 2, "P;4": 4, "P": 8,
    "LA": 16, "LA;16B": 32, "RGBA": 32, "RGBA;16B": 64,
}  # fmt: skip
_COLOUR_BYTES = 4
"""Bytes that Pillow takes for a pixel of several channels."""


def pixel_bits(image: ImageFile.ImageFile) -> int:
    """Bits of a stored pixel.

    Args:
        image: a PNG that Pillow has opened and not decoded.
    """
    return _BITS[raw_mode_of(image)]


def is_read_by_rows(image: ImageFile.ImageFile) -> bool:
    """Whether `reader.PngRows` reads such an image; otherwise it is decoded whole."""
    return not image.info.get("interlace") and raw_mode_of(image) in _BITS and compiled() is not None


def decoding_bytes(image: ImageFile.ImageFile, file: BinaryIO, reading: Reading, *, is_in_order: bool) -> int:
    """See `ImageInfo.decoding_bytes`.

    Args:
        image: a PNG that Pillow has opened and not decoded.
        file: the PNG without its metadata; its position is moved.
        is_in_order: whether rows are read once, from top to bottom.
    """
    if is_read_by_rows(image):
        return 0 if is_in_order else image.height * -(-image.width * pixel_bits(image) // 8)
    pixels, layout = image.height * image.width, reading.layout
    if reading.drops_low_byte:  # libpng gets the whole file in memory
        return pixels * layout.channels * 2 + file.seek(0, os.SEEK_END)
    return pixels * (layout.depth // 8 if layout.channels == 1 else _COLOUR_BYTES)
