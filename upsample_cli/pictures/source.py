"""Pictures in: what a header tells, and rows out of a decoded picture.

TIFF is read a strip or a tile at a time (`tiff_source`), PNM by rows (`pnm`). Everything else is decoded once, whole,
into Pillow's memory or, JPEG and what Pillow would cut to 8 bits, into an array; bands are cut out of it, and turned,
as they are asked for, so there is never a second whole copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from PIL import Image, ImageFile

from upsample_cli.errors import PictureError
from upsample_cli.pictures.animations import animation_frames, frames_of, page_offset, pages_of
from upsample_cli.pictures.apng_source import composed_frames
from upsample_cli.pictures.deep_png import decoded_png
from upsample_cli.pictures.formats import DEFAULT_MAX_PIXELS, FORMATS, Format
from upsample_cli.pictures.jpeg import decoded_jpeg
from upsample_cli.pictures.metadata import read_metadata
from upsample_cli.pictures.model import Frames, Layout, Metadata, PictureInfo, Rows, Source
from upsample_cli.pictures.opening import (
    PIECE_BYTES,
    PILLOW_PIXEL_BYTES,
    Input,
    format_of_content,
    open_image,
    opened_file,
    quiet_pillow,
    readable,
    shown_name,
)
from upsample_cli.pictures.pixel_kinds import Reading, how_to_read
from upsample_cli.pictures.pnm import open_pnm
from upsample_cli.pictures.regions import TURNS, ReadBox, RegionSource, box_of
from upsample_cli.pictures.tiff_source import open_tiff

__all__ = ["DEFAULT_MAX_PIXELS", "PillowSource", "open_picture", "probe", "read_header"]


_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what brings a stored piece upright, by Exif's orientation


def probe(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PictureInfo:
    """What a picture's header tells; no pixel is decoded.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: refuse a picture of more.

    Raises:
        PictureError: it cannot be read, is no picture, or is too large.
    """
    return read_header(path, max_pixels=max_pixels)[0]


def read_header(
    path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None
) -> tuple[PictureInfo, Metadata]:
    """What a picture's header tells, and what travels beside the pixels: all that `formats.fit` needs.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: refuse a picture of more.
        frame: one frame or page, counted from 1, as a picture of its own; None for the first, and word of the others.

    Raises:
        PictureError: it cannot be read, is no picture, is too large, or there is no such frame.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        if (by_rows := _by_rows(file, name, max_pixels, frame)) is not None:
            return by_rows.info, by_rows.metadata
        image, fmt = open_image(file, name, max_pixels=max_pixels)
        header = _of_frame(_read_header(image, file, fmt, name), frame, name)
    return header.info, header.metadata


def open_picture(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None) -> Source:
    """Open a picture; of several frames or pages, the first. TIFF is decoded as its rows are read, all else at once.

    Args:
        path: a file, or a binary file object, which may be a pipe.
        max_pixels: refuse a picture of more.
        frame: one frame or page, counted from 1, as a picture of its own.

    Raises:
        PictureError: it cannot be read, is no picture, is damaged, is too large, or there is no such frame.
    """
    name = shown_name(path)
    with quiet_pillow(), ExitStack() as stack:
        file = stack.enter_context(opened_file(path))
        if (by_rows := _by_rows(file, name, max_pixels, frame)) is not None:
            by_rows.hold(stack.pop_all())
            return by_rows
        image, fmt = open_image(file, name, max_pixels=max_pixels)
        first = _read_header(image, file, fmt, name)
        header = _of_frame(first, frame, name)
        with readable(name, fmt):
            frames = first.info.frames
            if frame is not None and frames is not None and frames.kind == "animation":
                if fmt.name == "png":
                    return next(islice(_composed_sources(file, frames, header), frame - 1, None))[0]
                image.seek(frames.first + frame - 1)
            elif (read_box := _decoded(image, file, header)) is not None:
                return RegionSource(header.info, header.metadata, orientation=header.orientation, read_box=read_box)
            image.load()
    vars(image).pop("_decoder", None)  # WebP's and AVIF's keep the file and two more pictures in memory
    if fmt.name == "tiff":  # Pillow has turned it upright
        info = replace(header.info, height=image.height, width=image.width)
        header = replace(header, info=info, orientation=1)
    return PillowSource(image, header)


def _decoded(image: ImageFile.ImageFile, file: BinaryIO, header: _Header) -> ReadBox | None:
    """The picture as imagecodecs decodes it; None where that is left to Pillow."""
    if header.info.format == "jpeg":
        return decoded_jpeg(file, header.info.layout, image.height, image.width)
    return decoded_png(file, header.info.layout) if header.reading.is_cut else None


def open_animation(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[tuple[Source, Fraction]]:
    """Each frame of an animation, composed, and how many milliseconds it is shown.

    One frame is in memory at a time: it is gone as soon as the next one is asked for.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: refuse a picture of more.

    Raises:
        PictureError: it is damaged, or is no animation.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        image, fmt = open_image(file, name, max_pixels=max_pixels)
        header = _read_header(image, file, fmt, name)
        frames = header.info.frames
        if frames is None or frames.layout is None:
            raise PictureError(name, "holds one picture now, and held several before", "leave it alone, and try again")
        header = _as_frame(header, frames.layout)
        sources = _composed_sources(file, frames, header) if fmt.name == "png" else _sources(image, frames, header)
        while True:
            with readable(name, fmt):
                found = next(sources, None)
            if found is None:
                return
            yield found


def _sources(image: ImageFile.ImageFile, frames: Frames, header: _Header) -> Iterator[tuple[Source, Fraction]]:
    for duration_ms in animation_frames(image, frames):
        yield PillowSource(image, header), duration_ms


def _composed_sources(file: BinaryIO, frames: Frames, header: _Header) -> Iterator[tuple[Source, Fraction]]:
    info, turned = header.info, header.orientation >= 5
    stored = (info.width, info.height) if turned else (info.height, info.width)
    has_profile = header.metadata.icc_profile is not None
    for pixels, duration_ms in composed_frames(file, frames, *stored, has_profile=has_profile):
        yield RegionSource(info, header.metadata, orientation=header.orientation, read_box=box_of(pixels)), duration_ms


def _by_rows(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | None:
    """The TIFF or PNM in `file`; None if it is neither, or left to Pillow. The file's position is moved about."""
    head = file.read(32)
    source, format_name = None, format_of_content(head, name).name
    if format_name == "pnm":
        if frame is not None and frame > 1:
            raise _no_frame(name, frame, 1)
        file.seek(0)
        return open_pnm(file, name, max_pixels=max_pixels)
    if format_name == "tiff":
        page_at = None if frame is None or frame == 1 else _page_offset(file, name, frame)
        source = open_tiff(file, name, max_pixels=max_pixels, page_at=page_at)
        if frame is not None and source is not None:
            source.info = replace(source.info, frames=None)
        if page_at is not None and source is None:
            raise PictureError(name, f"holds a page {frame} of a kind that is not supported", "leave out --frame")
    file.seek(0)
    return source


def _page_offset(file: BinaryIO, name: str, page: int) -> int:
    with readable(name, FORMATS["tiff"]):
        found = page_offset(file, page)
        count = getattr(pages_of(file), "count", 1)
    if found is None:
        raise _no_frame(name, page, count)
    return found


def _no_frame(name: str, frame: int, count: int) -> PictureError:
    there = f"there are {count}" if count > 1 else "it holds one picture"
    return PictureError(name, f"has no frame {frame}; {there}", f"give --frame 1 to {count}, or leave it out")


@dataclass(frozen=True, slots=True)
class _Header:
    info: PictureInfo
    metadata: Metadata
    orientation: int
    reading: Reading


def _read_header(image: ImageFile.ImageFile, file: BinaryIO, fmt: Format, name: str) -> _Header:
    with readable(name, fmt):
        found = read_metadata(image, file, fmt.name)
        reading = how_to_read(image, file, fmt.name, name, has_profile=found.metadata.icc_profile is not None)
        height, width = image.height, image.width
        # A TIFF's size is upright already, unless only its XMP says how to turn it.
        if found.orientation >= 5 and not (fmt.name == "tiff" and 0x0112 in vars(image)["tag_v2"]):
            height, width = width, height
        info = PictureInfo(
            format=fmt.name,
            height=height,
            width=width,
            layout=reading.layout,
            warnings=(*reading.warnings, *found.warnings),
            jpeg_subsampling=reading.jpeg_subsampling,
            lossless=reading.lossless,
            frames=frames_of(image, file, fmt.name, reading.layout),
        )
    return _Header(info, found.metadata, found.orientation, reading)


def _of_frame(header: _Header, frame: int | None, name: str) -> _Header:
    """The header of one frame as of a picture of its own."""
    if frame is None:
        return header
    frames = header.info.frames
    count = 1 if frames is None or frames.kind == "views" else frames.count
    if frame > count:
        raise _no_frame(name, frame, count)
    return header if frames is None else _as_frame(header, frames.layout or header.info.layout)


def _as_frame(header: _Header, layout: Layout) -> _Header:
    info = replace(header.info, layout=layout, frames=None)
    return replace(header, info=info, reading=replace(header.reading, layout=layout, is_cut=False))


class PillowSource:
    """A picture decoded by Pillow; a `model.Source`. Made by `open_picture`."""

    info: PictureInfo
    metadata: Metadata
    losses: Collection[str] = ()

    def __init__(self, image: Image.Image, header: _Header) -> None:
        self.info, self.metadata = header.info, header.metadata
        self._reading, self._turn = header.reading, TURNS[header.orientation]
        self._method = _METHODS.get(header.orientation)
        self._image: Image.Image | None = image

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` to `bottom` (exclusive): `(bottom - top, width, channels)`, writable, owned by the caller.

        Bands may be asked for in any order and from several threads.
        """
        info = self.info
        if not 0 <= top < bottom <= info.height:
            raise ValueError(f"no rows {top} to {bottom} in a picture of {info.height}")
        rows = np.empty((bottom - top, info.width, info.layout.channels), info.layout.dtype)
        with quiet_pillow():
            for y0, y1, x0, x1 in self._pieces(top, bottom):
                rows[y0 - top : y1 - top, x0:x1] = self._reading.rows(self._piece(y0, y1, x0, x1))
        return rows

    def _pieces(self, top: int, bottom: int) -> Iterator[tuple[int, int, int, int]]:
        """Cut a band so that each piece is small, and long in the direction in which it is stored."""
        width, piece_pixels = self.info.width, PIECE_BYTES // PILLOW_PIXEL_BYTES
        if self._turn.swapped:
            step = max(1, piece_pixels // (bottom - top))
            yield from ((top, bottom, x, min(x + step, width)) for x in range(0, width, step))
        else:
            step = max(1, piece_pixels // width)
            yield from ((y, min(y + step, bottom), 0, width) for y in range(top, bottom, step))

    def _piece(self, y0: int, y1: int, x0: int, x1: int) -> Image.Image:
        """A piece of the upright picture."""
        if self._image is None:
            raise ValueError("this picture is closed")
        top, bottom, left, right = self._turn.stored((y0, y1, x0, x1), self.info.height, self.info.width)
        piece = self._image.crop((left, top, right, bottom))
        return piece if self._method is None else piece.transpose(self._method)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image = None
