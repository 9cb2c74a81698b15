"""The pages of a TIFF, one after the other. A damaged page does not affect the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.raw import refuse_raw
from upsample_cli.images.codecs.readable import CONVERT, readable
from upsample_cli.images.codecs.tiff.pages import Page, first_pages, pages_of
from upsample_cli.images.codecs.tiff.reader import open_page, opened_tiff
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.header import no_frame
from upsample_cli.images.metered import header_read
from upsample_cli.images.open_frames import lost_page
from upsample_cli.images.regions import RegionSource

if TYPE_CHECKING:
    from tifffile import TiffFile

_TIFF = FORMATS["tiff"]


def one_page(file: BinaryIO, name: str, number: int, *, max_pixels: int) -> RegionSource:
    """One page as a separate image. Call it inside `header_read`.

    Args:
        file, name, max_pixels: as for `open_tiff`.
        number: number of the page, 2 or more.

    Raises:
        ImageError: the page cannot be read, or does not exist.
    """
    with readable(name, _TIFF):
        pages = first_pages(file, name, number)
    if len(pages) < number:
        raise no_frame(name, number, len(pages))
    return _opened(opened_tiff(file, name), file, name, pages[-1], max_pixels)


def pages_after_first(file: BinaryIO, name: str, count: int, *, max_pixels: int) -> Iterator[RegionSource | Loss]:
    """Pages 2 to `count` as separate images, or the loss of a page that cannot be read.

    Args:
        file, name, max_pixels: as for `open_tiff`.
        count: number of the last page.

    Raises:
        ImageError: a page no longer exists, or the file cannot be read.
    """
    with header_read(file), readable(name, _TIFF):
        pages = first_pages(file, name, count)
        tiff = opened_tiff(file, name)
    for number in range(2, count + 1):
        if number > len(pages):
            raise no_frame(name, number, len(pages))
        try:
            with header_read(file):
                source = _opened(tiff, file, name, pages[number - 1], max_pixels)
        except ImageError as error:
            yield lost_page(error, number, count)
        else:
            yield source


def first_readable(file: BinaryIO, name: str, error: ImageError, *, max_pixels: int) -> RegionSource:
    """The first page after page 1 that can be read, for a file whose page 1 cannot. Call it inside `header_read`.

    Its header has the number of all pages.

    Args:
        file, name, max_pixels: as for `open_tiff`.
        error: the error of page 1.

    Raises:
        ImageError: `error`, if no page can be read, or the file is a RAW.
    """
    refuse_raw(file, name)
    with readable(name, _TIFF):
        _, frames = pages_of(file, name)
        pages = first_pages(file, name)
        tiff = opened_tiff(file, name)
    if frames is None:
        raise error
    losses = [lost_page(error, 1, frames.count)]
    for number, page in enumerate(pages[1:], start=2):
        try:
            source = _opened(tiff, file, name, page, max_pixels)
        except ImageError as another:
            losses.append(lost_page(another, number, frames.count))
        else:
            source.info = source.info._replace(frames=frames, losses=(*losses, *source.info.losses))
            return source
    raise error


def _opened(tiff: TiffFile | None, file: BinaryIO, name: str, page: Page, max_pixels: int) -> RegionSource:
    source = tiff and open_page(tiff, file, name, page, max_pixels=max_pixels)
    if not source:
        raise ImageError(name, "its kind of pixels is not supported", CONVERT, kind="unsupported")
    return source
