"""Every kernel on the same image: how near it comes to the original, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from upsample_cli.errors import Setting, UsageError
from upsample_cli.images.model import Rows
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.kernel import KERNEL_NAMES, Kernel, misfit
from upsample_cli.kernels.shipped import FITTED
from upsample_cli.quality.degrade import Luma
from upsample_cli.quality.pair import Box, Pair, luma_of
from upsample_cli.quality.pieces import MARGIN, Piece
from upsample_cli.quality.score import Errors, errors

CROP = 96
"""Side of the crop that is chosen, in pixels of the large image."""

LARGEST_CROP = 512
_STRIP_PIXELS = 2**18


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One kernel.

    Args:
        name: as the user calls it.
        errors: of luma, over all that was measured.
        ms_per_megapixel: median time for a million output pixels, in milliseconds; None if no time was taken.
        crop: of what it makes, as `Comparison.box` says.
    """

    name: str
    errors: Errors
    ms_per_megapixel: float | None
    crop: Rows

    @property
    def ssim(self) -> float | None:
        """Mean structural similarity; None where there is no room for one window."""
        return self.errors.ssim if self.errors.windows else None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All kernels, the nearest to the original first.

    Args:
        box: of the crops, in the whole large image.
        crop: of the original.
        rounds: times each kernel was timed.
    """

    pair: Pair
    entries: tuple[Entry, ...]
    box: Box
    crop: Rows
    rounds: int

    @property
    def best(self) -> dict[str, list[str]]:
        """The names of the kernels that are best by each score: several where they score the same, as it is shown."""
        best = {
            "psnr_db": _highest({e.name: (e.errors.squared == 0, round(e.errors.psnr_db, 2)) for e in self.entries})
        }
        if self.entries[0].ssim is not None:
            best["ssim"] = _highest({e.name: round(e.ssim or 0.0, 4) for e in self.entries})
        return best


def _highest(scores: Mapping[str, Any]) -> list[str]:
    most = max(scores.values())
    return [name for name, score in scores.items() if score == most]


def kernels_for(names: Sequence[str] | None, factor: int, channels: int) -> dict[str, Kernel]:
    """The kernels to be compared.

    Args:
        names: as `kernels.choice.chosen_kernel` takes them; None for all that have a name, each weight once.
        channels: of the image, 1 or 3.

    Raises:
        UsageError: if there is no such kernel, or it is not for such an image.

    >>> list(kernels_for(None, 5, 3))[-3:]
    ['lanczos3', 'bspline', 'gaussian']
    """
    kernels: dict[str, Kernel] = {}
    for name in KERNEL_NAMES if names is None else names:
        try:
            kernel = chosen_kernel(name, factor)
        except UsageError:
            if names is None and name == FITTED:  # not for every factor
                continue
            raise
        if reason := misfit(kernel, channels, has_alpha=False):
            raise UsageError(*reason)
        twin = any(replace(kernel, name=each.name) == each for each in kernels.values())
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
    """Enlarge the small image by every kernel, and hold the results against the large one.

    Args:
        names: see `kernels_for`.
        crop: what is to be shown, in the whole large image; None for where the kernels differ most.
        rounds: how often each kernel is timed, in turn with the others, after a round that does not count.
        advanced: told of what is done, as shares of all.

    Raises:
        UsageError: if a kernel cannot be had, or the crop lies outside of what is measured.
    """
    kernels = kernels_for(names, pair.factor, pair.channels)
    inside = None if crop is None else _inside(crop, pair.box)
    steps = len(kernels) * (1 + max(rounds, 1))
    original = luma_of(pair.high)
    # One kernel alone differs from nothing but the original.
    lowest, highest = (original.copy() if len(kernels) == 1 else np.full_like(original, edge) for edge in (255, 0))
    found = {}
    for name in kernels:
        seen = luma_of(_enlarged(pair, name))
        found[name] = _errors(seen, original, pair.factor)
        np.minimum(lowest, seen, out=lowest)
        np.maximum(highest, seen, out=highest)
        advanced(1 / steps)
    box = inside or liveliest(highest - lowest, CROP)
    times_s: dict[str, list[float]] = {name: [] for name in kernels}
    crops = {}
    for _ in range(max(rounds, 1)):
        for name in kernels:
            start_s = time.perf_counter()
            large = _enlarged(pair, name)
            times_s[name].append(time.perf_counter() - start_s)
            crops[name] = _cut(large, box)
            advanced(1 / steps)
    per_megapixel = 1e9 / original.size
    entries = [
        Entry(name, found[name], statistics.median(times_s[name]) * per_megapixel if rounds else None, crops[name])
        for name in kernels
    ]
    entries.sort(key=lambda entry: entry.errors.squared)
    shown = replace(box, top=box.top + pair.box.top, left=box.left + pair.box.left)
    return Comparison(pair, tuple(entries), shown, _cut(pair.high, box), rounds)


def liveliest(values: Luma, side: int) -> Box:
    """The square of that side, or as much of it as there is room for, whose values have the largest sum.

    >>> liveliest(np.array([[0, 1, 0], [0, 9, 1], [0, 0, 9]], np.uint8), 2)
    Box(top=1, left=1, height=2, width=2)
    """
    height, width = (min(side, length) for length in values.shape)
    sums = np.pad(values.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = divmod(int(inside.argmax()), inside.shape[1])
    return Box(top, left, height, width)


def _enlarged(pair: Pair, name: str) -> Rows:
    from upsample_cli.engine.arrays import upsample  # torch

    large: Rows = upsample(pair.low, pair.factor, kernel=name)
    return large


def _errors(seen: Luma, original: Luma, factor: int) -> Errors:
    """The errors of a whole image, some rows at a time."""
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
    """A box of the whole large image, counted from where the measured piece begins."""
    if max(crop.height, crop.width) > LARGEST_CROP:
        raise UsageError(
            (Setting("crop", f"{crop.width}x{crop.height}"), " is too large to look at side by side"),
            f"give {LARGEST_CROP}x{LARGEST_CROP} or less",
        )
    box = replace(crop, top=crop.top - measured.top, left=crop.left - measured.left)
    bottom, right = box.top + box.height, box.left + box.width
    if min(box.top, box.left) < 0 or bottom > measured.height or right > measured.width:
        raise UsageError(
            f"the crop, {crop}, lies outside of what is measured, {measured}", ("give another ", Setting("crop"))
        )
    return box


def _cut(pixels: Rows, box: Box) -> Rows:
    return np.ascontiguousarray(pixels[box.top : box.top + box.height, box.left : box.left + box.width])
