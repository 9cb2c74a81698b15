"""A source that reads boxes of the stored image and turns them upright, one band at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from upsample_cli.errors import Loss
from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.orientation import TURNS

ReadBox = Callable[[int, int, int, int], Rows]
"""A function from `(top, bottom, left, right)` of the stored image, ends exclusive, to rows in the source's layout."""


def box_of(pixels: Rows) -> ReadBox:
    """A `ReadBox` for decoded pixels of shape (height, width, channels)."""

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        box: Rows = pixels[top:bottom, left:right]
        return box

    return read_box


class RegionSource:
    """An image that is read in boxes: an `interfaces.Source`. Only one thread at a time may read bands.

    Args:
        info: header of the upright image.
        metadata: metadata of the image.
        orientation: orientation of the stored image, 1 to 8.
        read_box: reads a box of the stored image.
        losses: a collection to which `read_box` adds its losses.
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
        """Close `stack`, which may hold an open file, together with the source."""
        self._held.push(stack)

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Read rows `top` to `bottom` (exclusive). The array is writable and belongs to the caller."""
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
