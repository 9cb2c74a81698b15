"""The images for the benchmarks: scaled photographs from scikit-image, noise, and flat colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def photograph(height: int, width: int) -> Pixels:
    """A grid of photographs, scaled as little as possible, with real edges, textures and noise."""
    from skimage import data

    sheet = np.zeros((height, width, 3), np.uint8)
    sources = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]
    cell_height, cell_width = -(-height // 4), -(-width // 4)
    for index in range(16):
        cell = Image.fromarray(sources[(index + index // 4) % 4]).resize(
            (cell_width, cell_height), Image.Resampling.LANCZOS
        )
        top, left = index // 4 * cell_height, index % 4 * cell_width
        part = sheet[top : top + cell_height, left : left + cell_width]
        part[:] = np.asarray(cell)[: part.shape[0], : part.shape[1]]
    grain = np.random.default_rng(0).normal(0, 1.5, (height, width, 1))
    return (sheet + grain).clip(0, 255).astype(np.uint8)


def noise(height: int, width: int) -> Pixels:
    """Uniformly distributed random bytes."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def flat(height: int, width: int) -> Pixels:
    """A single colour."""
    return np.full((height, width, 3), (30, 90, 200), np.uint8)


KINDS = {"photograph": photograph, "noise": noise, "flat": flat}
