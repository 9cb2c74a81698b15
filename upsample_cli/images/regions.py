"""A source that reads boxes of the stored image and turns them upright, band by band."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from upsample_cli.errors import Loss
from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.orientation import TURNS

ReadBox = Callable[[int, int, int, int], Rows]
"""`(top, bottom, left, right)` of the stored image, ends exclusive -> rows in the source's layout."""


def box_of(pixels: Rows) -> ReadBox:
    """Boxes of decoded pixels, (height, width, channels)."""

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        box: Rows = pixels[top:bottom, left:right]
        return box

    return read_box


class RegionSource:
    """An image that is read in boxes; a `model.Source`. One thread at a time may read bands.

    Args:
        info: of the upright image.
        metadata: of the image.
        orientation: of the stored image, 1 to 8.
        read_box: reads the stored image.
        losses: `read_box` adds what it loses.
    """

    def __init__(
        self,
        info: ImageInfo,
        metadata: Metadata,
        *,
        orientation: int,
        read_box: ReadBox,
        losses: Collection[Loss] = (),
    ) -> None:
        self.info, self.metadata, self.losses = info, metadata, losses
        self._turn, self._held = TURNS[orientation], ExitStack()
        self._read_box: ReadBox | None = read_box

    def hold(self, stack: ExitStack) -> None:
        """Close this, an open file for example, together with the source."""
        self._held.push(stack)

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` to `bottom` (exclusive): `(bottom - top, width, channels)`, writable, owned by the caller."""
        height, width = self.info.height, self.info.width
        if not 0 <= top < bottom <= height:
            raise ValueError(f"no rows {top} to {bottom} in an image of {height}")
        if self._read_box is None:
            raise ValueError("this image is closed")
        stored = self._read_box(*self._turn.stored((top, bottom, 0, width), height, width))
        rows: Rows = self._turn.upright(stored).astype(self.info.layout.dtype, order="C")
        return rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read_box = None
        self._held.close()
