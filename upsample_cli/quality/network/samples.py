"""Patches of photographs and of their reductions, drawn at random for training.

A reduction is linear, so a mixture of two photographs and a negative have reductions that are known, too; nearly, if it
ends in JPEG. They keep a network from learning single photographs by heart. Sources: Zhang, Cisse, Dauphin & Lopez-Paz
2018, mixup; for enlarging images: Yoo, Ahn & Sohn 2020, Rethinking Data Augmentation for Image Super-resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upsample_cli.quality.degrade import Luma
from upsample_cli.quality.network.model import Shape

_LEAST_CONTRAST = 0.5
_CONTRAST_SHARE = 0.3
_NOISE_SHARE = 0.3
_MIXED_SHARE = 0.5
_LEAST_MIXTURE = 0.2
_NEGATIVE_SHARE = 0.5


_Patch: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], float]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A reduced photograph with its original, both luma.

    Args:
        low: (height, width).
        high: (height * factor, width * factor).
        weight: how much its squared errors count.
    """

    low: Luma
    high: Luma
    weight: float = 1.0


class Patches:
    """Draws batches of square patches from pairs.

    Args:
        pairs: the photographs; each is large enough for one patch.
        shape: the network's size.
        side: side of a patch in input pixels, without the margin that the network reads.
        count: patches in a batch.
        noise: standard deviation of the noise that some patches get, in levels.
        random: the generator.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        shape: Shape,
        *,
        side: int,
        count: int,
        noise: float,
        random: np.random.Generator,
    ) -> None:
        self._pairs = [pair for pair in pairs if min(pair.low.shape) >= side + 2 * shape.reach]
        self._shape, self._side, self._count, self._noise, self._random = shape, side, count, noise, random
        sizes = np.sqrt([float(pair.low.size) for pair in self._pairs])
        self._chances = sizes / sizes.sum()

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """The next batch: input (count, 1, side + 2 * reach, same), output (count, 1, side * factor, same), weights."""
        drawn = [self._mixed() for _ in range(self._count)]
        lows, highs, weights = zip(*drawn, strict=True)
        return _stacked(lows), _stacked(highs), torch.tensor(weights)

    def _mixed(self) -> _Patch:
        """A patch, or a mixture of two, or the negative of one."""
        random = self._random
        low, high, weight = self._patch()
        if random.random() < _MIXED_SHARE:
            other_low, other_high, other_weight = self._patch()
            share = np.float32(random.uniform(_LEAST_MIXTURE, 1 - _LEAST_MIXTURE))
            low, high = low + (other_low - low) * share, high + (other_high - high) * share
            low = np.rint(low)
            weight = (weight * other_weight) ** 0.5
        if random.random() < _NEGATIVE_SHARE:
            low, high = 255 - low, 255 - high
        return low, high, weight

    def _patch(self) -> _Patch:
        random, side, reach, factor = self._random, self._side, self._shape.reach, self._shape.factor
        pair = self._pairs[random.choice(len(self._pairs), p=self._chances)]
        top, left = (int(random.integers(size - side - 2 * reach + 1)) for size in pair.low.shape)
        low = pair.low[top : top + side + 2 * reach, left : left + side + 2 * reach].astype(np.float32)
        rows, columns = ((at + reach) * factor for at in (top, left))
        high = pair.high[rows : rows + side * factor, columns : columns + side * factor].astype(np.float32)
        turns, mirrored = int(random.integers(4)), bool(random.integers(2))
        low, high = (np.rot90(image[::-1] if mirrored else image, turns) for image in (low, high))
        if random.random() < _CONTRAST_SHARE:
            contrast = np.float32(random.uniform(_LEAST_CONTRAST, 1))
            low, high = np.round(low * contrast), high * contrast
        if self._noise and random.random() < _NOISE_SHARE:
            noise = random.normal(0, random.uniform(0, self._noise), low.shape)
            low = np.clip(np.round(low + noise), 0, 255).astype(np.float32)
        return low, high, pair.weight


def _stacked(images: Sequence[NDArray[np.float32]]) -> Tensor:
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(images)))[:, None]
    return stacked.to(memory_format=torch.channels_last)  # a third faster than planes of channels
