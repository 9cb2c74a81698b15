"""Read JPEG XL. The header is read without decoding; pixels are decoded as a whole, by imagecodecs, when rows are read.

The decoder converts colours coded in XYB to the encoding that the header states. If that is an ICC profile, it gives
linear sRGB instead, cut to the depth of the file. So the header is changed to linear sRGB in floating point before
decoding, and colours are converted to the profile here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.jxl.bits import BitReader
from upsample_cli.images.codecs.jxl.codestream import (
    ALPHA,
    BLACK,
    GREY,
    SPOT,
    XYB,
    Encoding,
    Header,
    Stated,
    read_header,
    with_header,
)
from upsample_cli.images.codecs.jxl.colour import colour_of
from upsample_cli.images.codecs.jxl.container import Container, read_container
from upsample_cli.images.codecs.jxl.light import can_convert, from_linear
from upsample_cli.images.codecs.jxl.profile import MAX_BYTES, ProfileSizeError, read_profile
from upsample_cli.images.codecs.readable import CONVERT, readable, readable_box
from upsample_cli.images.codecs.tiff.kinds import TiffKind
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.limits import check_metadata_bytes, check_pixels
from upsample_cli.images.metadata.carried import read_metadata
from upsample_cli.images.model import ColourSpace, Depth, ImageInfo, Layout, Rows
from upsample_cli.images.orientation import TURNS
from upsample_cli.images.regions import RegionSource

_FORMAT = FORMATS["jxl"]
_HEAD_BYTES = 2 * MAX_BYTES
_LINEAR = 8
_FLOAT_BITS = {(16, 5), (32, 8)}


def open_jxl(file: BinaryIO, name: str, *, max_pixels: int) -> RegionSource:
    """A source for a JPEG XL. It is decoded when the first rows are read.

    Args:
        file: a seekable file; it must stay open until the source is closed.
        name: name of the file in messages.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the image is too large, its header is damaged, or its kind of pixels is not supported. Also while
            rows are read, if it is damaged.
    """
    with readable(name, _FORMAT):
        container = read_container(file)
        data = container.codestream(file, _HEAD_BYTES)
        header = read_header(data)
        check_pixels(name, header.height, header.width, max_pixels)
        _check_supported(header, name)
        return _source(file, name, container, _look(data, header))


def _check_supported(header: Header, name: str) -> None:
    kinds = (
        (any(extra.kind == BLACK for extra in header.extra), "CMYK colours"),
        (header.encoding.space == XYB, "colours in XYB"),
        (
            header.exponent_bits and (header.bits, header.exponent_bits) not in _FLOAT_BITS,
            f"floating point of {header.bits} bits",
        ),
    )
    for refused, what in kinds:
        if refused:
            raise ImageError(name, f"holds {what}, which is not supported in JPEG XL", CONVERT, kind="unsupported")


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known about an image before it is decoded.

    Args:
        header: header of the codestream.
        layout: layout of the rows.
        profile: the ICC profile.
        colour: the colour space, if it is not sRGB and there is no profile.
        is_converted: the decoder is told another encoding, and colours are converted to the profile.
        frames_at: where the frames start in the codestream; None if that is not known.
        is_lossless: pixels are stored without loss.
        losses: the losses of reading it.
    """

    header: Header
    layout: Layout
    profile: bytes | None
    colour: ColourSpace | None
    is_converted: bool
    frames_at: int | None
    is_lossless: bool
    losses: tuple[Loss, ...]


def _look(data: bytes, header: Header) -> _Look:
    layout = _layout(header)
    profile, colour, losses = None, None, list[Loss]()
    bits: BitReader | None = BitReader(data, header.end)
    if header.encoding.has_profile and bits is not None:
        try:
            profile = read_profile(bits)
            check_metadata_bytes(len(profile))
        except ProfileSizeError:
            losses.append(Loss("profile", f"the colour profile (ICC) of more than {MAX_BYTES >> 20} MiB is left out"))
            bits = None
    else:
        try:
            colour = colour_of(header.encoding)
        except ValueError:
            text = "its colour space is one that outputs cannot state, and is left out; colours may look different"
            losses.append(Loss("profile", text))
    is_converted = header.is_xyb and profile is not None and can_convert(profile, layout)
    if header.is_xyb and header.encoding.has_profile and not is_converted:
        if profile is not None:
            losses.append(Loss("profile", "the colour profile (ICC) cannot be used; colours become linear sRGB"))
        profile, colour = None, ColourSpace(codes=(1, _LINEAR))
    frames_at = None if bits is None else bits.at + 7 >> 3
    is_lossless = not header.is_xyb and frames_at is not None and _is_modular(data, frames_at)
    losses += [*_losses(header)]
    return _Look(header, layout, profile, colour, is_converted, frames_at, is_lossless, tuple(losses))


def _layout(header: Header) -> Layout:
    depth: Depth = 32 if header.exponent_bits or header.bits > 16 else 16 if header.bits > 8 else 8
    alpha = any(extra.kind == ALPHA for extra in header.extra)
    return Layout("grey" if header.encoding.space == GREY else "rgb", alpha, depth)


def _is_modular(data: bytes, frames_at: int) -> bool:
    """Whether the first frame is coded by prediction, which is usually lossless, and not by a transform."""
    bits = BitReader(data, 8 * frames_at)
    return not bits.flag() and bits.take(2) == 0 and bits.flag()


def _losses(header: Header) -> list[Loss]:
    losses = []
    if header.bits > 16 and not header.exponent_bits:
        losses.append(Loss("depth", f"{header.bits} bits per channel are read as floating point"))
    spots = sum(extra.kind == SPOT for extra in header.extra)
    unread = len(header.extra) - spots - any(extra.kind == ALPHA for extra in header.extra)
    if unread:
        text = f"{unread} more {'channel is' if unread == 1 else 'channels are'} left out"
        losses.append(Loss("channels", text))
    if spots:
        losses.append(Loss("channels", f"spot colours become part of the other colours ({spots})"))
    if header.animation is not None:
        losses.append(Loss("frames", "it is an animation, of which only the first frame is read"))
    return losses


def _source(file: BinaryIO, name: str, container: Container, look: _Look) -> RegionSource:
    header = look.header
    stored = header.height, header.width
    info = {"icc_profile": look.profile, "exif": container.exif, "xmp": container.xmp}
    described: Any = SimpleNamespace(mode="", info={key: value for key, value in info.items() if value})
    found = read_metadata(described, file, _FORMAT.name, stored=stored)
    height, width = stored[::-1] if TURNS[header.orientation].swapped else stored
    profile, losses = found.metadata.icc_profile, set[Loss]()
    return RegionSource(
        ImageInfo(
            format=_FORMAT.name, height=height, width=width, layout=look.layout,
            losses=(*look.losses, *container.losses, *found.losses), lossless=look.is_lossless,
            decoding_bytes=header.height * header.width * 12 * look.is_converted, orientation=header.orientation,
        ),
        replace(found.metadata, colour=None if profile else look.colour),
        orientation=header.orientation,
        read_box=readable_box(_Pixels(file, container, look, losses).read_box, name, _FORMAT),
        losses=losses,
    )  # fmt: skip


class _Pixels:
    """The pixels of an image, decoded when they are first read."""

    def __init__(self, file: BinaryIO, container: Container, look: _Look, losses: set[Loss]) -> None:
        self._file, self._container, self._look, self._losses = file, container, look, losses
        self._rows: Rows | None = None

    def read_box(self, top: int, bottom: int, left: int, right: int) -> Rows:
        """Read a box of the stored image."""
        if self._rows is None:
            self._rows = self._decoded()
        box: Rows = self._rows[top:bottom, left:right]
        return box

    def _decoded(self) -> Rows:
        look, data = self._look, self._container.codestream(self._file)
        header, bits = look.header, look.header.bits
        if look.is_converted and look.profile is not None:
            linear = Stated(Encoding(header.encoding.space, transfer=_LINEAR), bits=32, exponent_bits=8)
            data, bits = with_header(data, header, look.frames_at or 0, linear), look.layout.depth
            pixels = from_linear(_decoded(data, header, look.layout.channels), look.layout, look.profile)
        else:
            pixels = _decoded(data, header, look.layout.channels)
        alpha = next((extra for extra in header.extra if extra.kind == ALPHA), None)
        kind = TiffKind(
            look.layout, (), lossless=True, bits=0 if look.layout.depth == 32 else bits,
            samples=tuple(range(look.layout.channels)), associated=alpha is not None and alpha.is_associated,
        )  # fmt: skip
        return kind.rows(pixels, self._losses)


def _decoded(data: bytes, header: Header, channels: int) -> Rows:
    from imagecodecs import jpegxl_decode

    pixels: Rows = jpegxl_decode(data, index=0, keeporientation=True, numthreads=0)
    if pixels.ndim == 3 and channels == 1:  # grey with channels that are not read comes as planes
        pixels = pixels[0]
    size = header.height, header.width
    if pixels.shape[:2] != size or pixels.size != size[0] * size[1] * channels:
        raise ValueError(f"pixels of {pixels.shape} where {size} were announced")
    return pixels.reshape(*size, channels)
