"""Decode interlaced 16-bit PNG in colour or with alpha with imagecodecs, because Pillow cuts it to 8 bits."""

from __future__ import annotations

import os
from typing import BinaryIO

from upsample_cli.images.model import Layout
from upsample_cli.images.regions import ReadBox, box_of

_IHDR_METHODS_AT = 26


def decoded_png(file: BinaryIO, layout: Layout) -> ReadBox:
    """Decode a PNG whose size has been checked.

    Args:
        file: a seekable file; it is not needed afterwards.
        layout: the layout from the header; a transparent colour counts as an alpha channel.

    Raises:
        ValueError: the pixels have another layout.
        RuntimeError: the PNG is damaged.
    """
    from imagecodecs import png_decode

    file.seek(_IHDR_METHODS_AT)
    if max(file.read(3)) > 1:  # libpng would print this to stderr
        raise ValueError("a method of compression, filtering or interlacing that PNG does not have")
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    data = bytearray(size_bytes)
    file.readinto(data)  # type: ignore[attr-defined]
    pixels = png_decode(data)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[2] != layout.channels or pixels.dtype != layout.dtype:
        raise ValueError(f"{pixels.shape[2]} channels of {pixels.dtype} where {layout} was announced")
    return box_of(pixels)
