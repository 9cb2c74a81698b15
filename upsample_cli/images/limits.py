"""Limits on an image and its metadata, checked against the header. No Pillow, no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upsample_cli.errors import ImageError, Setting, Text, joined

if TYPE_CHECKING:
    from upsample_cli.images.model import Frames

DEFAULT_MAX_PIXELS = 500_000_000
"""The largest input that is decoded by default (`max_pixels`)."""

ANY_PIXELS = 1 << 62
"""No limit, for an image whose pixels are checked elsewhere."""

MAX_METADATA_BYTES = 16 << 20
"""The most bytes of all metadata of one image together, decompressed: text, EXIF, XMP, captions and colour profile."""

_FREE_CODED_BYTES, _CODED_BYTES_PER_PIXEL = 64 << 20, 64
"""Decoders of some formats need the whole file in memory. No encoder takes more for an image."""

MANY = 50
"""All frames or pages of a file together may have this many times `max_pixels`."""


class MetadataError(ValueError):
    """A file has more metadata than `MAX_METADATA_BYTES`. `readable.readable` turns this into an `ImageError`."""


def check_pixels(name: str, height: int, width: int, max_pixels: int) -> None:
    """Refuse an image with more than `max_pixels` pixels.

    Raises:
        ImageError: the image is larger; the message names the setting that allows it.
    """
    if height * width > max_pixels:
        cause = f"{width}×{height} is {height * width} pixels, more than the limit of {max_pixels}"
        raise ImageError(name, cause, allow_more_pixels(height * width), kind="too-large")


def check_coded_bytes(name: str, size_bytes: int, pixels: int) -> None:
    """Refuse data that would be read into memory as a whole, and are far larger than their pixels.

    Args:
        size_bytes: size of the coded pixels.
        pixels: number of pixels.

    Raises:
        ImageError: the data are larger than any encoder makes them.
    """
    if size_bytes > _FREE_CODED_BYTES + _CODED_BYTES_PER_PIXEL * pixels:
        cause = f"is damaged: it has {size_bytes >> 20} MiB of data, more than {pixels} pixels can need"
        raise ImageError(name, cause, "get a new copy of it")


def allow_more_pixels(pixels: int) -> Text:
    """The next step for a file that needs a limit of `pixels`."""
    return "add ", Setting("max_pixels", pixels), " if you trust the file"


def check_frames(name: str, count: int, pixels: int, max_pixels: int) -> None:
    """Refuse frames or pages that together would take too long.

    Args:
        count: number of frames to enlarge.
        pixels: pixels of all of them together.
        max_pixels: limit for one frame.

    Raises:
        ImageError: there are too many; the message names the setting that allows them.
    """
    if pixels > MANY * max_pixels:
        cause = f"holds {count} frames or pages of {pixels} pixels in all, more than {MANY} times {max_pixels}"
        next_step = joined(allow_more_pixels(-(-pixels // MANY)), (", or enlarge one with ", Setting("frame")))
        raise ImageError(name, cause, next_step, kind="too-large")


def check_all_frames(name: str, frames: Frames | None, height: int, width: int, max_pixels: int) -> None:
    """Call `check_frames` for all images in a file.

    Args:
        frames: the frames to enlarge; None for the first image only.
        height, width: size of the first image, in pixels.
    """
    if frames is not None:
        check_frames(name, frames.count, frames.pixels or frames.count * height * width, max_pixels)


def check_scans(name: str, scans: int, pixels: int, max_pixels: int) -> None:
    """Refuse a progressive JPEG whose scans would take too long. Each scan covers the whole image.

    Raises:
        ImageError: it has too many; the message names the setting that allows them.
    """
    if scans * pixels > MANY * max_pixels:
        cause = f"is coded in {scans} scans of {pixels} pixels, in all more than {MANY} times {max_pixels}"
        raise ImageError(name, cause, allow_more_pixels(-(-scans * pixels // MANY)), kind="too-large")


def check_metadata_bytes(size_bytes: int) -> None:
    """Refuse metadata of more than `MAX_METADATA_BYTES`.

    Raises:
        MetadataError: the metadata are larger.
    """
    if size_bytes > MAX_METADATA_BYTES:
        raise MetadataError(f"{size_bytes} bytes of metadata")
