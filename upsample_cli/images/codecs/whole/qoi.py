"""QOI, the "Quite OK Image Format", decoded by imagecodecs. Source: the QOI specification, 1.0."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.whole.model import CheckSize, Whole
from upsample_cli.images.limits import check_coded_bytes
from upsample_cli.images.model import ColourSpace, Layout, Rows

_HEAD_BYTES, _END = 14, bytes(7) + b"\1"
_MOST_PIXELS_OF_A_BYTE = 62
_LINEAR = 1
_DARKER, _LIGHTER = b"\x40" * 4, b"\x7f" * 4
"""Four pixels to add, or bytes of a pixel that is incomplete. They are decoded only if pixels are missing. The decoder
fills these with the last one, which then differs."""


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The image in `file`.

    Raises:
        ValueError: the file is damaged or truncated.
    """
    width, height, channels, space = struct.unpack(">4xIIBB", file.read(_HEAD_BYTES))
    check_size(height, width)
    if channels not in {3, 4} or space > _LINEAR:
        raise ValueError("its header makes no sense")
    size_bytes = file.seek(0, os.SEEK_END) - _HEAD_BYTES - len(_END)
    check_coded_bytes(name, size_bytes, height * width)
    file.seek(-len(_END), os.SEEK_END)
    if height * width > _MOST_PIXELS_OF_A_BYTE * size_bytes or file.read() != _END:
        raise ValueError("truncated")

    def decode(_losses: set[Loss]) -> Rows:
        from imagecodecs import qoi_decode

        file.seek(0)
        coded = file.read(_HEAD_BYTES + size_bytes)
        last = qoi_decode(coded + _DARKER + _END)[-1, -1].tobytes()
        rows: Rows = qoi_decode(coded + _LIGHTER + _END)
        if rows[-1, -1].tobytes() != last:
            raise ValueError("truncated")
        return rows

    colour = ColourSpace(gamma=100000) if space == _LINEAR else None
    return Whole(
        height, width, Layout("rgb", channels == 4), decode, colour=colour, decoding_bytes=height * width * channels
    )
