"""Write a TIFF with several pages, one after the other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, BinaryIO

from upsample_cli.images.codecs.tiff.writer import TiffSink
from upsample_cli.images.model import Frames, Layout, Metadata


class TiffPages:
    """Writes a TIFF with several pages; an `interfaces.FrameWriter`. Each page has its own size, layout and metadata.

    Args:
        file: the output file; it must be seekable.
        frames: the pages of the input.
        factor: how many times each side is enlarged.
        settings: further arguments of `TiffSink`: level, executor.
    """

    def __init__(self, file: BinaryIO, frames: Frames, *, factor: int, **settings: Any) -> None:
        self._file, self._pixels, self._settings = file, frames.pixels * factor**2, settings
        self._last: TiffSink | None = None
        self._begun: TiffSink | None = None

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> TiffSink:
        """The sink for the next page; `duration_ms` is ignored. A previous page that was not finished is removed."""
        del duration_ms
        self._keep_finished()
        self._begun = TiffSink(
            self._file, height=height, width=width, layout=layout, metadata=metadata, before=self._last,
            total_bytes=self._pixels * layout.channels * layout.dtype.itemsize, **self._settings,
        )  # fmt: skip
        return self._begun

    def _keep_finished(self) -> None:
        if self._begun is None:
            return
        if self._begun.end is not None:
            self._last = self._begun
        end = self._last.end if self._last is not None else 0
        self._file.seek(end or 0)
        self._file.truncate()
        self._begun = None

    def finish(self) -> None:
        """Remove the last page if it was not finished. A finished page is already linked to the page before it."""
        self._keep_finished()
