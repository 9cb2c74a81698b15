"""Open image files with Pillow according to their content, with the size limit of this package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from PIL import Image, ImageFile

from upsample_cli.errors import Loss
from upsample_cli.forks import held_at_forks
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content
from upsample_cli.images.codecs.jpeg_markers import JpegHead, jpeg_head
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.format_table import FORMATS, Format
from upsample_cli.images.limits import check_pixels

if TYPE_CHECKING:
    from upsample_cli.images.codecs.png.ancillary import Ancillary


class Opened(NamedTuple):
    """An image that Pillow opened, not decoded; the file to decode; the chunks of a PNG or the head of a JPEG."""

    image: ImageFile.ImageFile
    format: Format
    chunks: Ancillary | None
    pixels: BinaryIO
    losses: tuple[Loss, ...] = ()
    jpeg: JpegHead | None = None


def open_with_pillow(file: BinaryIO, name: str, *, max_pixels: int) -> Opened:
    """Open the image in `file` without decoding it. Call this and use the image inside `quiet_pillow`.

    Args:
        file: a seekable file; it must stay open until the image is decoded.
        name: name of the file in messages.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the format is unknown, or the image is damaged or too large.
    """
    head = file.read(HEAD_BYTES)
    fmt = FORMATS[format_of_content(head, name).name]
    if fmt.name == "webp":
        from upsample_cli.images.codecs.webp import webp_size

        check_pixels(name, *webp_size(head), max_pixels)  # the decoder allocates memory when it is created
    if fmt.name == "gif":
        from upsample_cli.images.codecs.gif import extent

        check_pixels(name, *extent(file), max_pixels)  # Pillow allocates the area that the first frame clears
    with readable(name, fmt):
        if fmt.name == "avif":
            from upsample_cli.images.codecs.avif import check_lists

            check_lists(file, name)
        jpeg = jpeg_head(file, name) if fmt.name == "jpeg" else None
        chunks = None
        if fmt.name == "png":
            from upsample_cli.images.codecs.png.ancillary import read_ancillary

            chunks = read_ancillary(file, name)
        pixels = chunks.pixels if chunks else file
        pixels.seek(0)
        import_module(f"PIL.{_PLUGINS.get(fmt.name, fmt.pillow_name.title())}ImagePlugin")
        image, read, losses = _opened(BytesIO(jpeg.for_pillow) if jpeg else pixels, fmt)
        if fmt.name == "tiff" and image.mode == "YCbCr" and not _is_simple_ycbcr(vars(image)["tag_v2"]):
            image = _opened_by_libtiff(file)
    check_pixels(name, image.height, image.width, max_pixels)
    return Opened(image, fmt, chunks, pixels if jpeg else read, losses, jpeg)


def _opened(file: BinaryIO, fmt: Format) -> tuple[ImageFile.ImageFile, BinaryIO, tuple[Loss, ...]]:
    """The image, the file that it reads, and the loss of damaged frames of a WebP, which libwebp would refuse."""
    factory = Image.OPEN[fmt.pillow_name][0]
    try:
        return factory(file, ""), file, ()  # without a name, Pillow does not memory-map the file
    except MemoryError:
        raise
    except Exception:
        if fmt.name != "webp":
            raise
        from upsample_cli.images.codecs.mended import bad_frames, without_frames
        from upsample_cli.images.codecs.webp import frame_spans

        count, bad = len(frame_spans(file)), bad_frames(file)
        if not len(bad) < count:
            raise
        mended = without_frames(file, bad)
        numbers = ", ".join(str(index + 1) for index in bad[:_MOST_NUMBERS]) + " and more" * (len(bad) > _MOST_NUMBERS)
        lost = f"damaged frames are left out: {numbers} of {count}" if bad else "the end of the file is missing"
        return factory(mended, ""), mended, (Loss("frames", lost),)


_MOST_NUMBERS = 20


def _is_simple_ycbcr(tags: Mapping[int, Any]) -> bool:
    """Whether YCbCr of a TIFF is what Pillow assumes for uncompressed data: not subsampled, and BT.601."""
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
_libtiff_lock = held_at_forks()  # the setting is global
_PLUGINS = {"webp": "WebP"}
