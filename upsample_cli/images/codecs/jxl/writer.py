"""Write JPEG XL: pixels are collected, encoded by imagecodecs, and get a header that states their depth and colours.

imagecodecs states sRGB for 8 bits and linear sRGB for more, and writes neither profiles nor metadata. Coded pixels
without loss do not depend on what the header states. With loss they are colours in XYB, so other colours are given to
the encoder as linear sRGB in floating point, and the header states what a decoder has to convert them to. Alpha would
become floating point too, and some programs refuse that, so such images are written without loss.
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.codecs.jxl.codestream import GREY, RGB, Encoding, Header, read_header
from upsample_cli.images.codecs.jxl.colour import encoding_of
from upsample_cli.images.codecs.jxl.container import read_container, write_boxes
from upsample_cli.images.codecs.jxl.light import can_convert, to_linear
from upsample_cli.images.codecs.jxl.stated import Stated, with_header
from upsample_cli.images.codecs.strips import check_complete, check_rows
from upsample_cli.images.color.coded import HLG, PQ, profile_of
from upsample_cli.images.model import ColourSpace, Layout, Metadata, Rows

# Measured on 2.5 MP, seconds and MB. Lossless: 0.07 and 2.31 at effort 1, 0.25 and 2.19 at 2, 0.57 and 2.11 at 3, 2.7
# and 1.92 at 5. Quality 90: 0.12 and 0.37 at effort 3, 0.13 and 0.38 at 4, 0.65 and 0.42 at 5, with 0.3 dB more.
_EFFORT, _LOSSLESS_EFFORT = 4, 3
_EXPONENT_BITS = 8
_INTENSITIES = {PQ: 10000.0, HLG: 1000.0}
"""Brightness of the brightest level in cd/m², which must be stated for HDR."""

_NEGATIVE_ZEROS = Loss("range", "negative zeros become zeros, because this version of libjxl cannot store them")
_LEVEL_OF_ALL = 10
_SRGB = ColourSpace(codes=(1, 13))


class Coded(NamedTuple):
    """A codestream, the header with which it was encoded, where its frames start, and its level."""

    codestream: bytes
    header: Header
    frames_at: int
    level: int


class JxlSink:
    """Collects an image, and encodes it at the end: an `interfaces.Sink`.

    Args:
        file: a binary file, at its start.
        height, width: size of the image, in pixels.
        layout: layout of the rows.
        metadata: the metadata to write.
        quality: 0 to 100; None for a lossless image. Always lossless: 100, floating point, HDR, a damaged profile, and
            an image with alpha that has more than 8 bits or is not sRGB.
        plays: for a frame of an animation, how often it is played; the header states that it is an animation.
    """

    losses: Collection[Loss] = ()

    def __init__(
        self,
        file: BinaryIO,
        *,
        height: int,
        width: int,
        layout: Layout,
        metadata: Metadata,
        quality: int | None,
        plays: int | None = None,
    ) -> None:
        self._plays = plays
        self._file, self._layout, self._metadata = file, layout, metadata
        self._quality = None if quality == 100 or layout.depth == 32 else quality
        self._pixels: Rows = np.empty((height, width, layout.channels), layout.dtype)
        self._next_row, self._size = 0, (height, width)

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows."""
        check_rows(rows, self._pixels.shape[1:], self._layout.dtype, len(self._pixels) - self._next_row)
        self._pixels[self._next_row : self._next_row + len(rows)] = rows
        self._next_row += len(rows)

    def finish(self) -> None:
        """Encode the image."""
        check_complete(len(self._pixels) - self._next_row)
        with encoder_errors("JPEG XL"):
            coded = self._coded()
            write_boxes(self._file, self._metadata, level=coded.level, size_bytes=len(coded.codestream))
            self._file.write(coded.codestream)

    def _coded(self) -> Coded:
        """The encoded image."""
        profile, colour, layout = self._metadata.icc_profile, self._metadata.colour, self._layout
        own = profile or profile_of(colour or _SRGB, layout.colour)
        if self._quality is None:
            return self._stated(self._encode_lossless())
        if layout.depth == 8 and profile is None and colour is None:
            return self._stated(_encode(self._pixels, level=self._quality, effort=_EFFORT))
        if layout.alpha or own is None or not can_convert(own, layout):
            return self._stated(self._encode_lossless())
        pixels = to_linear(self._pixels, layout, own)
        self._pixels = self._pixels[:0].copy()
        return self._stated(_encode(pixels, level=self._quality, effort=_EFFORT))

    def _encode_lossless(self) -> bytes:
        try:
            return _encode(self._pixels, lossless=True)
        except RuntimeError:
            if not (np.signbit(self._pixels) & (self._pixels == 0)).any():
                raise
        self._pixels += 0  # libjxl 0.12 fails at negative zeros
        self.losses = (_NEGATIVE_ZEROS,)
        return _encode(self._pixels, lossless=True)

    def _stated(self, encoded: bytes) -> Coded:
        """The codestream with a header that states the depth and the colours of the image."""
        self._pixels = self._pixels[:0].copy()  # before the header is changed, which copies the codestream
        file = BytesIO(encoded)
        codestream = read_container(file).codestream(file)
        level = 5 if len(codestream) == len(encoded) else _LEVEL_OF_ALL
        header, layout = read_header(codestream), self._layout
        if (header.height, header.width) != self._size or header.animation is not None:
            raise ValueError("it encoded something else")
        encoding, frames_at = self._encoding(), header.end + 7 >> 3
        exponent_bits = _EXPONENT_BITS if layout.depth == 32 else 0
        is_right = (header.bits, header.exponent_bits, header.encoding) == (layout.depth, exponent_bits, encoding)
        if not is_right or self._plays is not None:
            intensity = None if encoding.has_profile else _INTENSITIES.get(encoding.transfer)
            stated = Stated(
                encoding, layout.depth, exponent_bits, intensity, self._metadata.icc_profile, self._plays
            )  # fmt: skip
            frames_bytes = len(codestream) - frames_at
            codestream = with_header(codestream, header, frames_at, stated)
            frames_at = len(codestream) - frames_bytes
        return Coded(codestream, header, frames_at, level)

    def _encoding(self) -> Encoding:
        if self._metadata.icc_profile is not None:
            return Encoding(GREY if self._layout.colour == "grey" else RGB, has_profile=True)
        encoding = encoding_of(self._metadata.colour, self._layout.colour)
        if encoding is None:
            raise ValueError("a colour space that it cannot state")
        return encoding


def _encode(pixels: Rows, **settings: Any) -> bytes:
    from imagecodecs import jpegxl_encode

    settings = {"effort": _LOSSLESS_EFFORT, "numthreads": 0} | settings
    if pixels.shape[2] == 1:
        return bytes(jpegxl_encode(pixels[..., 0], photometric="gray", **settings))
    # Grey with alpha would be encoded as an animation if it were called grey.
    return bytes(jpegxl_encode(pixels, photometric="rgb" if pixels.shape[2] > 2 else None, **settings))
