"""Pixels of an image that Pillow opened: PNG by rows; others as a whole, by Pillow or by a decoder of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.pillow_file import Opened, open_with_pillow
from upsample_cli.images.codecs.pillow_source import pillow_box
from upsample_cli.images.codecs.readable import readable_box
from upsample_cli.images.frame_sources import one_frame, source_of
from upsample_cli.images.header import Header
from upsample_cli.images.interfaces import Source
from upsample_cli.images.limits import check_scans
from upsample_cli.images.model import Frames
from upsample_cli.images.orientation import ORIENTATION, TURNS
from upsample_cli.images.regions import RegionSource

if TYPE_CHECKING:
    from upsample_cli.images.codecs.jpeg_decoder import Decoded


class OpenedByPillow(NamedTuple):
    """An image that Pillow opened: the header of the whole file, and the header of the requested frame."""

    opened: Opened
    first: Header
    header: Header


def is_png_by_rows(found: OpenedByPillow, frame: int | None) -> bool:
    """Whether it is a PNG that is read by rows. Frames of animations are not."""
    is_one_of_many = frame is not None and found.first.info.frames is not None
    if found.opened.format.name != "png" or is_one_of_many:
        return False
    from upsample_cli.images.codecs.png.kinds import is_read_by_rows

    return is_read_by_rows(found.opened.image)


def png_source(found: OpenedByPillow, name: str) -> RegionSource:
    """The source of a PNG that is read by rows.

    Raises:
        EOFError: pixels are missing at the end of the file.
    """
    from upsample_cli.images.codecs.png.reader import PngRows

    opened, header = found.opened, found.header
    rows = PngRows(opened.image, opened.pixels, header.reading)
    if opened.chunks is not None and opened.chunks.is_cut:
        rows.read_box(opened.image.height - 1, opened.image.height, 0, 1)  # pixels that are missing are an error now
    read_box = rows.read_box if TURNS[header.orientation].keeps_rows else rows.whole()
    return source_of(header, readable_box(read_box, name, opened.format), rows.losses)


def decoded_source(file: BinaryIO, found: OpenedByPillow, frame: int | None, name: str, max_pixels: int) -> Source:
    """The source of an image that is decoded now, as a whole. Decoders raise various errors.

    Args:
        file: the open file.
        found: the image.
        frame: one frame of an animation, counted from 1; None for the image itself.
        name: for messages.
        max_pixels: limits the scans of a progressive JPEG.
    """
    opened, header, frames = found.opened, found.header, found.first.info.frames
    image, is_cut = opened.image, False
    if frame is not None and frames is not None and frames.kind == "animation":
        if opened.format.name != "avif":
            return one_frame(file, frames, header, opened, name, frame)
        image.seek(frame - 1)
    elif header.reading.is_partial:
        return one_frame(file, Frames(1, "animation", header.info.layout), header, opened, name, 1)
    elif opened.format.name == "jpeg":
        decoded = _decoded_jpeg(opened, file, header, name, max_pixels)
        if decoded.read_box is not None:
            return source_of(_with_losses(header, decoded.losses), decoded.read_box)
        file.seek(0)
        image, is_cut = open_with_pillow(file, name, max_pixels=max_pixels).image, decoded.is_cut
        image.fp = file  # Pillow opened only its header
    elif opened.format.name == "bmp":
        from upsample_cli.images.codecs.bmp_rle import unpack_rle

        header = _with_losses(header, unpack_rle(image, file, name))
    elif header.reading.drops_low_byte:
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
        info = header.info._replace(height=image.height, width=image.width)
        header = header._replace(info=info, orientation=1)
    return source_of(header, pillow_box(image, header.reading))


def _with_losses(header: Header, losses: tuple[Loss, ...]) -> Header:
    return header._replace(info=header.info._replace(losses=(*header.info.losses, *losses)))


def _decoded_jpeg(opened: Opened, file: BinaryIO, header: Header, name: str, max_pixels: int) -> Decoded:
    from upsample_cli.images.codecs.jpeg_decoder import decoded_jpeg

    width, height = opened.image.size
    check = partial(check_scans, name, pixels=height * width, max_pixels=max_pixels)
    bits = opened.jpeg.bits if opened.jpeg is not None else 8
    layout, has_others = header.info.layout, header.lists_others
    return decoded_jpeg(file, layout, height, width, check, bits=bits, has_others=has_others)
