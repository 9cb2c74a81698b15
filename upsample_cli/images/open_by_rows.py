"""Open images that are read without Pillow. The reader of a format is imported with the first such image."""

from __future__ import annotations

from typing import BinaryIO

from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content
from upsample_cli.images.codecs.raw import refuse_raw
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.header import no_frame
from upsample_cli.images.input_formats import READ_ONLY
from upsample_cli.images.regions import RegionSource


def open_by_rows(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | None:
    """A source for an image that is read without Pillow; None for others. The file's position is moved.

    These are TIFF, PNM, JPEG XL, BMP of bit masks, and formats that are only read.

    Args:
        file: a seekable file at its start; it must stay open until the source is closed.
        name: name of the file in messages.
        max_pixels: larger images are refused.
        frame: one frame or page, counted from 1, as a separate image; None for the first.

    Raises:
        ImageError: the image is damaged, too large, not supported, or does not have this frame.
    """
    format_name = format_of_content(file.read(HEAD_BYTES), name).name
    file.seek(0)
    if format_name == "jxl":
        from upsample_cli.images.codecs.jxl.reader import open_jxl

        return open_jxl(file, name, max_pixels=max_pixels, frame=frame)
    if format_name == "tiff":
        source = _tiff(file, name, max_pixels, frame)
    else:
        source = _of_one_image(file, name, format_name, max_pixels, is_one=frame is not None)
        if source is not None and frame is not None and frame > 1:
            raise no_frame(name, frame, 1)
    file.seek(0)
    return source


def _of_one_image(file: BinaryIO, name: str, format_name: str, max_pixels: int, *, is_one: bool) -> RegionSource | None:
    if format_name in READ_ONLY:
        from upsample_cli.images.codecs.whole.source import open_whole

        return open_whole(file, name, READ_ONLY[format_name], max_pixels=max_pixels, is_one=is_one)
    if format_name == "pnm":
        from upsample_cli.images.codecs.pnm import open_pnm

        return open_pnm(file, name, max_pixels=max_pixels)
    if format_name == "bmp":
        from upsample_cli.images.codecs.bmp import open_bmp

        with readable(name, FORMATS["bmp"]):
            return open_bmp(file, name, max_pixels=max_pixels)
    return None


def _tiff(file: BinaryIO, name: str, max_pixels: int, frame: int | None) -> RegionSource | None:
    from upsample_cli.images.codecs.tiff.reader import open_tiff
    from upsample_cli.images.open_pages import one_page

    refuse_raw(file, name)
    if frame is not None and frame > 1:
        return one_page(file, name, frame, max_pixels=max_pixels)
    source = open_tiff(file, name, max_pixels=max_pixels)
    if frame is not None and source is not None:
        source.info = source.info._replace(frames=None)
    return source
