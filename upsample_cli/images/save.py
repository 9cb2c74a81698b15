"""Open a sink for any format. The writer of a format is imported with the first image in this format."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, BinaryIO

from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.format_table import COMMENT, Format
from upsample_cli.images.formats import check_quality
from upsample_cli.images.interfaces import Sink
from upsample_cli.images.metadata import iptc
from upsample_cli.images.metadata.exif import without_orientation
from upsample_cli.images.model import ImageInfo, Layout, Metadata

_SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_WEBP_SIDE = 16382  # the most pixels of a side in imagecodecs; Pillow encodes one more
# Measured on 11 MP. AVIF: 12 s and 0.66 MB at Pillow's default speed 6, 1.2 s and 0.78 MB at speed 9. Lossless WebP:
# 2.7 s and 4.6 MB at method 1, 0.9 s and 6.2 MB at method 0. Lossy WebP: 0.38 s and 46.6 dB at method 2, 0.83 s and
# 47.1 dB at method 4.
_AVIF_SPEED, _WEBP_METHOD, _WEBP_LOSSLESS_METHOD = 9, 2, 1


def open_sink(file: BinaryIO, fmt: Format, *, executor: Executor | None = None, **image: Any) -> Sink:
    """Open a sink that writes an image to `file`.

    Args:
        file: a binary file, at its start.
        fmt: an entry of `formats.FORMATS`.
        executor: threads that also encode PNG, TIFF and JPEG; None to encode in the calling thread only.
        image: see `sink_opener`.

    Raises:
        UsageError: `quality` is outside the range of the format.
        OSError: here, in `write_rows` or in `finish`, if writing or encoding fails. `files.new_file` turns it into an
            `ImageError`.
    """
    return sink_opener(fmt, **image)(file, executor=executor)


def sink_opener(
    fmt: Format,
    *,
    height: int,
    width: int,
    layout: Layout,
    metadata: Metadata,
    quality: int | None = None,
    info: ImageInfo | None = None,
    suffix: str = "",
) -> Callable[..., Sink]:
    """A function that opens sinks for images of one kind. Its arguments are the file, and `executor`.

    PNG, TIFF, PNM and JPEG are written as rows come. The other formats are collected as a whole, with 1 byte (grey) or
    4 bytes per pixel, and encoded by `finish`.

    - PNG and TIFF: `quality` is the level of deflate, 0 to 9. All levels are lossless.
    - JPEG: quality 95 by default. If the input is a JPEG, its chroma subsampling is kept: an enlarged image has no
      finer chroma than its input, so 4:2:0 still holds all of it. For other inputs, chroma is not subsampled (4:4:4),
      which keeps thin coloured lines.
    - WebP: lossless if the input is stored without loss and no quality is given; otherwise lossy, 95 by default.
    - AVIF: quality 90 by default, chroma as for JPEG. It is always lossy, even at 100.
    - JPEG XL: lossless in the same case, and at quality 100; otherwise lossy, 90 by default. Floating point, HDR, and
      alpha with 16 bits or colours other than sRGB are always lossless.
    - GIF: at most 256 colours. An image with no more keeps its colours; others are reduced to 256 colours and dithered.

    Args:
        fmt: an entry of `formats.FORMATS`.
        height: number of rows.
        width: pixels of a row.
        layout: layout of the rows, one of `fmt.layouts`.
        metadata: the result of `output_form.nearest_form` and `metadata.metadata_for_output`.
        quality: see above; None for the default of the format.
        info: header of the input.
        suffix: the extension of the file name, which selects the kind of PNM.

    Raises:
        UsageError, OSError: see `open_sink`.
    """
    check_quality(fmt, quality)
    if layout not in fmt.layouts:
        raise ValueError(f"{fmt.title} is not written from {layout}")
    size: dict[str, Any] = {"height": height, "width": width, "layout": layout}
    if (streaming := _streaming_sink(fmt)) is not None:
        more: dict[str, Any] = {} if quality is None else {"level": quality}
        if fmt.name == "pnm":
            more["suffix"] = suffix
        return partial(streaming, **size, metadata=metadata, **more)
    lossless = is_lossless(fmt, quality, info)
    settings = _SETTINGS[fmt.name](fmt.default_quality if quality is None else quality, info, lossless)
    if layout.colour == "grey":  # grey has no chroma to subsample, and AVIF would store a chroma plane
        settings.pop("subsampling", None)
    if fmt.name == "jxl":
        from upsample_cli.images.codecs.jxl.writer import JxlSink

        used = None if lossless else settings["quality"]
        return _alone(partial(JxlSink, **size, metadata=metadata, quality=used))
    if fmt.name == "jpeg":
        from upsample_cli.images.codecs.jpeg import JpegSink, segments_before_tables

        return partial(
            JpegSink, **size, **settings, head=segments_before_tables(layout, _metadata_settings(metadata, fmt))
        )
    settings |= _metadata_settings(metadata, fmt)
    if fmt.name == "webp" and (lossless or not layout.alpha) and max(height, width) <= _WEBP_SIDE:
        from upsample_cli.images.codecs.webp_sink import WebpSink

        return _alone(partial(WebpSink, **size, settings=settings))
    from upsample_cli.images.codecs.collecting import CollectingSink

    return _alone(partial(CollectingSink, fmt=fmt, **size, settings=settings, colour=metadata.colour))


def _alone(encoder: Callable[[BinaryIO], Sink]) -> Callable[..., Sink]:
    """The opener of a sink that encodes in the calling thread only."""
    return lambda file, executor=None: encoder(file)  # noqa: ARG005


def _streaming_sink(fmt: Format) -> Callable[..., Sink] | None:
    """The sink class of a format that is written as rows come, without Pillow."""
    if fmt.name == "png":
        from upsample_cli.images.codecs.png.writer import PngSink

        return PngSink
    if fmt.name == "tiff":
        from upsample_cli.images.codecs.tiff.writer import TiffSink

        return TiffSink
    if fmt.name == "pnm":
        from upsample_cli.images.codecs.pnm import PnmSink

        return PnmSink
    return None


def is_lossless(fmt: Format, quality: int | None, info: ImageInfo | None) -> bool:
    """Whether pixels are written without loss. WebP and JPEG XL are if the input is and no quality is given."""
    is_both = fmt.name in {"webp", "jxl"}
    return fmt.lossless or (is_both and quality is None and info is not None and info.lossless)


def _jpeg_settings(quality: int | None, info: ImageInfo | None, _lossless: bool) -> dict[str, Any]:
    return {"quality": quality, "subsampling": _subsampling(info)}


def _webp_settings(quality: int | None, _info: ImageInfo | None, lossless: bool) -> dict[str, Any]:
    if lossless:
        return {"lossless": True, "quality": 0, "method": _WEBP_LOSSLESS_METHOD, "exact": True}
    return {"quality": quality, "method": _WEBP_METHOD, "exact": True}


def _avif_settings(quality: int | None, info: ImageInfo | None, _lossless: bool) -> dict[str, Any]:
    return {"quality": quality, "subsampling": _subsampling(info), "speed": _AVIF_SPEED}


def _jxl_settings(quality: int | None, _info: ImageInfo | None, _lossless: bool) -> dict[str, Any]:
    return {"quality": quality}


def _plain_settings(_quality: int | None, _info: ImageInfo | None, _lossless: bool) -> dict[str, Any]:
    return {}


_SETTINGS = {
    "jpeg": _jpeg_settings, "webp": _webp_settings, "avif": _avif_settings,
    "jxl": _jxl_settings, "bmp": _plain_settings, "gif": _plain_settings,
}  # fmt: skip


def _subsampling(info: ImageInfo | None) -> str:
    return _SUBSAMPLINGS[info.jpeg_subsampling or 0 if info is not None else 0]


def _metadata_settings(metadata: Metadata, fmt: Format) -> dict[str, Any]:
    exif = metadata.exif
    if exif and fmt.name == "avif":
        exif = without_orientation(exif)
    if exif and fmt.name == "jpeg":
        exif = b"Exif\0\0" + exif
    comments = [value.encode() for keyword, value in metadata.text if keyword == COMMENT]
    xmp, extension = metadata.xmp, b""
    if xmp and fmt.max_xmp_bytes is not None:
        from upsample_cli.images.metadata.xmp_extension import divided

        with encoder_errors(fmt.title):
            xmp, extension = divided(xmp, fmt.max_xmp_bytes)
    captions = iptc.jpeg_segments(metadata.iptc) if metadata.iptc else b""
    given = {
        "icc_profile": metadata.icc_profile,
        "exif": exif,
        "xmp": xmp,
        "extra": captions + b"".join(map(_remark, comments[:-1])) + extension,
        "dpi": metadata.dpi,
        "comment": comments[-1] if comments else None,
        "aspect": metadata.aspect,
    }
    # Pillow writes 96 dpi into a BMP if no resolution is given.
    no_resolution = {"dpi": (0, 0)} if fmt.name == "bmp" else {}
    return no_resolution | {name: value for name, value in given.items() if value}


def _remark(comment: bytes) -> bytes:
    """A JPEG comment as a segment, for comments after the one that Pillow writes."""
    return b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
