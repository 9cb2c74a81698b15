"""The table of image formats: names, capabilities and limits. No Pillow, no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from upsample_cli.images.input_formats import ReadFormat
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import Depth, FramesKind, Layout

MetadataKind = Literal[
    "icc_profile", "colour", "exif", "xmp", "iptc", "dpi", "aspect", "background", "text", "comment", "comments", "tags"
]

COMMENT = "Comment"
"""Keyword of the comment of a JPEG or GIF in `Metadata.text`."""

_GREY, _GREY_ALPHA = Layout("grey"), Layout("grey", alpha=True)
_RGB, _RGB_ALPHA = Layout("rgb"), Layout("rgb", alpha=True)
_CMYK, _CMYK_ALPHA = Layout("cmyk"), Layout("cmyk", alpha=True)
_LAB = (Layout(colour, alpha) for colour in ("cielab", "icclab") for alpha in (False, True))


def _of_depths(layouts: Iterable[Layout], *depths: Depth) -> frozenset[Layout]:
    return frozenset(layout._replace(depth=depth) for layout in layouts for depth in depths)


@dataclass(frozen=True, slots=True)
class Format(ReadFormat):
    """One image format as this package writes it.

    Args:
        name, title: see `ReadFormat`.
        extensions: as in `ReadFormat`; the first is used for outputs.
        pillow_name: Pillow's name of the format.
        layouts: the layouts that the sink of this package writes.
        holds: the parts of `Metadata` that it keeps. "comments" are all texts with the keyword `COMMENT`, "comment" is
            the last of them.
        lossless: whether pixels are stored without loss. WebP and JPEG XL can do both: see `save.sink_opener`.
        streams: whether rows are written as they come, so that the whole image is never in memory.
        max_side: the most rows, and the most columns.
        max_pixels: the most pixels.
        max_bytes: the most bytes of stored pixels.
        max_exif_bytes: the most bytes of an Exif block.
        max_xmp_bytes: the most bytes of an XMP packet without its extension.
        max_comment_bytes: the most bytes of a comment.
        dpi_range: a resolution must be between these two, in dots per inch, if the format holds it; None for no limit.
        quality_range: the lowest and the highest `quality`; None if the format has no such setting.
        default_quality: the quality of a lossy coding if none is given.
        max_colours: the most colours in one image; None for no limit.
        frames: the kinds of `Frames` that one file can hold.
        frame_ms: the shortest and the longest duration of a frame; 0 is held too.
        max_plays: the most plays of an animation, unless it is played forever.
    """

    pillow_name: str
    layouts: frozenset[Layout]
    holds: frozenset[MetadataKind]
    lossless: bool
    streams: bool = False
    max_side: int = 2**31 - 1
    max_pixels: int | None = None
    max_bytes: int | None = None
    max_exif_bytes: int | None = None
    max_xmp_bytes: int | None = None
    max_comment_bytes: int | None = None
    dpi_range: tuple[float, float] | None = None
    quality_range: tuple[int, int] | None = None
    default_quality: int | None = None
    max_colours: int | None = None
    frames: frozenset[FramesKind] = frozenset()
    frame_ms: tuple[int, int] = (0, 0)
    max_plays: int = 1


_PER_METRE = 0.5 * METRES_PER_INCH, (2**31 - 1) * METRES_PER_INCH
"""The range of a resolution that is stored as a whole number of dots per metre."""

# Limits of the encoders and decoders in Pillow 13: libjpeg stops at 65500 although the format has
# room for 65535; libavif writes up to 65536 but reads back only 32768 a side and 16384 * 16384 pixels; a BMP's file
# size is a 32-bit number; a JPEG segment holds 65533 bytes, of which the Exif and XMP headers take 6 and 29.
FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format(
            "jpeg", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG",
            frozenset({_GREY, _RGB, _CMYK}),
            frozenset({"icc_profile", "exif", "xmp", "iptc", "dpi", "aspect", "comments"}),
            lossless=False, max_side=65500, max_exif_bytes=65527, max_xmp_bytes=65504, max_comment_bytes=65533,
            dpi_range=(0.5, 65535.5), streams=True, quality_range=(1, 100), default_quality=95,
        ),
        Format(
            "png", "PNG", (".png", ".apng"), "PNG",
            _of_depths((_GREY, _GREY_ALPHA, _RGB, _RGB_ALPHA), 8, 16),
            frozenset({"icc_profile", "colour", "exif", "xmp", "iptc", "dpi", "aspect", "background", "text"}),
            dpi_range=_PER_METRE, lossless=True, streams=True, quality_range=(0, 9),
            frames=frozenset({"animation"}), frame_ms=(0, 65535000), max_plays=2**31 - 1,
        ),
        Format(
            "webp", "WebP", (".webp",), "WEBP",
            frozenset({_RGB, _RGB_ALPHA}), frozenset({"icc_profile", "exif", "xmp"}),
            lossless=False, max_side=16383, quality_range=(0, 100), default_quality=95,
            frames=frozenset({"animation"}), frame_ms=(1, 2**24 - 1), max_plays=65535,
        ),
        Format(
            "tiff", "TIFF", (".tif", ".tiff"), "TIFF",
            _of_depths((_GREY, _GREY_ALPHA, _RGB, _RGB_ALPHA, _CMYK, _CMYK_ALPHA), 8, 16, 32) | _of_depths(_LAB, 8, 16),
            frozenset({"icc_profile", "exif", "xmp", "iptc", "dpi", "aspect", "tags"}),
            lossless=True, streams=True, quality_range=(0, 9),
            frames=frozenset({"pages"}),
        ),
        Format(
            "bmp", "BMP", (".bmp",), "BMP",
            frozenset({_GREY, _RGB}), frozenset({"dpi"}),
            dpi_range=_PER_METRE, lossless=True, max_bytes=2**32 - 2048,
        ),
        Format(
            "gif", "GIF", (".gif",), "GIF",
            frozenset({_GREY, _RGB, _RGB_ALPHA}), frozenset({"comment"}),
            lossless=False, max_side=65535, max_colours=256,
            frames=frozenset({"animation"}), frame_ms=(10, 655350), max_plays=65536,
        ),
        Format(
            "avif", "AVIF", (".avif",), "AVIF",
            frozenset({_GREY, _RGB, _RGB_ALPHA}), frozenset({"icc_profile", "colour", "exif", "xmp"}),
            lossless=False, max_side=32768, max_pixels=2**28, quality_range=(0, 100), default_quality=90,
        ),
        Format(
            "jxl", "JPEG XL", (".jxl",), "JXL",
            _of_depths((_GREY, _GREY_ALPHA, _RGB, _RGB_ALPHA), 8, 16, 32),
            frozenset({"icc_profile", "colour", "exif", "xmp"}),
            lossless=False, max_side=2**30, max_pixels=2**40, quality_range=(0, 100), default_quality=90,
            frames=frozenset({"animation"}), frame_ms=(1, 2**32 - 1), max_plays=2**32 - 1,
        ),
        Format(
            "pnm", "PNM", (".pnm", ".ppm", ".pgm", ".pbm", ".pam"), "PPM",
            _of_depths((_GREY, _GREY_ALPHA, _RGB, _RGB_ALPHA), 8, 16), frozenset({"comment"}),
            lossless=True, streams=True, max_comment_bytes=20000,
        ),
    )
}  # fmt: skip
