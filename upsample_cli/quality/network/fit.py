"""Train a network on photographs, and score it on photographs that are held out."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upsample_cli.errors import UpsampleError
from upsample_cli.kernels.kernel import kernel_named
from upsample_cli.quality.degrade import Degradation, Luma, degraded, scaled
from upsample_cli.quality.equations import Equations, no_equations, phases_of_kernel, solved
from upsample_cli.quality.fit import NOISE, PEERS, POWERS_OF_TWO, errors_by, fitted_kernel, kernel_enlargers
from upsample_cli.quality.network.model import LINEAR_REACH, Network, Shape
from upsample_cli.quality.network.samples import Pair
from upsample_cli.quality.network.train import SIDE, Schedule, Training
from upsample_cli.quality.photos import Photos, Recipe, ignored
from upsample_cli.quality.pieces import Part, pieces
from upsample_cli.quality.score import Errors

_SCALES = (1, 0.9, 0.81, 0.72, 0.64, 0.57, 0.5)
"""Scales of each photograph in training. Smaller versions have more detail per pixel."""

_SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Where the grid of a reduction begins, in halves of its pixels."""

_MOST_PIXELS = 2**29
"""The most luma pixels in memory. Of more, a random part is used."""

_HELD_EVERY = 5
"""One of this many groups of photographs is held out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a training.

    Args:
        shape: the size of the network.
        degradations: how small images are made; each photograph is reduced in each way. The first one is scored.
        schedule: how long to train.
        noise: standard deviation of the noise that some patches get, in levels.
        seed: seed of all random choices.
    """

    shape: Shape
    degradations: tuple[Degradation, ...]
    schedule: Schedule
    noise: float = 0.0
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """The settings of the linear kernel."""
        return Recipe(self.shape.factor, 2 * LINEAR_REACH + 1, self.degradations[0])


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Photographs to train on, with their equations, and photographs to score."""

    trained: list[Part]
    equations: Equations
    held_out: list[Part]


def split_photos(photos: Photos) -> Split:
    """Hold out one of five groups of photographs, the second one first. Nothing is held out if there is one part."""
    held = {fold for fold in range(len(photos.folds)) if fold % _HELD_EVERY == 1}
    none = no_equations(photos.total.factor, photos.total.support)
    found = sum((fold for at, fold in enumerate(photos.folds) if at not in held), none)
    groups: tuple[list[Part], list[Part]] = ([], [])
    for index, part in enumerate(photos.parts):
        groups[photos.fold_of(index) in held].append(part)
    return Split(groups[0], found, groups[1])


def training_of(split: Split, plan: Plan, advanced: Callable[[float], None] = ignored) -> Training:
    """Prepare the training of a network that begins as the linear kernel fitted to the same photographs.

    Args:
        split: the photographs.
        plan: the settings.
        advanced: called with the work that was just done, where reading one photograph once is 1.

    Raises:
        UpsampleError: if no photograph is large enough for a patch.
    """
    torch.manual_seed(plan.seed)
    network = Network(plan.shape, _linear(split.equations))
    pairs = list(_pairs(split.trained, plan, network, advanced))
    if not pairs:
        least = (SIDE + 2 * plan.shape.reach) * plan.shape.factor
        raise UpsampleError(
            "no image is large enough to train on", f"give images of {least}x{2 * least} or more", kind="geometry"
        )
    return Training(network, pairs, plan.schedule, noise=plan.noise, seed=plan.seed)


def _linear(found: Equations) -> Tensor:
    """The linear kernel with the least squared error, by phases."""
    phases = phases_of_kernel(solved(found, noise=NOISE), found.factor, found.support)
    return torch.from_numpy(phases.T.reshape(-1, 1, found.support, found.support).astype(np.float32))


def _pairs(parts: Sequence[Part], plan: Plan, network: Network, advanced: Callable[[float], None]) -> Iterator[Pair]:
    factor, chosen = plan.shape.factor, random.Random(plan.seed)
    copies = len(plan.degradations) * len(_SHIFTS) * sum(scale**2 for scale in _SCALES)
    pixels = copies * factor**2 * sum(part.pixels for part in parts)
    for part in parts:
        for piece in pieces(part, factor=factor, degradation=plan.degradations[0]):
            advanced(piece.own_rows / part.height)
            if chosen.random() * pixels >= _MOST_PIXELS:
                continue
            for high in _versions(piece.high, plan.shape):
                for degradation in plan.degradations:
                    low = degraded(high, factor, degradation)
                    error = float(np.mean((enlarged(low, network) - high.astype(np.float32)) ** 2))
                    # Scores are means of decibels, so a photograph with small errors counts as much as another.
                    yield Pair(low, high, (error + 1) ** -0.5)


def _versions(high: Luma, shape: Shape) -> Iterator[Luma]:
    """The photograph at several scales, each cut off at several places, so that its reductions differ."""
    factor, least = shape.factor, SIDE + 2 * shape.reach
    for scale in _SCALES:
        height, width = (int(size * scale) // factor for size in high.shape)
        if min(width, height) < least:
            return
        size = (height * factor, width * factor)
        large = high if size == high.shape else scaled(high, *size)
        for down, right in _SHIFTS:
            if min(width - right, height - down) >= least:
                top, left = down * factor // 2, right * factor // 2
                rows, columns = (height - down) * factor, (width - right) * factor
                yield np.ascontiguousarray(large[top : top + rows, left : left + columns])


@torch.no_grad()
def enlarged(low: Luma, network: Network) -> Luma:
    """Enlarge luma, (height, width), with the edge pixels repeated outside the image."""
    padded = np.pad(low, network.shape.reach, mode="edge").astype(np.float32)
    made = network(torch.from_numpy(padded)[None, None])[0, 0]
    found: Luma = (made + 0.5).floor().clamp(0, 255).to(torch.uint8).numpy()
    return found


def scores_of(network: Network, split: Split, plan: Plan) -> list[dict[str, Errors]]:
    """For each held-out photograph, the errors of the classical kernels, of a fitted kernel, and of the network.

    Args:
        network: the network, with or without a grid.
        split: the photographs. The kernel is fitted to those of the training.
        plan: the settings.
    """
    recipe = plan.recipe
    kernels = {name: kernel_named(name, recipe.factor) for name in PEERS}
    kernels["fitted"] = fitted_kernel(split.equations, recipe, POWERS_OF_TWO)
    enlargers = kernel_enlargers(kernels) | {"net": functools.partial(enlarged, network=network)}
    return [errors_by(part, recipe.factor, enlargers, recipe.degradation) for part in split.held_out]
