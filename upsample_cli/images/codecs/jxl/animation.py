"""Write an animated JPEG XL: every frame is encoded as a still image, and its header becomes that of a frame."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO

from upsample_cli.images.codecs.clock import Clock
from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.codecs.jxl.container import write_boxes
from upsample_cli.images.codecs.jxl.frames import as_frame
from upsample_cli.images.codecs.jxl.writer import Coded, JxlSink
from upsample_cli.images.codecs.strips import check_complete
from upsample_cli.images.interfaces import Sink
from upsample_cli.images.model import Frames, Layout, Metadata

_MOST_TICKS = _MOST_PLAYS = 2**32 - 1


class JxlFrames:
    """Writes images into one animation: an `interfaces.FrameWriter`. One coded frame is in memory at a time.

    Args:
        file: the output file.
        frames: gives the number of plays.
        quality: as for `JxlSink`.
    """

    def __init__(self, file: BinaryIO, frames: Frames, *, quality: int | None) -> None:
        self._file, self._clock = file, Clock(unit_ms=1)
        self._settings: dict[str, Any] = {"quality": quality, "plays": min(frames.plays, _MOST_PLAYS)}
        self._metadata: Metadata | None = None
        self._write: Callable[..., bytes] | None = None

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> Sink:
        """See `interfaces.FrameWriter`."""
        first = self._metadata or metadata
        sink = _FrameSink(self._file, height=height, width=width, layout=layout, metadata=first, **self._settings)
        sink.on_coded = partial(self._add, first, duration_ms)
        return sink

    def _add(self, metadata: Metadata, duration_ms: Fraction, coded: Coded) -> None:
        self._write_waiting(is_last=False)
        if self._metadata is None:
            self._metadata = metadata
            write_boxes(self._file, metadata, level=coded.level)
            self._file.write(coded.codestream[: coded.frames_at])
        ticks = min(max(1, self._clock.units(duration_ms)), _MOST_TICKS)  # a frame of 0 ticks would not be shown
        self._write = partial(as_frame, coded.codestream, coded.header, coded.frames_at, duration=ticks)

    def _write_waiting(self, *, is_last: bool) -> None:
        if self._write is not None:
            self._file.write(self._write(is_last=is_last))

    def finish(self) -> None:
        """Write the last frame."""
        if self._write is None:
            raise ValueError("no frame came")
        with encoder_errors("JPEG XL"):
            self._write_waiting(is_last=True)


class _FrameSink(JxlSink):
    """One frame being encoded."""

    on_coded: Callable[[Coded], None]

    def finish(self) -> None:
        """Encode the frame."""
        check_complete(len(self._pixels) - self._next_row)
        with encoder_errors("JPEG XL"):
            self.on_coded(self._coded())
