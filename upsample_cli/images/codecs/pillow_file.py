"""Opens image files with Pillow, by their content, behind our own size limit."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image, ImageFile

from upsample_cli.images.codecs.avif import check_lists
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content
from upsample_cli.images.codecs.gif import extent
from upsample_cli.images.codecs.jpeg_markers import JpegHead, jpeg_head
from upsample_cli.images.codecs.png.ancillary import Ancillary, read_ancillary
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.codecs.webp import webp_size
from upsample_cli.images.format_table import Format
from upsample_cli.images.limits import check_pixels


class Opened(NamedTuple):
    """An image as Pillow opens it, pixels undecoded; of a PNG its ancillary chunks, of a JPEG what precedes pixels."""

    image: ImageFile.ImageFile
    format: Format
    chunks: Ancillary | None
    jpeg: JpegHead | None = None


def open_with_pillow(file: BinaryIO, name: str, *, max_pixels: int) -> Opened:
    """Open the image in `file`, pixels undecoded. Call it, and use the image, inside `quiet_pillow`.

    Args:
        file: seekable; must stay open until the image is decoded.
        name: for messages.
        max_pixels: larger images are refused.

    Raises:
        ImageError: it is not an image we know, is damaged, or is too large.
    """
    head = file.read(HEAD_BYTES)
    fmt = format_of_content(head, name)
    if fmt.name == "webp":
        check_pixels(name, *webp_size(head), max_pixels)  # the decoder allocates when it is created
    with readable(name, fmt):
        if fmt.name == "avif":
            check_lists(file, name)
        jpeg = jpeg_head(file, name) if fmt.name == "jpeg" else None
        chunks = read_ancillary(file) if fmt.name == "png" else None  # first: Pillow inflates profiles without a limit
        file.seek(0)
        import_module(f"PIL.{_PLUGINS.get(fmt.name, fmt.pillow_name.title())}ImagePlugin")
        # Without a name Pillow does not map the file into memory.
        image = Image.OPEN[fmt.pillow_name][0](BytesIO(jpeg.for_pillow) if jpeg else file, "")
    check_pixels(name, image.height, image.width, max_pixels)
    if fmt.name == "gif":
        check_pixels(name, *extent(file), max_pixels)
    return Opened(image, fmt, chunks, jpeg)


_PLUGINS = {"webp": "WebP"}
