"""Small images of an input and its output, to show side by side on a page."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.input_file import Input, shown_name
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.limits import ANY_PIXELS
from upsample_cli.images.model import Layout, Metadata, Rows
from upsample_cli.images.open import open_image, read_header

DETAIL_INPUT_PIXELS = 96
DETAIL_OUTPUT_PIXELS = 384
OVERVIEW_PIXELS = 224
MAX_PIXELS = 120_000_000
"""Larger images are not read back: most formats would be decoded as a whole, in the main process of the run."""
_KEPT_PROFILE_BYTES = 4096
_ROW_STEP = 4


@dataclass(frozen=True, slots=True)
class Preview:
    """Small images as WebP files.

    Args:
        overview: the whole input, reduced.
        before, after: the same detail of the input and of the output, not resized.
        detail: (top, left, height, width) of the detail in the input, in pixels.
        shape: (height, width) of the input, in pixels.
        after_shape: (height, width) of `after`, in pixels.
    """

    overview: bytes
    before: bytes
    after: bytes
    detail: tuple[int, int, int, int]
    shape: tuple[int, int]
    after_shape: tuple[int, int]


def preview(image: Input, output: Input, output_shape: tuple[int, int], *, frame: int | None = None) -> Preview:
    """Read an input and its output again, and cut out the detail where neighbouring pixels of the input differ most.

    The two images are decoded one after the other, so memory is that of the larger one.

    Args:
        image, output: paths, or seekable binary files.
        output_shape: (height, width) that the output must have, in pixels.
        frame: the frame of the input that was enlarged, counted from 1; None for the first.

    Raises:
        ImageError: if an image cannot be read or is too large, or the output has another size.
    """
    new_shape, _ = _shape(output), _shape(image, frame)  # before a pixel is decoded
    if new_shape != output_shape:
        raise ImageError(shown_name(output), f"is not the enlarged {shown_name(image)}", kind="changed")
    with open_image(image, max_pixels=MAX_PIXELS, frame=frame) as source:
        shape = (source.info.height, source.info.width)
        collector = _PreviewCollector(shape, _side(shape, new_shape), source.info.layout, source.metadata)
        for top in range(0, shape[0], collector.band):
            collector.take(source.read_rows(top, min(top + collector.band, shape[0])), top)
        overview, before = collector.overview(), _webp(collector.detail, source.metadata, lossless=True)
    rows, columns = (
        _span(start, length, old, new)
        for start, length, old, new in zip(collector.box[:2], collector.box[2:], shape, new_shape, strict=True)
    )
    with open_image(output, max_pixels=MAX_PIXELS) as enlarged:
        pixels = enlarged.read_rows(rows.start, rows.stop)[:, columns.start : columns.stop]
        after = _webp(_shown(pixels, enlarged.info.layout, enlarged.metadata), enlarged.metadata, lossless=True)
    return Preview(overview, before, after, collector.box, shape, (len(rows), len(columns)))


def _shape(path: Input, frame: int | None = None) -> tuple[int, int]:
    """(height, width) of an image from its header, in pixels.

    Raises:
        ImageError: if the image cannot be read, or has more than `MAX_PIXELS`.
    """
    info, _ = read_header(path, max_pixels=ANY_PIXELS, frame=frame)
    if info.height * info.width > MAX_PIXELS:
        raise ImageError(shown_name(path), "is too large to be shown here", kind="too-large")
    return info.height, info.width


def _side(shape: tuple[int, int], new_shape: tuple[int, int]) -> int:
    """Side of the square detail, in input pixels: it and its enlargement must fit on the page."""
    largest = min(DETAIL_OUTPUT_PIXELS * old // new for old, new in zip(shape, new_shape, strict=True))
    return max(1, min(DETAIL_INPUT_PIXELS, largest, *shape))


def _span(start: int, length: int, old: int, new: int) -> range:
    """The range of output samples for `length` input samples from `start`; at least one sample.

    >>> _span(3, 4, 10, 20), _span(3, 4, 10, 15)
    (range(6, 14), range(4, 10))
    """
    first = min(start * new // old, new - 1)
    return range(first, max((start + length) * new // old, first + 1))


class _PreviewCollector:
    """Takes the rows of an image once, top to bottom. Keeps a reduced copy and the square that changes most."""

    def __init__(self, shape: tuple[int, int], side: int, layout: Layout, metadata: Metadata) -> None:
        self._side, self._layout, self._metadata = side, layout, metadata
        self._reduction = -(-max(shape) // OVERVIEW_PIXELS)
        self.band = -(-side // self._reduction) * self._reduction
        self._reduced: list[Rows] = []
        self._most = -1.0
        self.box = (0, 0, side, side)
        self.detail: Rows = np.empty(0)

    def take(self, rows: Rows, top: int) -> None:
        pixels = _shown(rows, self._layout, self._metadata)
        reduced = np.asarray(_image(pixels).reduce(self._reduction))
        self._reduced.append(reduced.reshape(*reduced.shape[:2], -1))
        if len(pixels) < self._side:
            return
        square = pixels[: self._side]
        left, variation = _most_varied(square[::_ROW_STEP, :, min(1, square.shape[2] - 1)], self._side)
        if variation > self._most:
            self._most, self.box = variation, (top, left, self._side, self._side)
            self.detail = square[:, left : left + self._side].copy()

    def overview(self) -> bytes:
        return _webp(np.concatenate(self._reduced), self._metadata, lossless=False)


def _most_varied(rows: Rows, side: int) -> tuple[int, float]:
    """The `side` columns where neighbouring pixels differ most, as (first column, sum of differences)."""
    changes = np.abs(np.diff(rows.astype(np.int16), axis=1)).sum(axis=0)
    sums = np.concatenate([[0], np.cumsum(changes)])
    windows = sums[side - 1 :] - sums[: len(sums) - side + 1]
    left = int(windows.argmax())
    return left, float(windows[left])


def _shown(rows: Rows, layout: Layout, metadata: Metadata) -> Rows:
    """Convert rows for a page: 8 bits, grey or RGB, with transparency."""
    target = Layout("grey" if layout.colour == "grey" else "rgb", alpha=layout.alpha)
    return convert_rows(rows, layout, target, metadata.icc_profile)


def _image(pixels: Rows) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _webp(pixels: Rows, metadata: Metadata, *, lossless: bool) -> bytes:
    image = _image(pixels)
    profile = metadata.icc_profile
    # Keep a profile only if browsers can use it and it is small.
    is_kept = profile is not None and profile[16:20] == b"RGB " and len(profile) <= _KEPT_PROFILE_BYTES
    file = io.BytesIO()
    mode = "RGBA" if image.mode in ("LA", "RGBA") else "RGB"
    image.convert(mode).save(
        file, "WEBP", lossless=lossless, quality=80, method=2, exact=True, icc_profile=profile if is_kept else None
    )
    return file.getvalue()
