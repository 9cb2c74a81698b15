"""Read JPEG XL. The header is read without decoding; pixels are decoded as a whole, by imagecodecs, when rows are read.

The decoder converts colours coded in XYB to the encoding that the header states. If that is an ICC profile, it gives
linear sRGB instead, cut to the depth of the file. So the header is changed to linear sRGB in floating point before
decoding, and colours are converted to the profile here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any, BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jxl.codestream import ALPHA, Encoding, read_header
from upsample_cli.images.codecs.jxl.container import Container, read_container
from upsample_cli.images.codecs.jxl.light import from_linear
from upsample_cli.images.codecs.jxl.look import HEAD_BYTES, MOST_PIXELS, Look, check_supported, look_at, with_frames
from upsample_cli.images.codecs.jxl.stated import Stated, with_header
from upsample_cli.images.codecs.levels import make_straight, scaled
from upsample_cli.images.codecs.readable import readable, readable_box
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.header import no_frame
from upsample_cli.images.limits import check_coded_bytes, check_pixels
from upsample_cli.images.metadata.reading import read_metadata
from upsample_cli.images.metered import header_read
from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.open_frames import changed
from upsample_cli.images.orientation import TURNS
from upsample_cli.images.regions import ReadBox, RegionSource, box_of

_FORMAT = FORMATS["jxl"]
_LINEAR = 8


def open_jxl(file: BinaryIO, name: str, *, max_pixels: int, frame: int | None = None) -> RegionSource:
    """A source for a JPEG XL. It is decoded when the first rows are read.

    Args:
        file: a seekable file; it must stay open until the source is closed.
        name: name of the file in messages.
        max_pixels: larger images are refused.
        frame: one frame of an animation, counted from 1, as a separate image; None for the first.

    Raises:
        ImageError: the image is too large, its header is damaged, its kind of pixels is not supported, or it does not
            have this frame. Also while rows are read, if it is damaged.
    """
    with readable(name, _FORMAT):
        container, look = _opened(file, name, max_pixels)
        frames = look.frames
        if frame is not None and frame > (frames.count if frames is not None else 1):
            raise no_frame(name, frame, frames.count if frames is not None else 1)
        info, metadata, losses = *_described(file, container, look), set[Loss]()
        pixels = _Pixels(partial(_rows, file, container, look, losses, (frame or 1) - 1))
        info = info if frame is None else info._replace(frames=None)
    return _source(info, metadata, readable_box(pixels.read_box, name, _FORMAT), losses)


def open_jxl_frames(file: BinaryIO, name: str, *, max_pixels: int) -> Iterator[tuple[RegionSource, Fraction]]:
    """The frames of an animation, each with its duration in milliseconds. All are in memory at once.

    Args:
        file, name, max_pixels: see `open_jxl`.

    Raises:
        ImageError: the animation is damaged, too large, or not an animation.
    """
    with readable(name, _FORMAT):
        with header_read(file):
            container, look = _opened(file, name, max_pixels)
            info, metadata = _described(file, container, look)
        clock, losses = look.header.animation, set[Loss]()
        if look.frames is None or clock is None:
            raise changed(name)
        rows = _rows(file, container, look, losses, None).reshape(len(look.durations), look.header.height, *look.row)
    for pixels, ticks in zip(rows, look.durations, strict=True):
        duration_ms = Fraction(1000 * ticks * clock.per_seconds, clock.ticks)
        yield _source(info._replace(frames=None), metadata, box_of(pixels), losses), duration_ms


def _opened(file: BinaryIO, name: str, max_pixels: int) -> tuple[Container, Look]:
    container = read_container(file)
    data = container.codestream(file, HEAD_BYTES)
    header = read_header(data)
    check_pixels(name, header.height, header.width, max_pixels)
    check_supported(header, name)
    pixels = header.height * header.width
    check_coded_bytes(name, container.size_bytes, pixels if header.animation is None else max(pixels, MOST_PIXELS))
    look = look_at(data, header)
    return container, look if header.animation is None else with_frames(look, container.codestream(file))


def _described(file: BinaryIO, container: Container, look: Look) -> tuple[ImageInfo, Metadata]:
    """The header and the metadata of the image."""
    header = look.header
    stored = header.height, header.width
    parts = {"icc_profile": look.profile, "exif": container.exif, "xmp": container.xmp}
    image: Any = SimpleNamespace(mode="", info={key: value for key, value in parts.items() if value})
    found = read_metadata(image, file, _FORMAT.name, stored=stored)
    height, width = stored[::-1] if TURNS[header.orientation].swapped else stored
    per_pixel = 12 * look.is_converted + max(0, len(look.durations) - 1) * look.layout.channels * look.layout.depth // 8
    info = ImageInfo(
        format=_FORMAT.name, height=height, width=width, layout=look.layout,
        losses=(*look.losses, *container.losses, *found.losses), lossless=look.is_lossless, frames=look.frames,
        decoding_bytes=header.height * header.width * per_pixel, orientation=header.orientation,
        states_colours=look.profile is not None or look.colour is not None,
    )  # fmt: skip
    return info, replace(found.metadata, colour=None if found.metadata.icc_profile else look.colour)


def _source(info: ImageInfo, metadata: Metadata, read_box: ReadBox, losses: Collection[Loss]) -> RegionSource:
    return RegionSource(info, metadata, orientation=info.orientation, read_box=read_box, losses=losses)


class _Pixels:
    """Pixels that are decoded when they are first read."""

    def __init__(self, decode: Callable[[], Rows]) -> None:
        self._decode = decode
        self._rows: Rows | None = None

    def read_box(self, top: int, bottom: int, left: int, right: int) -> Rows:
        """Read a box of the stored image."""
        if self._rows is None:
            self._rows = self._decode()
        box: Rows = self._rows[top:bottom, left:right]
        return box


def _rows(file: BinaryIO, container: Container, look: Look, losses: set[Loss], index: int | None) -> Rows:
    """The rows of one frame, or of all frames, one below the other.

    Args:
        file, container, look: the image.
        losses: losses that are found in the pixels are added here.
        index: index of the frame; None for all.
    """
    header, bits, data = look.header, look.header.bits, container.codestream(file)
    if look.is_converted and look.profile is not None:
        linear = Stated(Encoding(header.encoding.space, transfer=_LINEAR), bits=32, exponent_bits=8)
        data, bits = with_header(data, header, look.frames_at or 0, linear), look.layout.depth
        pixels = from_linear(_decoded(data, look, index), look.layout, look.profile)
    else:
        pixels = _decoded(data, look, index)
    rows = scaled(pixels, 0 if look.layout.depth == 32 else bits).astype(look.layout.dtype, copy=False)
    alpha = next((extra for extra in header.extra if extra.kind == ALPHA), None)
    if alpha is not None and alpha.is_associated:
        make_straight(rows, losses)
    return rows


def _decoded(data: bytes, look: Look, index: int | None) -> Rows:
    from imagecodecs import jpegxl_decode

    header, channels = look.header, look.layout.channels
    pixels: Rows = jpegxl_decode(data, index=index, keeporientation=True, numthreads=0)
    images = 1 if index is not None else len(look.durations)
    if channels == 1 and header.extra:  # grey with channels that are not read comes as planes
        pixels = pixels.reshape(images, 1 + len(header.extra), header.height, header.width)[:, 0]
    return pixels.reshape(images * header.height, header.width, channels)
