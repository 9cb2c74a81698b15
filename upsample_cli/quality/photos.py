"""Read photographs to learn from, as normal equations in groups, so that any group can be held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.errors import ImageError, Setting, UpsampleError, UsageError, joined
from upsample_cli.quality.degrade import Degradation
from upsample_cli.quality.equations import Equations, equations, no_equations
from upsample_cli.quality.pieces import Part, halves, pieces, whole_part

SUPPORTS = (3, 5, 7)

MOST_FOLDS = 16
"""The most groups of photographs."""


def ignored(_share: float) -> None:
    """Ignore progress."""


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
            cause = f"a kernel with a support of {self.support} input pixels cannot be fitted"
            raise UsageError(cause, ("give ", Setting("support", "3, 5 or 7")))


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """Photographs, or the two halves of a single one.

    Args:
        parts: the photographs.
        folds: their equations in at most `MOST_FOLDS` groups; see `fold_of`.
        images: number of photographs.
        total: the sum over all photographs.
        skipped: why other photographs were skipped.
    """

    parts: list[Part]
    folds: list[Equations]
    images: int
    total: Equations
    skipped: tuple[ImageError, ...]

    def fold_of(self, index: int) -> int:
        """The number of the group that a part belongs to."""
        return index % len(self.folds)


def read_photos(paths: Sequence[Path], recipe: Recipe, advanced: Callable[[float], None] = ignored) -> Photos:
    """Read photographs once. A second copy of a photograph, in any format, is skipped.

    Args:
        paths: the photographs.
        recipe: the settings.
        advanced: called with the work that was just done, where reading one photograph once is 1.

    Raises:
        UpsampleError: if no photograph is usable.
    """
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
        if len(folds) < MOST_FOLDS:
            folds.append(found)
        else:
            folds[len(parts) % MOST_FOLDS] += found
        parts.append(part)
        seen[content] = path
    if not parts:
        raise _nothing_to_learn_from(skipped)
    images, total = len(parts), sum(folds, no_equations(recipe.factor, recipe.support))
    if images == 1:
        parts = halves(parts[0], recipe.support)
        folds = [equations_of(part, recipe) for part in parts]
    return Photos(parts, folds, images, total, tuple(skipped))


def _nothing_to_learn_from(skipped: Sequence[ImageError]) -> UpsampleError:
    first, others = skipped[0], len(skipped) - 1
    more = f", and {others} more cannot be used" if others else ""
    cause = joined(f"there is no image to learn from: {first.path}: ", first.cause, more)
    return UpsampleError(cause, first.next_step, kind=first.failure.kind)


def equations_of(part: Part, recipe: Recipe, advanced: Callable[[float], None] = ignored) -> Equations:
    """The equations of all neighbourhoods of a part."""
    found = no_equations(recipe.factor, recipe.support)
    for piece in pieces(part, factor=recipe.factor, degradation=recipe.degradation):
        near = piece.trimmed(recipe.support // 2)
        found += equations(near.high, near.low, recipe.factor, recipe.support)
        advanced(piece.own_rows / part.height)
    return found
