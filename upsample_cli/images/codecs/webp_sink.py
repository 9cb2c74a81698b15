"""The sink of WebP without alpha, and of lossless WebP. Its files are those of Pillow, which copies the pixels twice.

Pillow encodes lossy WebP with alpha, because `imagecodecs` does not keep the colours of transparent pixels there.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any, BinaryIO

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.codecs.strips import check_complete, check_rows
from upsample_cli.images.codecs.webp import chunk
from upsample_cli.images.model import Layout, Rows

_PROFILE, _ALPHA, _EXIF, _XMP = 0x20, 0x10, 0x08, 0x04
_LOSSLESS_ALPHA = 1 << 28  # of the 32 bits behind the signature


class WebpSink:
    """Collects rows, and encodes them at the end.

    Args:
        file: a binary file, at its start.
        height, width, layout: of the image.
        settings: `quality`, `method` and perhaps `lossless` for the encoder, and metadata under the names of Pillow.
    """

    losses: Collection[Loss] = ()

    def __init__(self, file: BinaryIO, *, height: int, width: int, layout: Layout, settings: dict[str, Any]) -> None:
        self._file, self._layout, self._settings = file, layout, settings
        # The system allocates memory only as rows come.
        self._pixels = np.empty((height, width, 3 + layout.alpha), np.uint8)
        self._next_row = 0

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows."""
        height, width, _ = self._pixels.shape
        check_rows(rows, (width, self._layout.channels), self._layout.dtype, height - self._next_row)
        self._pixels[self._next_row : self._next_row + len(rows)] = rows  # grey becomes three equal channels
        self._next_row += len(rows)

    def finish(self) -> None:
        """Encode the image."""
        from imagecodecs import webp_encode

        height, width, _ = self._pixels.shape
        check_complete(height - self._next_row)
        settings = self._settings
        with encoder_errors("WebP"):
            coded = webp_encode(
                self._pixels, settings["quality"], lossless=settings.get("lossless", False), method=settings["method"]
            )
        del self._pixels
        self._file.write(_with_metadata(bytes(coded), (height, width), settings))


def _with_metadata(coded: bytes, size: tuple[int, int], settings: dict[str, Any]) -> bytes:
    """The file of a coded image. Source: RFC 9649, 2.7."""
    profile, exif, xmp = (settings.get(name, b"") for name in ("icc_profile", "exif", "xmp"))
    if not (profile or exif or xmp):
        return coded
    body = coded[12:]
    is_alpha = body[:4] == b"VP8L" and struct.unpack_from("<I", body, 9)[0] & _LOSSLESS_ALPHA
    flags = _PROFILE * bool(profile) | _ALPHA * bool(is_alpha) | _EXIF * bool(exif) | _XMP * bool(xmp)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in reversed(size))
    given = ((b"ICCP", profile), (b"", body), (b"EXIF", exif), (b"XMP ", xmp))
    parts = [chunk(b"VP8X", struct.pack("<I", flags) + sides)]
    parts += [chunk(kind, data) if kind else data for kind, data in given if data]
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, parts))) + b"WEBP" + b"".join(parts)
