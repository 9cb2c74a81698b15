"""Read headers and rows of images.

TIFF is read a strip or a tile at a time (`tiff.reader`), PNG, PNM and BMP of bit masks by rows (`png.reader`, `pnm`,
`bmp`). Other formats, and interlaced PNG, are decoded once, whole, into Pillow's memory or, for JPEG and what Pillow
would cut to 8 bits, into an array. Bands are cut out of it and turned when they are read, so there is never a second
whole copy. The reader of a format is imported with the first such image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content, is_tiff
from upsample_cli.images.codecs.input_file import Input, opened_file, shown_name
from upsample_cli.images.codecs.pillow_file import Opened, open_with_pillow
from upsample_cli.images.codecs.pillow_source import pillow_box
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import readable, readable_box
from upsample_cli.images.frame_sources import frame_sources, one_frame, source_of
from upsample_cli.images.header import Header, as_frame, header_of, no_frame, of_frame
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS, check_scans
from upsample_cli.images.metered import header_read
from upsample_cli.images.model import ImageInfo, Metadata, Rows, Source
from upsample_cli.images.open_frames import lost_page
from upsample_cli.images.orientation import ORIENTATION, TURNS
from upsample_cli.images.regions import ReadBox, RegionSource

if TYPE_CHECKING:
    from upsample_cli.images.codecs.jpeg_decoder import Decoded


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
    with quiet_pillow(), opened_file(path, timeout_s) as file, header_read(file):
        found = _first_look(file, name, max_pixels, frame)
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
    name = shown_name(path)
    with quiet_pillow(), ExitStack() as stack:
        file = stack.enter_context(opened_file(path))
        with header_read(file):
            found = _first_look(file, name, max_pixels, frame)
        if isinstance(found, RegionSource):
            found.hold(stack.pop_all())
            return found
        try:
            with readable(name, found.opened.format):
                if _is_png_by_rows(found, frame):
                    source = _png_source(found, name)
                    source.hold(stack.pop_all())
                    return source
                return _decoded_source(file, found, frame, name, max_pixels)
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


class _ByPillow(NamedTuple):
    """An image that Pillow opened: the header of the whole file, and the header of the requested frame."""

    opened: Opened
    first: Header
    header: Header


def _first_look(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | _ByPillow:
    """Open an image without decoding it. If the first page of a TIFF cannot be read, take the first that can."""
    try:
        if (by_rows := _by_rows(file, name, max_pixels, frame)) is not None:
            return by_rows
        opened = open_with_pillow(file, name, max_pixels=max_pixels)
        first = header_of(opened, file, name)
        return _ByPillow(opened, first, of_frame(first, frame, name, max_pixels))
    except ImageError as error:
        file.seek(0)
        if frame is not None or not is_tiff(file.read(HEAD_BYTES)):
            raise
        from upsample_cli.images.open_pages import first_readable

        return first_readable(file, name, error, max_pixels=max_pixels)


def _is_png_by_rows(found: _ByPillow, frame: int | None) -> bool:
    from upsample_cli.images.codecs.png.kinds import is_read_by_rows

    is_one_of_many = frame is not None and found.first.info.frames is not None
    return found.opened.format.name == "png" and not is_one_of_many and is_read_by_rows(found.opened.image)


def _png_source(found: _ByPillow, name: str) -> RegionSource:
    from upsample_cli.images.codecs.png.reader import PngRows

    opened, header = found.opened, found.header
    rows = PngRows(opened.image, opened.pixels, header.reading)
    if opened.chunks is not None and opened.chunks.is_cut:
        rows.read_box(opened.image.height - 1, opened.image.height, 0, 1)  # pixels that are missing are an error now
    read_box = rows.read_box if TURNS[header.orientation].keeps_rows else rows.whole()
    return source_of(header, readable_box(read_box, name, opened.format), rows.losses)


def _decoded_source(file: BinaryIO, found: _ByPillow, frame: int | None, name: str, max_pixels: int) -> Source:
    opened, header, frames = found.opened, found.header, found.first.info.frames
    image, is_cut = opened.image, False
    if frame is not None and frames is not None and frames.kind == "animation":
        if opened.format.name != "avif":
            return one_frame(file, frames, header, opened, name, frame)
        image.seek(frame - 1)
    elif opened.format.name == "jpeg":
        decoded = _decoded_jpeg(opened, file, header, name, max_pixels)
        if decoded.read_box is not None:
            info = replace(header.info, losses=(*header.info.losses, *decoded.losses))
            return source_of(replace(header, info=info), decoded.read_box)
        image.fp, is_cut = file, decoded.is_cut  # Pillow opened only its header
    elif header.reading.is_cut:
        from upsample_cli.images.codecs.png.deep import decoded_png

        return source_of(header, decoded_png(opened.pixels, header.info.layout))
    # Pillow turns a TIFF upright, unless it does not accept the type of its orientation tag.
    tags = vars(image).get("tag_v2", {ORIENTATION: None})
    turned = tags.get(ORIENTATION, header.orientation) == header.orientation
    image.load()
    if is_cut:
        raise EOFError("truncated")
    vars(image).pop("_decoder", None)  # decoders of WebP and AVIF keep the file and two more images in memory
    if turned:
        info = replace(header.info, height=image.height, width=image.width)
        header = replace(header, info=info, orientation=1)
    return source_of(header, pillow_box(image, header.reading))


def _decoded_jpeg(opened: Opened, file: BinaryIO, header: Header, name: str, max_pixels: int) -> Decoded:
    from upsample_cli.images.codecs.jpeg_decoder import decoded_jpeg

    height, width = opened.image.height, opened.image.width
    check = partial(check_scans, name, pixels=height * width, max_pixels=max_pixels)
    bits = opened.jpeg.bits if opened.jpeg is not None else 8
    layout, has_others = header.info.layout, header.lists_others
    return decoded_jpeg(file, layout, height, width, check, bits=bits, has_others=has_others)


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
        with header_read(file):
            opened = open_with_pillow(file, name, max_pixels=max_pixels)
            header = header_of(opened, file, name)
        frames, fault, is_read = header.info.frames, None, False
        if frames is None or frames.layout is None:
            raise ImageError(
                name, "holds one image now, and held several before", "leave it alone, and try again", kind="changed"
            )
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


def _by_rows(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | None:
    """A source for a TIFF or PNM; None for formats that Pillow reads. The file's position is moved."""
    source, format_name = None, format_of_content(file.read(HEAD_BYTES), name).name
    if format_name == "pnm":
        if frame is not None and frame > 1:
            raise no_frame(name, frame, 1)
        from upsample_cli.images.codecs.pnm import open_pnm

        file.seek(0)
        return open_pnm(file, name, max_pixels=max_pixels)
    if format_name == "bmp":
        source = _bmp_of_masks(file, name, max_pixels)
        if source is not None and frame is not None and frame > 1:
            raise no_frame(name, frame, 1)
    if format_name == "tiff":
        from upsample_cli.images.codecs.tiff.reader import open_tiff
        from upsample_cli.images.open_pages import one_page

        if frame is not None and frame > 1:
            return one_page(file, name, frame, max_pixels=max_pixels)
        source = open_tiff(file, name, max_pixels=max_pixels)
        if frame is not None and source is not None:
            source.info = replace(source.info, frames=None)
    file.seek(0)
    return source


def _bmp_of_masks(file: BinaryIO, name: str, max_pixels: int) -> RegionSource | None:
    from upsample_cli.images.codecs.bmp import open_bmp
    from upsample_cli.images.format_table import FORMATS

    with readable(name, FORMATS["bmp"]):
        return open_bmp(file, name, max_pixels=max_pixels)
