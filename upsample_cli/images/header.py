"""The header of an image that Pillow opens: of the whole file, or of one frame as a separate image."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from upsample_cli.errors import ImageError, Setting
from upsample_cli.images.codecs.pillow_file import Opened
from upsample_cli.images.codecs.pillow_pixels import Reading, how_to_read
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.limits import check_frames
from upsample_cli.images.metadata.jpeg_blocks import JpegBlocks, read_blocks
from upsample_cli.images.metadata.reading import read_metadata
from upsample_cli.images.model import Depth, Frames, ImageInfo, Layout, Metadata
from upsample_cli.images.open_frames import frames_of
from upsample_cli.images.orientation import ORIENTATION, TURNS, valid

if TYPE_CHECKING:
    from upsample_cli.images.codecs.png.ancillary import Ancillary

_BYTE_BITS = 8
_COEFFICIENT_BYTES = 2
"""Bytes per sample of a progressive JPEG: all coefficients are in memory before the first pixel is decoded."""


class Header(NamedTuple):
    """Everything that is known about an image before Pillow decodes it. `header_of` makes it.

    Args:
        info, metadata: header and metadata of the image as it is read, orientation applied.
        orientation: orientation of the stored image, 1 to 8.
        reading: how its pixels become rows.
        lists_others: for a JPEG, whether an index lists further images in the file.
    """

    info: ImageInfo
    metadata: Metadata
    orientation: int
    reading: Reading
    lists_others: bool = False


def header_of(opened: Opened, file: BinaryIO, name: str) -> Header:
    """The header of an opened image.

    Raises:
        ImageError: the image is damaged, or its kind of pixels is not supported.
    """
    image, fmt = opened.image, opened.format
    with readable(name, fmt):
        stored = image.height, image.width
        if TURNS[valid(vars(image).get("tag_v2", {}).get(ORIENTATION)) or 1].swapped:  # Pillow has turned such a TIFF
            stored = stored[::-1]
        jpeg = opened.jpeg
        chunks = opened.chunks if jpeg is None else read_blocks(file, jpeg.described)
        found = read_metadata(image, file, fmt.name, chunks, stored=stored)
        reading = how_to_read(image, file, fmt.name, name, has_profile=found.metadata.icc_profile is not None)
        if jpeg is not None:
            depth: Depth = 16 if jpeg.bits > _BYTE_BITS else 8
            layout = reading.layout._replace(depth=depth)
            reading = reading._replace(layout=layout, lossless=jpeg.is_lossless)
        height, width = stored[::-1] if TURNS[found.orientation].swapped else stored
        info = ImageInfo(
            format=fmt.name,
            height=height,
            width=width,
            layout=reading.layout,
            losses=(*reading.losses, *opened.losses, *found.losses),
            jpeg_subsampling=reading.jpeg_subsampling,
            lossless=reading.lossless,
            frames=_frames(opened, file, name, reading.layout, chunks),
            decoding_bytes=_decoding_bytes(opened, reading, found.orientation),
            orientation=found.orientation,
            states_colours=found.metadata.icc_profile is not None or found.metadata.colour is not None,
        )
    lists_others = isinstance(chunks, JpegBlocks) and chunks.lists_others
    return Header(info, found.metadata, found.orientation, reading, lists_others)


def _frames(
    opened: Opened, file: BinaryIO, name: str, layout: Layout, chunks: Ancillary | JpegBlocks | None
) -> Frames | None:
    if isinstance(chunks, JpegBlocks):
        return Frames(chunks.images, "views") if chunks.images > 1 else None
    return frames_of(opened.image, file, name, opened.format.name, layout, chunks.animation if chunks else None)


def _decoding_bytes(opened: Opened, reading: Reading, orientation: int) -> int:
    """See `ImageInfo.decoding_bytes`."""
    image = opened.image
    if opened.chunks is not None:
        from upsample_cli.images.codecs.png.kinds import decoding_bytes

        is_still = opened.chunks.animation is None
        is_in_order = is_still and TURNS[orientation].keeps_rows
        return decoding_bytes(image, opened.pixels, reading, is_in_order=is_in_order)
    samples = image.height * image.width * len(image.getbands())
    return samples * _COEFFICIENT_BYTES * ("progressive" in image.info)


def of_frame(header: Header, frame: int | None, name: str, max_pixels: int) -> Header:
    """The header of one frame, counted from 1, as a separate image. For None, the header is returned unchanged.

    Raises:
        ImageError: the frame does not exist, or too many frames must be composed to reach it.
    """
    if frame is None:
        return header
    frames = header.info.frames
    count = 1 if frames is None or frames.kind == "views" else frames.count
    if frame > count:
        raise no_frame(name, frame, count)
    check_frames(name, frame, frame * header.info.height * header.info.width, max_pixels)
    return header if frames is None else as_frame(header, frames.layout or header.info.layout)


def as_frame(header: Header, layout: Layout) -> Header:
    """The header of one frame as a separate image with the given layout."""
    info = header.info._replace(layout=layout, frames=None)
    return header._replace(info=info, reading=header.reading._replace(layout=layout, drops_low_byte=False))


def no_frame(name: str, frame: int, count: int) -> ImageError:
    """The error for a request of a frame that a file with `count` images does not have."""
    there = f"there are {count}" if count > 1 else "it holds one image"
    next_step = ("give ", Setting("frame"), f" 1 to {count}, or leave it out" if count > 1 else " 1, or leave it out")
    return ImageError(name, f"has no frame {frame}; {there}", next_step, kind="not-found")
