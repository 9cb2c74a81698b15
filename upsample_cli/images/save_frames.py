"""Open a writer for several images, in any format that can hold them. One is in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from fractions import Fraction
from functools import partial
from typing import BinaryIO, Protocol

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.gif import GifFrames
from upsample_cli.images.codecs.png.animation_writer import ApngWriter
from upsample_cli.images.codecs.tiff.pages_writer import TiffPages
from upsample_cli.images.codecs.webp import WebpFrames
from upsample_cli.images.format_table import Format
from upsample_cli.images.formats import check_quality
from upsample_cli.images.interfaces import FrameWriter, Sink
from upsample_cli.images.model import Frames, ImageInfo, Layout, Metadata, Rows
from upsample_cli.images.save import is_lossless, open_sink


class Muxer(Protocol):
    """Writes encoded images into one file."""

    def add(self, image: bytes, duration_ms: Fraction) -> None:
        """Add the next image."""
        ...

    def finish(self) -> None:
        """Write the end of the file."""
        ...


def open_frame_writer(
    file: BinaryIO,
    fmt: Format,
    frames: Frames,
    *,
    factor: int = 1,
    quality: int | None = None,
    info: ImageInfo | None = None,
    executor: Executor | None = None,
) -> FrameWriter:
    """Open a writer for several images into `file`.

    PNG and TIFF are written as rows come. For WebP, GIF and JPEG XL, one frame at a time is collected and encoded as a
    whole, as `save.sink_opener` does for a single image; similarities between frames are not used for compression.

    Args:
        file: a seekable binary file, at its start.
        fmt: a format whose `frames` include `frames.kind`.
        frames: the images that will be written.
        factor: how many times the sides of the images are enlarged.
        quality, info, executor: see `save.sink_opener` and `save.open_sink`.

    Raises:
        UsageError: `quality` is outside the range of the format.
        OSError: here and later, if writing or encoding fails.
    """
    check_quality(fmt, quality)
    if frames.kind not in fmt.frames:
        raise ValueError(f"{fmt.title} holds no {frames.kind}")
    level = {} if quality is None else {"level": quality}
    if fmt.name == "tiff":
        return TiffPages(file, frames, factor=factor, executor=executor, **level)
    if fmt.name == "jxl":
        from upsample_cli.images.codecs.jxl.animation import JxlFrames

        lossy = fmt.default_quality if quality is None else quality
        return JxlFrames(file, frames, quality=None if is_lossless(fmt, quality, info) else lossy)
    if fmt.name == "png":
        return ApngWriter(file, frames, executor=executor, **level)

    encoded = partial(open_sink, fmt=fmt, metadata=Metadata(), quality=quality, info=info)
    return _MuxedWriter(file, fmt, frames, encoded)


class _MuxedWriter:
    """Encodes each frame as a whole, and writes it into the file."""

    def __init__(self, file: BinaryIO, fmt: Format, frames: Frames, encoded: Callable[..., Sink]) -> None:
        self._file, self._format, self._frames, self._encoded = file, fmt, frames, encoded
        self._muxer: Muxer | None = None

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> Sink:
        if self._muxer is None:
            muxer = GifFrames if self._format.name == "gif" else WebpFrames
            size = {"height": height, "width": width}
            self._muxer = muxer(self._file, self._frames, **size, alpha=layout.alpha, metadata=metadata)
        image = io.BytesIO()
        sink = self._encoded(image, height=height, width=width, layout=layout)
        return _MuxedSink(self._muxer, duration_ms, image, sink)

    def finish(self) -> None:
        if self._muxer is None:
            raise ValueError("no frame came")
        self._muxer.finish()


class _MuxedSink:
    """One frame being encoded."""

    def __init__(self, muxer: Muxer, duration_ms: Fraction, image: io.BytesIO, sink: Sink) -> None:
        self._muxer, self._duration_ms, self._image, self._sink = muxer, duration_ms, image, sink

    @property
    def losses(self) -> Collection[Loss]:
        return self._sink.losses

    def write_rows(self, rows: Rows) -> None:
        self._sink.write_rows(rows)

    def finish(self) -> None:
        self._sink.finish()
        self._muxer.add(self._image.getvalue(), self._duration_ms)
