"""Compare kernels on one image: how close each result is to the original, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from upsample_cli.errors import Setting, UsageError
from upsample_cli.images.model import Rows
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.kernel import KERNEL_NAMES, NETWORKS
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.kernels.shipped import FITTED
from upsample_cli.quality.degrade import Luma
from upsample_cli.quality.pair import Box, Pair, luma_of
from upsample_cli.quality.pieces import MARGIN, Piece
from upsample_cli.quality.score import Errors, errors

CROP = 96
"""Default side of a crop, in pixels of the large image."""

LARGEST_CROP = 512
_STRIP_PIXELS = 2**18


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The results of one kernel.

    Args:
        name: the user's name for the kernel.
        errors: errors of luma in the measured piece.
        ms_per_megapixel: median time for a million output pixels, in milliseconds; None if it was not timed.
        crop: the part of the enlarged image at `Comparison.box`.
    """

    name: str
    errors: Errors
    ms_per_megapixel: float | None
    crop: Rows

    @property
    def ssim(self) -> float | None:
        """Mean structural similarity; None if the image is smaller than one window."""
        return self.errors.ssim if self.errors.windows else None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The results of all kernels, the closest to the original first.

    Args:
        box: position of the crops in the whole large image.
        crop: the crop of the original.
        rounds: how often each kernel was timed.
    """

    pair: Pair
    entries: tuple[Entry, ...]
    box: Box
    crop: Rows
    rounds: int

    @property
    def best(self) -> dict[str, list[str]]:
        """The names of the best kernels by each score; several if their printed scores are equal."""
        best = {
            "psnr_db": _highest({e.name: (e.errors.squared == 0, round(e.errors.psnr_db, 2)) for e in self.entries})
        }
        if self.entries[0].ssim is not None:
            best["ssim"] = _highest({e.name: round(e.ssim or 0.0, 4) for e in self.entries})
        return best


def _highest(scores: Mapping[str, Any]) -> list[str]:
    most = max(scores.values())
    return [name for name, score in scores.items() if score == most]


def kernels_for(names: Sequence[str] | None, factor: int, channels: int) -> dict[str, AnyKernel]:
    """The kernels to compare.

    Args:
        names: names or files as for `kernels.choice.chosen_kernel`; None for all named kernels with different weights.
        factor: the factor.
        channels: channels of the image, 1 or 3.

    Raises:
        UsageError: if a kernel does not exist, or cannot enlarge such an image.

    >>> list(kernels_for(None, 5, 3))[-3:]
    ['lanczos3', 'bspline', 'gaussian']
    """
    kernels: dict[str, AnyKernel] = {}
    for name in KERNEL_NAMES if names is None else names:
        try:
            kernel = chosen_kernel(name, factor)
        except UsageError:
            if names is None and name in (FITTED, *NETWORKS):  # it does not exist for every factor
                continue
            raise
        if reason := kernel.misfit(channels, has_alpha=False):
            raise UsageError(*reason)
        twin = any(replace(kernel, name=known.name) == known for known in kernels.values())
        if names is not None or not twin:
            kernels[name] = kernel
    return kernels


def compare(
    pair: Pair,
    names: Sequence[str] | None = None,
    *,
    crop: Box | None = None,
    rounds: int = 3,
    advanced: Callable[[float], None] = lambda _share: None,
) -> Comparison:
    """Enlarge the small image with each kernel, and compare the results with the large image.

    Args:
        pair: the small and the large image.
        names: see `kernels_for`.
        crop: the part to show, in pixels of the whole large image; None for the part where the kernels differ most.
        rounds: how often to time each kernel. Kernels take turns, and the first round is not timed.
        advanced: called with the fraction of the work that was just done.

    Raises:
        UsageError: if a kernel is not available, or the crop is outside the measured piece.
    """
    kernels = kernels_for(names, pair.factor, pair.channels)
    inside = None if crop is None else _inside(crop, pair.box)
    steps = len(kernels) * (1 + max(rounds, 1))

    def step_done() -> None:
        advanced(1 / steps)

    found, differences = _scored(pair, kernels, step_done)
    box = inside or busiest_square(differences, CROP)
    times_s, crops = _timed(pair, kernels, box, max(rounds, 1), step_done)
    per_megapixel = 1e9 / (pair.box.height * pair.box.width)
    entries = [
        Entry(name, found[name], statistics.median(times_s[name]) * per_megapixel if rounds else None, crops[name])
        for name in kernels
    ]
    entries.sort(key=lambda entry: entry.errors.squared)
    shown = replace(box, top=box.top + pair.box.top, left=box.left + pair.box.left)
    return Comparison(pair, tuple(entries), shown, _cut(pair.high, box), rounds)


def _scored(pair: Pair, names: Iterable[str], step_done: Callable[[], None]) -> tuple[dict[str, Errors], Luma]:
    """The errors of each kernel, and how much the kernels differ at each pixel; for one kernel, from the original."""
    original, found = luma_of(pair.high), {}
    lowest, highest = np.full_like(original, 255), np.zeros_like(original)
    for name in names:
        seen = luma_of(_enlarged(pair, name))
        found[name] = _errors(seen, original, pair.factor)
        np.minimum(lowest, seen, out=lowest)
        np.maximum(highest, seen, out=highest)
        step_done()
    if len(found) == 1:
        lowest, highest = np.minimum(lowest, original), np.maximum(highest, original)
    return found, highest - lowest


def _timed(
    pair: Pair, names: Iterable[str], box: Box, rounds: int, step_done: Callable[[], None]
) -> tuple[dict[str, list[float]], dict[str, Rows]]:
    """The times of each kernel in seconds, and its crop."""
    times_s: dict[str, list[float]] = {name: [] for name in names}
    crops = {}
    for _ in range(rounds):
        for name, taken_s in times_s.items():
            start_s = time.perf_counter()
            large = _enlarged(pair, name)
            taken_s.append(time.perf_counter() - start_s)
            crops[name] = _cut(large, box)
            step_done()
    return times_s, crops


def busiest_square(values: Luma, side: int) -> Box:
    """The square with this side whose values have the largest sum. It is limited to the array.

    >>> busiest_square(np.array([[0, 1, 0], [0, 9, 1], [0, 0, 9]], np.uint8), 2)
    Box(top=1, left=1, height=2, width=2)
    """
    height, width = (min(side, length) for length in values.shape)
    sums = np.pad(values.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = divmod(int(inside.argmax()), inside.shape[1])
    return Box(top, left, height, width)


def _enlarged(pair: Pair, name: str) -> Rows:
    from upsample_cli.engine.arrays import upsample  # imports torch

    large: Rows = upsample(pair.low, pair.factor, kernel=name)
    return large


def _errors(seen: Luma, original: Luma, factor: int) -> Errors:
    """The errors of a whole image, computed a few rows at a time."""
    found = Errors()
    height, width = (length // factor for length in original.shape)
    step = max(1, _STRIP_PIXELS // width // factor**2)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = max(0, top - MARGIN), min(height, bottom + MARGIN)
        rows = slice(first * factor, last * factor)
        piece = Piece(original[rows][::factor], original[rows], top - first, last - bottom)
        found += errors(seen[rows], piece)
    return found


def _inside(crop: Box, measured: Box) -> Box:
    """Convert a box of the whole large image to a box of the measured piece."""
    if max(crop.height, crop.width) > LARGEST_CROP:
        raise UsageError(
            (Setting("crop", f"{crop.width}x{crop.height}"), " is too large to look at side by side"),
            f"give {LARGEST_CROP}x{LARGEST_CROP} or less",
        )
    box = replace(crop, top=crop.top - measured.top, left=crop.left - measured.left)
    bottom, right = box.top + box.height, box.left + box.width
    if min(box.top, box.left) < 0 or bottom > measured.height or right > measured.width:
        raise UsageError(
            f"the crop, {crop}, is outside what is measured, {measured}", ("give another ", Setting("crop"))
        )
    return box


def _cut(pixels: Rows, box: Box) -> Rows:
    return np.ascontiguousarray(pixels[box.top : box.top + box.height, box.left : box.left + box.width])
