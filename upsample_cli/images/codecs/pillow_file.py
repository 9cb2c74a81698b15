"""Opens image files with Pillow, by their content, behind our own size limit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, ImageFile

from upsample_cli.images.codecs.avif import check_lists
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content
from upsample_cli.images.codecs.gif import extent
from upsample_cli.images.codecs.jpeg_markers import check_exif_segments
from upsample_cli.images.codecs.png.ancillary import Ancillary, read_ancillary
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.codecs.webp import webp_size
from upsample_cli.images.format_table import Format
from upsample_cli.images.limits import check_pixels


class Opened(NamedTuple):
    """An image as Pillow opens it, pixels undecoded; for a PNG, its ancillary chunks."""

    image: ImageFile.ImageFile
    format: Format
    chunks: Ancillary | None


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
        if fmt.name == "jpeg":
            check_exif_segments(file, name)
        chunks = read_ancillary(file) if fmt.name == "png" else None  # first: Pillow inflates profiles without a limit
        file.seek(0)
        import_module(f"PIL.{_PLUGINS.get(fmt.name, fmt.pillow_name.title())}ImagePlugin")
        image = Image.OPEN[fmt.pillow_name][0](file, "")  # without a name Pillow does not map the file into memory
        if fmt.name == "tiff" and image.mode == "YCbCr" and not _is_simple_ycbcr(vars(image)["tag_v2"]):
            image = _opened_by_libtiff(file)
    check_pixels(name, image.height, image.width, max_pixels)
    if fmt.name == "gif":
        check_pixels(name, *extent(file), max_pixels)
    return Opened(image, fmt, chunks)


def _is_simple_ycbcr(tags: Mapping[int, Any]) -> bool:
    """Whether YCbCr of a TIFF is what Pillow takes it for if it is not compressed: not subsampled, and of BT.601."""
    coefficients = tags.get(_COEFFICIENTS, _BT_601)
    is_common = all(abs(stated - common) < 0.002 for stated, common in zip(coefficients, _BT_601, strict=False))
    return tags.get(_SUBSAMPLING, (2, 2)) == (1, 1) and is_common


def _opened_by_libtiff(file: BinaryIO) -> ImageFile.ImageFile:
    from PIL import TiffImagePlugin

    with _libtiff_lock:
        before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, True
        try:
            file.seek(0)
            return TiffImagePlugin.TiffImageFile(file, "")
        finally:
            TiffImagePlugin.READ_LIBTIFF = before


_COEFFICIENTS, _SUBSAMPLING, _BT_601 = 529, 530, (0.299, 0.587, 0.114)
_libtiff_lock = Lock()  # the setting is global
_PLUGINS = {"webp": "WebP"}
