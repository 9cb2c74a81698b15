"""Images in: headers, and rows of decoded images.

TIFF is read a strip or a tile at a time (`tiff.reader`), PNM by rows (`pnm`). Other formats are decoded once, whole,
into Pillow's memory or, for JPEG and what Pillow would cut to 8 bits, into an array. Bands are cut out of it and turned
when they are read, so there is never a second whole copy. The reader of a format is imported with the first such image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from PIL import ImageFile

from upsample_cli.errors import ImageError, Setting
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content
from upsample_cli.images.codecs.input_file import Input, opened_file, shown_name
from upsample_cli.images.codecs.pillow_file import Opened, open_with_pillow
from upsample_cli.images.codecs.pillow_source import pillow_box
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.header import Header, as_frame, header_of, no_frame, of_frame
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS, check_scans
from upsample_cli.images.metered import header_read
from upsample_cli.images.model import Frames, ImageInfo, Metadata, Source
from upsample_cli.images.open_frames import animation_frames, page_offsets
from upsample_cli.images.orientation import ORIENTATION, TURNS
from upsample_cli.images.regions import ReadBox, RegionSource, box_of

if TYPE_CHECKING:
    from upsample_cli.images.codecs.jpeg_decoder import Decoded


def probe(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageInfo:
    """An image's header; no pixel is decoded.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.

    Raises:
        ImageError: it cannot be read, is not an image, or is too large.
    """
    return read_header(path, max_pixels=max_pixels)[0]


def read_header(
    path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None, timeout_s: float | None = None
) -> tuple[ImageInfo, Metadata]:
    """An image's header and metadata: all that `output_form.nearest_form` needs.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.
        frame: one frame or page, counted from 1, as an image of its own; None for the first, with `info.frames` set.
        timeout_s: seconds that it may take; None for no limit but that of `metered`.

    Raises:
        ImageError: it cannot be read, is not an image, is too large, or does not have that frame.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path, timeout_s) as file, header_read(file):
        if (by_rows := _by_rows(file, name, max_pixels, frame)) is not None:
            return by_rows.info, by_rows.metadata
        opened = open_with_pillow(file, name, max_pixels=max_pixels)
        header = of_frame(header_of(opened, file, name), frame, name, max_pixels)
    return header.info, header.metadata


def open_image(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS, frame: int | None = None) -> Source:
    """Open an image; of several frames or pages, the first. TIFF and PNM are decoded as rows are read, others at once.

    Args:
        path: a file, or a binary file object, which may be a pipe.
        max_pixels: larger images are refused.
        frame: one frame or page, counted from 1, as an image of its own.

    Raises:
        ImageError: it cannot be read, is not an image, is damaged, is too large, or does not have that frame.
    """
    name = shown_name(path)
    with quiet_pillow(), ExitStack() as stack:
        file = stack.enter_context(opened_file(path))
        with header_read(file):
            if (by_rows := _by_rows(file, name, max_pixels, frame)) is not None:
                by_rows.hold(stack.pop_all())
                return by_rows
            opened = open_with_pillow(file, name, max_pixels=max_pixels)
            first = header_of(opened, file, name)
            header = of_frame(first, frame, name, max_pixels)
        image, fmt = opened.image, opened.format
        is_cut = False
        with readable(name, fmt):
            frames = first.info.frames
            if frame is not None and frames is not None and frames.kind == "animation":
                if fmt.name == "png":
                    return next(islice(_composed_sources(file, frames, header), frame - 1, None))[0]
                image.seek(frames.first + frame - 1)
            elif fmt.name == "jpeg":
                decoded = _decoded_jpeg(opened, file, header, name, max_pixels)
                if decoded.read_box is not None:
                    info = replace(header.info, losses=(*header.info.losses, *decoded.losses))
                    return _source(replace(header, info=info), decoded.read_box)
                image.fp, is_cut = file, decoded.is_cut  # it was opened from its header alone
            elif header.reading.is_cut:
                from upsample_cli.images.codecs.png.deep import decoded_png

                return _source(header, decoded_png(file, header.info.layout))
            # Pillow turns a TIFF upright, unless its tag is of a type that it does not count.
            tags = vars(image).get("tag_v2", {ORIENTATION: None})
            turned = tags.get(ORIENTATION, header.orientation) == header.orientation
            image.load()
            if is_cut:
                raise EOFError("truncated")
    vars(image).pop("_decoder", None)  # those of WebP and AVIF keep the file and two more images in memory
    if turned:
        info = replace(header.info, height=image.height, width=image.width)
        header = replace(header, info=info, orientation=1)
    return _source(header, pillow_box(image, header.reading))


def _decoded_jpeg(opened: Opened, file: BinaryIO, header: Header, name: str, max_pixels: int) -> Decoded:
    from upsample_cli.images.codecs.jpeg_decoder import decoded_jpeg

    height, width = opened.image.height, opened.image.width
    check = partial(check_scans, name, pixels=height * width, max_pixels=max_pixels)
    bits = opened.jpeg.bits if opened.jpeg is not None else 8
    has_others = header.info.frames is not None
    return decoded_jpeg(file, header.info.layout, height, width, check, bits=bits, has_others=has_others)


def open_animation(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[tuple[Source, Fraction]]:
    """The composed frames of an animation, and how many milliseconds each is shown.

    One frame is in memory at a time: it is released when the next one is requested.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger images are refused.

    Raises:
        ImageError: it is damaged, or is not an animation.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        with header_read(file):
            opened = open_with_pillow(file, name, max_pixels=max_pixels)
            header = header_of(opened, file, name)
        image, fmt, frames = opened.image, opened.format, header.info.frames
        if frames is None or frames.layout is None:
            raise ImageError(
                name, "holds one image now, and held several before", "leave it alone, and try again", kind="changed"
            )
        header = as_frame(header, frames.layout)
        sources = _composed_sources(file, frames, header) if fmt.name == "png" else _sources(image, frames, header)
        while True:
            with readable(name, fmt):
                found = next(sources, None)
            if found is None:
                return
            yield found


def open_pages(path: Input, count: int, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[Source]:
    """The first `count` pages of a TIFF, one in memory at a time: it is released when the next one is requested.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: larger pages are refused.

    Raises:
        ImageError: one is damaged, of a kind that is not supported, or missing.
    """
    from upsample_cli.images.codecs.tiff.reader import open_page, opened_tiff

    name = shown_name(path)
    yield open_image(path, max_pixels=max_pixels, frame=1)  # Pillow may have to read it
    with quiet_pillow(), opened_file(path) as file:
        with header_read(file), readable(name, FORMATS["tiff"]):
            offsets = page_offsets(file, count)
            tiff = opened_tiff(file, name)
        for page in range(2, count + 1):
            if page > len(offsets):
                raise no_frame(name, page, max(1, len(offsets)))
            at = offsets[page - 1]
            with header_read(file):
                source = tiff and open_page(tiff, file, name, max_pixels=max_pixels, page_at=at)
            if not source:
                raise _unsupported_page(name, page)
            yield source


def _unsupported_page(name: str, page: int) -> ImageError:
    cause = f"holds a page {page} of a kind that is not supported"
    return ImageError(name, cause, ("leave out ", Setting("frame")), kind="unsupported")


def _source(header: Header, read_box: ReadBox) -> RegionSource:
    return RegionSource(header.info, header.metadata, orientation=header.orientation, read_box=read_box)


def _sources(image: ImageFile.ImageFile, frames: Frames, header: Header) -> Iterator[tuple[Source, Fraction]]:
    for duration_ms in animation_frames(image, frames):
        yield _source(header, pillow_box(image, header.reading)), duration_ms


def _composed_sources(file: BinaryIO, frames: Frames, header: Header) -> Iterator[tuple[Source, Fraction]]:
    from upsample_cli.images.codecs.png.animation_reader import composed_frames

    sides = header.info.height, header.info.width
    stored = sides[::-1] if TURNS[header.orientation].swapped else sides
    has_profile = header.metadata.icc_profile is not None
    for pixels, duration_ms in composed_frames(file, frames, *stored, has_profile=has_profile):
        yield _source(header, box_of(pixels)), duration_ms


def _by_rows(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | None:
    """The TIFF or PNM in `file`; None if Pillow reads it. The file's position is moved."""
    source, format_name = None, format_of_content(file.read(HEAD_BYTES), name).name
    if format_name == "pnm":
        if frame is not None and frame > 1:
            raise no_frame(name, frame, 1)
        from upsample_cli.images.codecs.pnm import open_pnm

        file.seek(0)
        return open_pnm(file, name, max_pixels=max_pixels)
    if format_name == "tiff":
        from upsample_cli.images.codecs.tiff.reader import open_tiff

        page_at = None if frame is None or frame == 1 else _page_offset(file, name, frame)
        source = open_tiff(file, name, max_pixels=max_pixels, page_at=page_at)
        if frame is not None and source is not None:
            source.info = replace(source.info, frames=None)
        if page_at is not None and source is None:
            raise _unsupported_page(name, frame or 1)
    file.seek(0)
    return source


def _page_offset(file: BinaryIO, name: str, page: int) -> int:
    with readable(name, FORMATS["tiff"]):
        found = page_offsets(file, page)
    if len(found) < page:
        raise no_frame(name, page, max(1, len(found)))
    return found[-1]
