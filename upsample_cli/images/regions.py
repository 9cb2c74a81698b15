"""A source whose image is read by boxes: bands of the upright image, found in the stored one and turned."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np

from upsample_cli.images.model import ImageInfo, Metadata, Rows
from upsample_cli.images.orientation import TURNS

ReadBox = Callable[[int, int, int, int], Rows]
"""Gives top to bottom, left to right (exclusive) of the stored image, as rows of the source's layout."""


def box_of(pixels: Rows) -> ReadBox:
    """Reads boxes of pixels (height, width, channels) that are all there."""

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        box: Rows = pixels[top:bottom, left:right]
        return box

    return read_box


class RegionSource:
    """An image that can be read in boxes; a `model.Source`. Bands are to be asked for by one thread at a time.

    Args:
        info: of the upright image.
        metadata: what travels beside the pixels.
        orientation: how the stored image is to be turned, 1 to 8.
        read_box: reads the stored image.
        losses: what `read_box` adds to, if it ever loses anything.
    """

    def __init__(
        self,
        info: ImageInfo,
        metadata: Metadata,
        *,
        orientation: int,
        read_box: ReadBox,
        losses: Collection[str] = (),
    ) -> None:
        self.info, self.metadata, self.losses = info, metadata, losses
        self._turn, self._held = TURNS[orientation], ExitStack()
        self._read_box: ReadBox | None = read_box

    def hold(self, stack: ExitStack) -> None:
        """Close this, an open file say, with the source."""
        self._held.push(stack)

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` to `bottom` (exclusive): `(bottom - top, width, channels)`, writable, owned by the caller."""
        height, width = self.info.height, self.info.width
        if not 0 <= top < bottom <= height:
            raise ValueError(f"no rows {top} to {bottom} in an image of {height}")
        if self._read_box is None:
            raise ValueError("this image is closed")
        stored = self._read_box(*self._turn.stored((top, bottom, 0, width), height, width))
        return np.array(self._turn.upright(stored), dtype=self.info.layout.dtype, order="C")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read_box = None
        self._held.close()
