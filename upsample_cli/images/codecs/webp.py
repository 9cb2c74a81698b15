"""Animated WebP, written a frame at a time: each frame is encoded as an image of its own and put into the animation.

Every frame covers the whole image and replaces the one before it. Source: RFC 9649, 2.7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from upsample_cli.images.codecs.clock import Clock
from upsample_cli.images.model import Frames, Metadata

_PIXELS = (b"ALPH", b"VP8 ", b"VP8L")
_DO_NOT_BLEND = 2
_MOST_MS, _MOST_PLAYS = 2**24 - 1, 2**16 - 1


class WebpFrames:
    """Puts WebP images into one animation; a `frame_sinks.Muxer`.

    Args:
        file: where it goes; can be sought in.
        frames: how often they are played.
        height: of every frame.
        width: of every frame.
        alpha: whether a frame may be transparent.
        metadata: of the whole.
    """

    def __init__(
        self, file: BinaryIO, frames: Frames, *, height: int, width: int, alpha: bool, metadata: Metadata
    ) -> None:
        self._file, self._height, self._width = file, height, width
        self._after = [(b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)]
        self._clock = Clock(unit_ms=1)
        flags = 0x02 | 0x10 * alpha | 0x20 * bool(metadata.icc_profile)
        flags |= 0x08 * bool(metadata.exif) | 0x04 * bool(metadata.xmp)
        file.write(b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", struct.pack("<I", flags) + self._size()))
        if metadata.icc_profile:
            file.write(_chunk(b"ICCP", metadata.icc_profile))
        file.write(_chunk(b"ANIM", struct.pack("<IH", 0, min(frames.plays, _MOST_PLAYS))))

    def add(self, image: bytes, duration_ms: Fraction) -> None:
        """Put in one encoded image."""
        shown = min(self._clock.units(duration_ms), _MOST_MS)
        head = bytes(6) + self._size() + shown.to_bytes(3, "little") + bytes([_DO_NOT_BLEND])
        pixels = b"".join(_chunk(kind, body) for kind, body in _chunks(image) if kind in _PIXELS)
        self._file.write(_chunk(b"ANMF", head + pixels))

    def finish(self) -> None:
        """Write what stands at the end, and the length at the start."""
        for kind, body in self._after:
            if body:
                self._file.write(_chunk(kind, body))
        size = self._file.tell() - 8
        if size >= 2**32 - 10:
            raise OSError("WebP files end at 4 GiB")
        self._file.seek(4)
        self._file.write(struct.pack("<I", size))
        self._file.seek(0, 2)

    def _size(self) -> bytes:
        return (self._width - 1).to_bytes(3, "little") + (self._height - 1).to_bytes(3, "little")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(image):
        size = int.from_bytes(image[at + 4 : at + 8], "little")
        yield image[at : at + 4], image[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
