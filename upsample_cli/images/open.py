"""Read headers and rows of images.

TIFF is read a strip or a tile at a time (`tiff.reader`), PNG, PNM and BMP of bit masks by rows (`png.reader`, `pnm`,
`bmp`). Formats that are only read are decoded when their first row is read (`whole`). Other formats, and interlaced
PNG, are decoded once, whole, into Pillow's memory or, for JPEG and what Pillow would cut to 8 bits, into an array.
Bands are cut out of it and turned when they are read, so there is never a second whole copy. The reader of a format is
imported with the first such image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content, is_tiff
from upsample_cli.images.codecs.input_file import FileInMemory, Input, opened_file, opened_input, seekable, shown_name
from upsample_cli.images.codecs.jpeg_markers import JPEG_START, KNOWN_HEADS, essential_head
from upsample_cli.images.codecs.pillow_file import open_with_pillow
from upsample_cli.images.codecs.png.chunks import SIGNATURE, head_of
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.decode import OpenedByPillow, decoded_source, is_png_by_rows, png_source
from upsample_cli.images.frame_sources import frame_sources, source_of
from upsample_cli.images.header import as_frame, header_of, of_frame
from upsample_cli.images.interfaces import Source
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS
from upsample_cli.images.metered import header_read, metered
from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.open_by_rows import open_by_rows
from upsample_cli.images.open_frames import changed, lost_page
from upsample_cli.images.regions import ReadBox, RegionSource


def probe(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageInfo:
    """Read the header of an image. No pixel is decoded.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the file cannot be read, is not an image, or is too large.
    """
    return read_header(path, max_pixels=max_pixels)[0]


def read_header(
    path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None, timeout_s: float | None = None
) -> tuple[ImageInfo, Metadata]:
    """Read the header and the metadata of an image, as `output_form.nearest_form` needs them.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.
        frame: one frame or page, counted from 1, as a separate image; None for the first, with `info.frames` set.
        timeout_s: time limit in seconds; None for the limits of `metered` only.

    Raises:
        ImageError: the file cannot be read, is not an image, is too large, or does not have this frame.
    """
    name = shown_name(path)
    with opened_input(path) as file:
        found = _known_header(file, max_pixels, frame) or _first_look(
            metered(file, name, timeout_s), name, max_pixels, frame
        )
        header = found if isinstance(found, RegionSource) else found.header
    return header.info, header.metadata


def open_image(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None) -> Source:
    """Open an image; of several frames or pages, the first. TIFF, PNG and PNM are decoded as rows are read.

    Args:
        path: a file, or a binary file object, which may be a pipe.
        max_pixels: larger images are refused.
        frame: one frame or page, counted from 1, as a separate image; None for the first.

    Raises:
        ImageError: the file cannot be read, is not an image, is damaged, is too large, or does not have this frame.
    """
    if isinstance(path, (str, os.PathLike)):
        with ExitStack() as stack:
            source = _open_file(stack.enter_context(opened_input(path)), shown_name(path), max_pixels, frame)
            if isinstance(source, RegionSource):
                source.hold(stack.pop_all())
            return source
    return _open_file(seekable(path), shown_name(path), max_pixels, frame)


def _open_file(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> Source:
    with quiet_pillow():
        found: RegionSource | OpenedByPillow | None = _known_header(file, max_pixels, frame)
        if found is None:
            file = metered(file, name)
            found = _first_look(file, name, max_pixels, frame)
        if isinstance(found, RegionSource):
            return found
        try:
            with readable(name, found.opened.format):
                if is_png_by_rows(found, frame):
                    return png_source(found, name)
                return decoded_source(file, found, frame, name, max_pixels)
        except ImageError as error:
            frames = found.first.info.frames
            is_one_of_many = frame is None and frames is not None and frames.kind == "animation"
            if not is_one_of_many or error.failure.kind != "damaged":
                raise
            return source_of(found.header, _refusing(error))  # the other frames may be undamaged


def _refusing(error: ImageError) -> ReadBox:
    def read_box(_top: int, _bottom: int, _left: int, _right: int) -> Rows:
        raise error

    return read_box


def _first_look(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | OpenedByPillow:
    with quiet_pillow(), header_read(file):
        return _opened(file, name, max_pixels, frame)


def _opened(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | OpenedByPillow:
    """Open an image without decoding it. If the first page of a TIFF cannot be read, take the first that can."""
    try:
        if (by_rows := open_by_rows(file, name, max_pixels, frame)) is not None:
            return by_rows
        return _opened_by_pillow(file, name, max_pixels, frame)
    except ImageError as error:
        file.seek(0)
        if frame is not None or not is_tiff(file.read(HEAD_BYTES)):
            raise
        from upsample_cli.images.open_pages import first_readable

        return first_readable(file, name, error, max_pixels=max_pixels)


def _opened_by_pillow(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> OpenedByPillow:
    opened = open_with_pillow(file, name, max_pixels=max_pixels)
    first = header_of(opened, file, name)
    return OpenedByPillow(opened, first, of_frame(first, frame, name, max_pixels))


def _known_header(file: BinaryIO, max_pixels: int, frame: int | None) -> OpenedByPillow | None:
    """A JPEG with a short header, or a small PNG: read once for all files with the same header. None for others."""
    try:
        start = file.read(HEAD_BYTES)
        file.seek(0)
    except OSError:
        return None  # it is raised again, with the name of the file
    if start.startswith(JPEG_START):
        head = essential_head(start)
    else:
        head = head_of(file.getvalue()) if start.startswith(SIGNATURE) and isinstance(file, FileInMemory) else None
    if head is None:
        return None
    try:
        known = _opened_head(head, max_pixels, frame)
    except ImageError:
        return None  # opened as any other image, it raises the error with its name
    if known.opened.format.name == "jpeg":
        return known
    return known._replace(opened=known.opened._replace(pixels=file)) if is_png_by_rows(known, frame) else None


@lru_cache(maxsize=KNOWN_HEADS)
def _opened_head(head: bytes, max_pixels: int, frame: int | None) -> OpenedByPillow:
    with quiet_pillow():
        return _opened_by_pillow(BytesIO(head), "", max_pixels, frame)


def open_animation(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[tuple[Source, Fraction] | Loss]:
    """The composed frames of an animation, and the duration of each in milliseconds.

    One frame is in memory at a time. It is released when the next one is requested.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.

    Yields:
        A frame and its duration, or the loss of a frame that cannot be read.

    Raises:
        ImageError: no frame can be read, or the image is not an animation.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        if format_of_content(file.read(HEAD_BYTES), name).name == "jxl":
            from upsample_cli.images.codecs.jxl.reader import open_jxl_frames

            yield from open_jxl_frames(file, name, max_pixels=max_pixels)
            return
        file.seek(0)
        with header_read(file):
            opened = open_with_pillow(file, name, max_pixels=max_pixels)
            header = header_of(opened, file, name)
        frames, fault, is_read = header.info.frames, None, False
        if frames is None or frames.layout is None:
            raise changed(name)
        header = as_frame(header, frames.layout)
        for number, found in frame_sources(file, frames, header, opened, name):
            if isinstance(found, ImageError):
                fault = fault or found
                yield lost_page(found, number, frames.count, "frame")
            else:
                is_read = True
                yield found
        if fault is not None and not is_read:
            raise fault


def open_pages(path: Input, count: int, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[Source | Loss]:
    """The first `count` pages of a TIFF.

    One page is in memory at a time. It is released when the next one is requested.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger pages are refused.

    Yields:
        A page, or the loss of a page that cannot be read.

    Raises:
        ImageError: a page is missing, or the file cannot be read.
    """
    from upsample_cli.images.open_pages import pages_after_first

    name = shown_name(path)
    try:
        source = open_image(path, max_pixels=max_pixels, frame=1)  # Pillow may have to read it
    except ImageError as error:
        yield lost_page(error, 1, count)
    else:
        yield source
    with quiet_pillow(), opened_file(path) as file:
        yield from pages_after_first(file, name, count, max_pixels=max_pixels)
