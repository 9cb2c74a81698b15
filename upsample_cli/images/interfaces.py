"""The interfaces that rows of an image pass through: `Source`, `Sink`, and `FrameWriter` for several images in a file.

Rows are arrays as `model.py` describes them.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

from upsample_cli.errors import Loss
from upsample_cli.images.model import ImageInfo, Layout, Metadata, Rows


class Source(Protocol):
    """An image to read rows from. It is a context manager; leaving it releases the file and the memory."""

    info: ImageInfo
    metadata: Metadata

    @property
    def losses(self) -> Collection[Loss]:
        """The losses of reading rows so far that the header does not announce."""
        ...

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Read rows `top` (inclusive) to `bottom` (exclusive), shape `(bottom - top, width, channels)`.

        `top` must not decrease from call to call, except once after the first call; consecutive calls may overlap by
        a few rows (the halo). Sources that decode rows in order start again for it.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sink(Protocol):
    """An image to write rows to, in order from top to bottom, any number of rows at a time."""

    @property
    def losses(self) -> Collection[Loss]:
        """After `finish`: the losses of writing that could not be planned."""
        ...

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows, shape `(rows, width, channels)`. The caller must not change the array afterwards."""
        ...

    def finish(self) -> None:
        """Write pending rows and the end of the file. Call it once, after the last row."""
        ...


class FrameWriter(Protocol):
    """A file to write several images to, one after the other."""

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> Sink:
        """The sink for the next image. Finish it before you request the next one.

        Args:
            height, width, layout, metadata: of this image. In an animation, those of the first frame apply to all.
            duration_ms: how long the frame is shown; ignored for pages.
        """
        ...

    def finish(self) -> None:
        """Write the end of the file. Call it once, after the last image's sink is finished."""
        ...
