"""TGA (Truevision Targa), decoded by Pillow. Source: the Truevision TGA file format specification, 2.0."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.codecs.whole.model import CheckSize, Whole
from upsample_cli.images.model import Layout, Rows

_HEAD_BYTES, _FOOTER_BYTES, _SIGNATURE = 18, 26, b"TRUEVISION-XFILE.\0"
_KIND_OF_ALPHA_AT, _USEFUL_ALPHA, _PREMULTIPLIED = 494, 3, 4
_MAPPED, _COLOUR, _GREY, _PACKED = 1, 2, 3, 8
_MOST_PIXELS_OF_A_PACKET = 128
_DECODER_BYTES = 10
"""Bytes per pixel in Pillow: the image, its conversion, and the rows before they are an array. Measured."""
_GREY_LAYOUT, _GREY_ALPHA = Layout("grey"), Layout("grey", alpha=True)
_RGB, _RGB_ALPHA = Layout("rgb"), Layout("rgb", alpha=True)
_LAYOUTS = {
    (_COLOUR, 16): _RGB, (_COLOUR, 24): _RGB, (_COLOUR, 32): _RGB_ALPHA,
    (_MAPPED, 16): _RGB, (_MAPPED, 24): _RGB, (_MAPPED, 32): _RGB_ALPHA,
    (_GREY, 8): _GREY_LAYOUT, (_GREY, 16): _GREY_ALPHA,
}  # fmt: skip
"""By kind, and bits of a pixel or of a colour in the map. The bit of 16 that is left is not read as alpha."""

_MODES = {_GREY_LAYOUT: "L", _GREY_ALPHA: "LA", _RGB: "RGB", _RGB_ALPHA: "RGBA"}
UNUSED_ALPHA = Loss("alpha", "alpha is 0 everywhere, which means that it is not used; the image is read as opaque")


@dataclass(frozen=True, slots=True)
class _Extension:
    """What a file of version 2 says in addition: `alpha` is the kind of its alpha, None if it does not say."""

    is_there: bool = False
    alpha: int | None = None


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The image in `file`.

    Raises:
        ImageError: it is of a kind that is not supported.
        ValueError: the file is damaged or truncated.
    """
    text_bytes, kind, map_bits, width, height, bits = struct.unpack("<BxB4xB4xHHBx", file.read(_HEAD_BYTES))
    check_size(height, width)
    base = kind & ~_PACKED
    layout = _LAYOUTS.get((base, map_bits if base == _MAPPED else bits))
    if layout is None or (base == _MAPPED and bits != 8):
        raise ImageError(name, f"is a TGA of {bits} bits per pixel of an unusual kind", CONVERT, kind="unsupported")
    left = file.seek(0, os.SEEK_END) - _HEAD_BYTES - text_bytes
    most = left * _MOST_PIXELS_OF_A_PACKET if kind & _PACKED else left * 8 // bits
    if height * width > most:
        raise ValueError("truncated")
    extension = _extension(file)
    if layout.alpha and extension.alpha is not None and extension.alpha < _USEFUL_ALPHA:
        layout = Layout(layout.colour)
    is_premultiplied = extension.alpha == _PREMULTIPLIED

    def decode(losses: set[Loss]) -> Rows:
        return _decoded(file, layout, is_premultiplied, losses)

    lost = ["the text in its header"] * (text_bytes > 0) + ["its extension area"] * extension.is_there
    losses = (Loss("metadata", f"{' and '.join(lost)}, which outputs do not have, is left out"),) if lost else ()
    return Whole(height, width, layout, decode, losses=losses, decoding_bytes=height * width * _DECODER_BYTES)


def _extension(file: BinaryIO) -> _Extension:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - _FOOTER_BYTES))
    footer = file.read()
    at = int.from_bytes(footer[:4], "little")
    if not footer.endswith(_SIGNATURE) or not _HEAD_BYTES <= at <= size_bytes - _KIND_OF_ALPHA_AT - 1:
        return _Extension()
    file.seek(at + _KIND_OF_ALPHA_AT)
    return _Extension(is_there=True, alpha=file.read(1)[0])


def _decoded(file: BinaryIO, layout: Layout, is_premultiplied: bool, losses: set[Loss]) -> Rows:
    import numpy as np
    from PIL.TgaImagePlugin import TgaImageFile

    from upsample_cli.images.codecs.levels import make_straight

    file.seek(0)
    image = TgaImageFile(file, "")
    rows: Rows = np.array(image.convert(_MODES[layout])).reshape(image.height, image.width, -1)
    if layout.alpha and not rows[..., -1].any():
        rows[..., -1] = 255
        losses.add(UNUSED_ALPHA)
    elif is_premultiplied:
        make_straight(rows, losses)
    return rows
