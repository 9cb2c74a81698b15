"""Fit one kernel to any number of photographs, and score it on photographs that it was not fitted to."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.errors import ImageError
from upsample_cli.kernels.kernel import Kernel, kernel_named
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.quality.degrade import Degradation, Luma
from upsample_cli.quality.equations import Equations, solved
from upsample_cli.quality.photos import Recipe, ignored, read_photos
from upsample_cli.quality.pieces import Part, pieces
from upsample_cli.quality.quantize import best_numerators
from upsample_cli.quality.score import Errors, errors

PEERS = ("bilinear", "bicubic", "lanczos3")
"""The kernels that a fitted one is compared with."""

NOISE = 0.1
"""The ridge of `equations.solved`. From a tenth of it to ten times as much, leave-one-out scores of photographs change
by at most 0.01 dB; a larger one blurs clean images."""

_MOST_SCORED = 64
Enlarger = Callable[[Luma], Luma]
"""A function that enlarges luma, (height, width), by a fixed factor."""

POWERS_OF_TWO = tuple(2**bits for bits in range(8))
"""Denominators by which every whole number of float32 can be divided without rounding."""


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of luma: means over photographs."""

    psnr_db: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted kernel and its scores.

    Args:
        kernel: whole weights of 8 bits over a power of two.
        images: number of photographs that it was fitted to.
        samples: number of neighbourhoods in them.
        skipped: why other photographs were skipped.
        scores: scores on held-out photographs by kernel, "fitted" last; empty if nothing could be held out.
        scored: number of photographs, or of halves of one, over which the scores are means.
        parts: number of parts that were held out in turn: photographs, groups of them, or the halves of a single one.
    """

    recipe: Recipe
    kernel: Kernel
    images: int
    samples: int
    skipped: tuple[ImageError, ...]
    scores: dict[str, Score]
    scored: int
    parts: int

    @property
    def protocol(self) -> str:
        """A description of how the scores were measured."""
        if not self.scores:
            return "no score: the only image is too small to hold a half of it out"
        if self.images == 1:
            return "each half of the image by a kernel fitted to the other half"
        held = "each image" if self.parts == self.images else f"each of {self.parts} groups of images"
        some = f"; {self.scored} of {self.images} images scored" if self.scored < self.images else ""
        return f"{held} by a kernel fitted to the others{some}"


def fit_photos(
    paths: Sequence[Path],
    recipe: Recipe,
    *,
    advanced: Callable[[float], None] = ignored,
) -> Fit:
    """Fit a kernel to photographs, and score it on held-out ones.

    Each photograph is read twice, a few rows at a time, so memory depends neither on their number nor on their size. A
    second copy of a photograph, in any format, is skipped, because one copy would be held out while the other is
    fitted.

    Args:
        paths: the photographs.
        recipe: the settings.
        advanced: called with the work that was just done, where reading one photograph once is 1.

    Raises:
        UpsampleError: if no photograph is usable.
    """
    photos = read_photos(paths, recipe, advanced)
    parts, folds = photos.parts, photos.folds
    total = photos.total
    found = []
    for index in range(0, len(parts), max(1, math.ceil(len(parts) / _MOST_SCORED))):
        held_out = folds[photos.fold_of(index)]
        kernels = {name: kernel_named(name, recipe.factor) for name in PEERS}
        kernels["fitted"] = fitted_kernel(total - held_out, recipe, POWERS_OF_TWO)
        found.append(errors_of(parts[index], kernels, recipe.degradation, advanced))
    scores = mean_scores(found)
    kernel = fitted_kernel(total, recipe, POWERS_OF_TWO)
    return Fit(recipe, kernel, photos.images, total.count, photos.skipped, scores, len(found), len(folds))


def fitted_kernel(found: Equations, recipe: Recipe, denominators: Iterable[int]) -> Kernel:
    """Solve the equations, and round the kernel to the best grid of 8-bit numerators. Each phase sums to exactly 1.

    Args:
        found: the equations.
        recipe: the settings.
        denominators: denominators of the grids to try.
    """
    kernel = solved(found, noise=NOISE, symmetric=recipe.symmetric)
    whole, denominator = best_numerators(kernel, found, denominators, noise=NOISE, symmetric=recipe.symmetric)
    padding = recipe.support // 2 * recipe.factor
    return Kernel("fitted", recipe.factor, tuple(whole.reshape(-1).tolist()), denominator, padding)


def enlarged(low: Luma, kernel: AnyKernel) -> Luma:
    """Enlarge luma with the engine, like `upsample`: (height, width) -> (height * factor, width * factor)."""
    import numpy as np

    from upsample_cli.engine.bands import enlarged_bands
    from upsample_cli.engine.enlargement import Settings
    from upsample_cli.engine.exact import form_for_pixels

    exact, arithmetic = form_for_pixels(kernel, np.dtype(np.uint8))
    pixels = low[..., None]
    bands = enlarged_bands(
        lambda first, last: pixels[first:last],
        (*low.shape, 1),
        settings=Settings(exact, "replicate", "cpu"),
        arithmetic=arithmetic,
    )
    made: Luma = np.concatenate(list(bands))[..., 0]
    return made


def kernel_enlargers(kernels: Mapping[str, AnyKernel]) -> dict[str, Enlarger]:
    """Kernels as functions that enlarge luma."""
    return {name: functools.partial(enlarged, kernel=kernel) for name, kernel in kernels.items()}


def errors_of(
    part: Part, kernels: Mapping[str, AnyKernel], degradation: Degradation, advanced: Callable[[float], None] = ignored
) -> dict[str, Errors]:
    """The errors of kernels with the same factor on a part."""
    factor = next(iter(kernels.values())).factor
    return errors_by(part, factor, kernel_enlargers(kernels), degradation, advanced)


def errors_by(
    part: Part,
    factor: int,
    enlargers: Mapping[str, Enlarger],
    degradation: Degradation,
    advanced: Callable[[float], None] = ignored,
) -> dict[str, Errors]:
    """The errors of functions that enlarge luma `factor` times, on a part."""
    sums = dict.fromkeys(enlargers, Errors())
    for piece in pieces(part, factor=factor, degradation=degradation):
        for name, enlarge in enlargers.items():
            sums[name] += errors(enlarge(piece.low), piece)
        advanced(piece.own_rows / part.height)
    return sums


def mean_scores(found: Sequence[Mapping[str, Errors]]) -> dict[str, Score]:
    """The mean over parts, by kernel; empty without parts."""
    return {name: mean_score([errors[name] for errors in found]) for name in found[0]} if found else {}


def mean_score(found: list[Errors]) -> Score:
    """The mean over parts. All parts have the same weight."""
    return Score(
        math.fsum(part.psnr_db for part in found) / len(found), math.fsum(part.ssim for part in found) / len(found)
    )
