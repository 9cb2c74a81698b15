"""Fit one kernel to any number of photographs, and score it on photographs that it was not fitted to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.errors import ImageError, Setting, UpsampleError, UsageError, joined
from upsample_cli.kernels.kernel import Kernel, kernel_named
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.quality.degrade import Degradation, Luma
from upsample_cli.quality.equations import Equations, equations, no_equations, solved
from upsample_cli.quality.pieces import Part, halves, pieces, whole_part
from upsample_cli.quality.quantize import best_numerators
from upsample_cli.quality.score import Errors, errors

SUPPORTS = (3, 5, 7)
PEERS = ("bilinear", "bicubic", "lanczos3")
"""The kernels that a fitted one is compared with."""

NOISE = 0.1
"""The ridge of `equations.solved`. From a tenth of it to ten times as much, leave-one-out scores of photographs change
by at most 0.01 dB; a larger one blurs clean images."""

_MOST_FOLDS = 16
_MOST_SCORED = 64
_POWERS_OF_TWO = tuple(2**bits for bits in range(8))
"""Denominators by which every whole number of float32 can be divided without rounding."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a fit.

    Args:
        factor: factor of the enlargement, 2 to 16.
        support: input pixels that an output pixel depends on along each axis: 3, 5 or 7.
        degradation: how small images are made.
        symmetric: the kernel does not change when it is turned by 90 degrees or mirrored.

    Raises:
        UsageError: if the factor or the support is not one of these.
    """

    factor: int
    support: int
    degradation: Degradation
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.factor <= 16:
            cause = f"a kernel for factor {self.factor} cannot be fitted"
            raise UsageError(cause, ("give ", Setting("factor", "2 to 16")))
        if self.support not in SUPPORTS:
            raise UsageError(f"a support of {self.support} input pixels", ("give ", Setting("support", "3, 5 or 7")))


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


def _ignored(_share: float) -> None:
    """Ignore progress."""


def fit_photos(
    paths: Sequence[Path],
    recipe: Recipe,
    *,
    advanced: Callable[[float], None] = _ignored,
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
    parts, folds, skipped = _read_all(paths, recipe, advanced)
    if not parts:
        first, others = skipped[0], len(skipped) - 1
        more = f", and {others} more cannot be used" if others else ""
        cause = joined(f"there is no image to learn from: {first.path}: ", first.cause, more)
        raise UpsampleError(cause, first.next_step, kind=first.failure.kind)
    images = len(parts)
    total = sum(folds, no_equations(recipe.factor, recipe.support))
    if images == 1:
        parts = halves(parts[0], recipe.support)
        folds = [equations_of(part, recipe) for part in parts]
    found = []
    for index in range(0, len(parts), max(1, math.ceil(len(parts) / _MOST_SCORED))):
        held_out = folds[index % _MOST_FOLDS]
        kernels = {name: kernel_named(name, recipe.factor) for name in PEERS}
        kernels["fitted"] = fitted_kernel(total - held_out, recipe, _POWERS_OF_TWO)
        found.append(errors_of(parts[index], kernels, recipe.degradation, advanced))
    scores = {name: mean_score([errors[name] for errors in found]) for name in found[0]} if found else {}
    kernel = fitted_kernel(total, recipe, _POWERS_OF_TWO)
    return Fit(recipe, kernel, images, total.count, tuple(skipped), scores, len(found), min(len(parts), _MOST_FOLDS))


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

    from upsample_cli.engine.bands import Settings, enlarged_bands
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


def _read_all(
    paths: Sequence[Path], recipe: Recipe, advanced: Callable[[float], None]
) -> tuple[list[Part], list[Equations], list[ImageError]]:
    """The usable photographs, their equations in at most `_MOST_FOLDS` groups, and the errors of the others."""
    parts: list[Part] = []
    folds: list[Equations] = []
    skipped: list[ImageError] = []
    seen: dict[bytes, Path] = {}
    for path in paths:
        try:
            part = whole_part(path, factor=recipe.factor, support=recipe.support)
            found = equations_of(part, recipe, advanced)
            content = hashlib.sha256(found.gram.tobytes() + found.cross.tobytes()).digest()
            if content in seen:  # when held out, it would be scored by a kernel fitted to its copy
                raise ImageError(path, f"is the same image as {seen[content]}", kind="usage")
        except ImageError as error:
            skipped.append(error)
            continue
        fold = len(parts) % _MOST_FOLDS
        folds[fold:] = [folds[fold] + found, *folds[fold + 1 :]] if fold < len(folds) else [found]
        parts.append(part)
        seen[content] = path
    return parts, folds, skipped


def equations_of(part: Part, recipe: Recipe, advanced: Callable[[float], None] = _ignored) -> Equations:
    """The equations of all neighbourhoods of a part."""
    found = no_equations(recipe.factor, recipe.support)
    for piece in pieces(part, factor=recipe.factor, degradation=recipe.degradation):
        near = piece.trimmed(recipe.support // 2)
        found += equations(near.high, near.low, recipe.factor, recipe.support)
        advanced((len(piece.low) - piece.above - piece.below) / part.height)
    return found


def errors_of(
    part: Part, kernels: Mapping[str, Kernel], degradation: Degradation, advanced: Callable[[float], None] = _ignored
) -> dict[str, Errors]:
    """The errors of kernels with the same factor on a part."""
    factor = next(iter(kernels.values())).factor
    sums = dict.fromkeys(kernels, Errors())
    for piece in pieces(part, factor=factor, degradation=degradation):
        for name, kernel in kernels.items():
            sums[name] += errors(enlarged(piece.low, kernel), piece)
        advanced((len(piece.low) - piece.above - piece.below) / part.height)
    return sums


def mean_score(found: list[Errors]) -> Score:
    """The mean over parts. All parts have the same weight."""
    return Score(
        math.fsum(part.psnr_db for part in found) / len(found), math.fsum(part.ssim for part in found) / len(found)
    )
