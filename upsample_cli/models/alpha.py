"""Transparency with a network: the colours that the network gets, and alpha from the bilinear layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.bands import enlarge
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form

FILL_REACH = 8
"""Fully transparent pixels take their colour from visible ones at most this many pixels away."""


def visible_colour(rows: NDArray[Any]) -> NDArray[Any]:
    """The colours of rows with straight alpha. A fully transparent pixel takes the mean of its visible neighbours.

    Each neighbour counts as much as it is visible. Without one within `FILL_REACH` the pixel keeps its own colour.
    """
    alpha = rows[..., -1:].astype(np.int64)
    hidden = alpha[..., 0] == 0
    if not hidden.any():
        return rows[..., :-1]
    weight = _box_sum(alpha)
    mean = (_box_sum(rows[..., :-1] * alpha) + weight // 2) // np.maximum(weight, 1)
    filled = rows[..., :-1].copy()
    chosen = hidden & (weight[..., 0] > 0)
    filled[chosen] = mean[chosen].astype(rows.dtype)
    return filled


def _box_sum(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum over the pixels at most `FILL_REACH` rows and columns away from each pixel."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
        after = np.minimum(np.arange(length) + FILL_REACH + 1, length)
        before = np.maximum(np.arange(length) - FILL_REACH, 0)
        values = sums.take(after, axis) - sums.take(before, axis)
    return values


def enlarged_alpha(rows: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Alpha, (height, width, 1), enlarged by the bilinear layer: exact."""
    kernel, arithmetic = exact_form(settings.kernel, rows.dtype, has_alpha=False)
    height, width, channels = rows.shape
    made = np.empty((height * kernel.factor, width * kernel.factor, channels), arithmetic.out_dtype)
    on_cpu = settings._replace(kernel=kernel, device="cpu", border="replicate", tile_size=None)
    enlarge(np.ascontiguousarray(rows), made, settings=on_cpu, arithmetic=arithmetic)
    return made
