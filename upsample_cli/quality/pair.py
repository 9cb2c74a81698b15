"""A large image and a small one made from it, on which kernels are compared. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from upsample_cli.atomic.opened import OpenedFile, opened
from upsample_cli.errors import ImageError, Loss, Setting, Text, UsageError, joined
from upsample_cli.images.codecs.input_file import regular_file
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS
from upsample_cli.images.model import ImageInfo, Layout, Rows
from upsample_cli.images.open import open_image, probe
from upsample_cli.quality.degrade import Degradation, Luma, degraded
from upsample_cli.quality.pieces import luma

FACTORS = (2, 64)
"""The smallest and the largest factor for comparing kernels."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the large image: upper left corner and size, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at {self.left},{self.top}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of images.

    Args:
        measure: the most pixels of the large image to compare. Of a larger image, a piece with the same aspect ratio is
            compared.
        max_pixels: the most pixels of an image to open.
    """

    measure: int
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The same piece of an image, small and large, uint8. Grey is (height, width), colour is (height, width, 3).

    Args:
        low: the reduced piece; `factor` times smaller on both sides.
        high: the original, which a kernel should restore.
        box: position of `high` in the whole large image.
        degradation: how the small one was made, in words.
        remarks: what the comparison ignores, one line each.
        sources: the files that were read.
    """

    low: Rows
    high: Rows
    factor: int
    box: Box
    degradation: str
    remarks: tuple[Loss | Text, ...] = ()
    sources: tuple[OpenedFile, ...] = ()

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.high.ndim == 2 else self.high.shape[2]


def luma_of(pixels: Rows) -> Luma:
    """Luma of an image of a `Pair`, (height, width).

    >>> luma_of(np.array([[[255, 0, 0]]], np.uint8)).tolist()
    [[76]]
    """
    return pixels if pixels.ndim == 2 else luma(pixels, Layout("rgb"))


def reduced_pair(photo: Path, factor: int, degradation: Degradation, limits: Limits, around: Box | None = None) -> Pair:
    """Read a photograph and reduce it.

    Args:
        photo: path of the photograph.
        factor: the factor to reduce by. Rows and columns beyond a multiple of it are left out.
        degradation: how to reduce.
        limits: see `Limits`.
        around: a box whose surroundings are measured; None for the middle of the photograph.

    Raises:
        UsageError: if the factor is not in `FACTORS`.
        ImageError: if the photograph cannot be read, or is smaller than the factor.
    """
    if not FACTORS[0] <= factor <= FACTORS[1]:
        raise UsageError(
            f"kernels cannot be compared at factor {factor}",
            ("give ", Setting("factor", "{} to {}".format(*FACTORS))),
        )
    info = probe(photo, max_pixels=limits.max_pixels)
    if min(info.height, info.width) < factor:
        cause = f"{info.width}x{info.height} is too small to be reduced {factor} times"
        raise ImageError(photo, cause, ("use a larger image, or a smaller ", Setting("factor")), kind="geometry")
    box = _measured(info, factor, limits.measure, around)
    high, source = _read(photo, box, limits)
    remarks = _remarks(photo, info)
    kept = (info.height // factor * factor, info.width // factor * factor)
    if kept != (info.height, info.width):
        remarks.append(
            f"{photo}: {info.width}x{info.height} is compared as {kept[1]}x{kept[0]}, a multiple of the factor"
        )
    if (box.height, box.width) != kept:
        remarks.append(_measured_only(photo, box, info))
    return Pair(degraded(high, factor, degradation), high, factor, box, str(degradation), tuple(remarks), (source,))


def referenced_pair(
    small: Path, reference: Path, factor: int | None, limits: Limits, around: Box | None = None
) -> Pair:
    """Read a small image and the large one that it was made from.

    Args:
        small: path of the small image.
        reference: path of the large image.
        factor: the expected ratio of their sizes; None to take it from the sizes.
        limits: see `Limits`.
        around: see `reduced_pair`; a box in the large image.

    Raises:
        UsageError: if the large image is not a whole number of times as large on both sides, or not `factor` times.
        ImageError: if an image cannot be read.
    """
    less, more = (probe(path, max_pixels=limits.max_pixels) for path in (small, reference))
    times = more.height // less.height
    if (more.height, more.width) != (less.height * times, less.width * times) or not FACTORS[0] <= times <= FACTORS[1]:
        raise UsageError(
            f"{reference} ({more.width}x{more.height}) is not a whole number of times as large as {small} "
            f"({less.width}x{less.height})",
            "give the image that the small one was made from",
        )
    if factor not in (None, times):
        raise UsageError(
            f"{reference} is {times} times as large as {small}", ("leave ", Setting("factor", factor), " out")
        )
    box = _measured(more, times, limits.measure, around)
    high, large_source = _read(reference, box, limits)
    reduced = Box(*(length // times for length in (box.top, box.left, box.height, box.width)))
    low, small_source = _read(small, reduced, limits)
    remarks = [*_remarks(reference, more), *_remarks(small, less)]
    if (box.height, box.width) != (more.height, more.width):
        remarks.append(_measured_only(reference, box, more))
    if low.ndim != high.ndim:
        low, high = (rows if rows.ndim == 3 else np.stack([rows] * 3, axis=2) for rows in (low, high))
    return Pair(low, high, times, box, f"that of {small.name}", tuple(remarks), (small_source, large_source))


def _measured(info: ImageInfo, factor: int, most: int, around: Box | None) -> Box:
    """The part of the large image to measure: whole pixels of the small image, and at most `most` large pixels."""
    whole = Box(0, 0, info.height, info.width)
    centre = whole if around is None else around
    share = min(1.0, math.sqrt(most / (info.height * info.width)))
    top, height = _span(info.height // factor, share, (centre.top + centre.height / 2) / factor)
    left, width = _span(info.width // factor, share, (centre.left + centre.width / 2) / factor)
    return Box(top * factor, left * factor, height * factor, width * factor)


def _span(length: int, share: float, centre: float) -> tuple[int, int]:
    """(first, count) along an axis: a fraction of its length around a centre, moved to be inside the axis."""
    count = max(1, int(length * share))
    return max(0, min(length - count, round(centre - count / 2))), count


def _read(path: Path, box: Box, limits: Limits) -> tuple[Rows, OpenedFile]:
    with regular_file(path) as file, open_image(file, max_pixels=limits.max_pixels) as source:
        layout = source.info.layout
        rows = source.read_rows(box.top, box.top + box.height)[:, box.left : box.left + box.width]
        target = Layout("grey" if layout.colour == "grey" else "rgb")
        pixels = convert_rows(rows, layout, target, source.metadata.icc_profile)
        read = opened(path, file)
    return np.ascontiguousarray(pixels[..., 0] if target.colour == "grey" else pixels), read


def _measured_only(path: Path, box: Box, info: ImageInfo) -> Text:
    return f"{path}: {box} of {info.width}x{info.height} is measured; ", Setting("measure"), " takes more"


def _remarks(path: Path, info: ImageInfo) -> list[Loss | Text]:
    lost = [replace(loss, text=joined(f"{path}: ", loss.text)) for loss in info.losses]
    return [*lost, *(f"{path}: {remark}" for remark in _losses(info))]


def _losses(info: ImageInfo) -> Iterator[str]:
    if info.frames is not None:
        yield f"the first of its {info.frames.count} images is compared"
    if info.layout.alpha:
        yield "what is transparent is compared over white"
    if info.layout.depth > 8:
        yield "compared in 8 bits"
