"""The weights that make an axis of samples another length, in blocks; whole numbers, so sums of pixels are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.geometry.tiles import Border
from upsample_cli.kernels.profiles import AxisKernel

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Filter = Callable[[Indices, Indices, int, int], Array]

WEIGHT_SUM = 2**14
"""What the weights of one output sum to: rounding them to whole numbers is then far below a level of 8 bits."""

_LOBES = 3
_BLOCK_SAMPLES = 16
"""Outputs made at once, at ratio 1. Larger blocks make fewer calls, smaller ones fewer products with zero. Measured."""

_PADDED: dict[Border, Literal["edge", "reflect", "constant"]] = {
    "replicate": "edge",
    "reflect": "reflect",
    "zeros": "constant",
}
"""numpy's names of the borders."""


def area_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """How much of each sample taken lies in each one made: the mean over what an output covers."""
    ends = np.minimum((taken + 1) * reduced, (made + 1) * length)
    shared: Array = np.maximum(ends - np.maximum(taken * reduced, made * length), 0).astype(np.float64)
    return shared


def lanczos_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """The sinc of the reduced axis under Lanczos' window of three lobes a side.

    Source: Turkowski 1990, Filters for common resampling tasks (Graphics Gems).
    """
    distance = ((2 * taken + 1) * reduced - (2 * made + 1) * length) / (2 * length)
    weights: Array = np.where(abs(distance) < _LOBES, np.sinc(distance) * np.sinc(distance / _LOBES), 0)
    return weights


_FILTERS: dict[str, Filter] = {"nearest": area_weights}


def filter_for(kernel_name: str) -> Filter:
    """The filter that goes with a kernel: pixels enlarged as squares are reduced as squares, the others by Lanczos."""
    return _FILTERS.get(kernel_name, lanczos_weights)


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis reduced in blocks of neighbouring samples, all of one shape.

    Args:
        reduced: samples made.
        firsts: the first sample that each block takes.
        weights: (blocks, samples made, samples taken), whole numbers. They sum to the same for each sample made,
            2**14 if nothing is enlarged before, and to 0 for those of the last block that lie past the end.
    """

    reduced: int
    firsts: Indices
    weights: torch.Tensor

    @property
    def span(self) -> int:
        """Samples that a block takes."""
        return self.weights.shape[2]

    @property
    def taken(self) -> torch.Tensor:
        """The samples that the blocks take, one block after another."""
        return torch.from_numpy((self.firsts[:, None] + np.arange(self.span)).ravel())


def reduced_axis(length: int, reduced: int, weigh: Filter) -> Axis:
    """An axis of `length` samples reduced edge to edge: output o covers o to o + 1 times `length / reduced`.

    Beyond the edges there is nothing: the weights of what there is are scaled to the same sum.

    >>> reduced_axis(4, 3, area_weights).weights[0, :3].tolist()
    [[12288.0, 4096.0, 0.0, 0.0], [0.0, 8192.0, 8192.0, 0.0], [0.0, 0.0, 4096.0, 12288.0]]
    """
    step = max(1, _BLOCK_SAMPLES * reduced // length)
    reach = -(-_LOBES * length // reduced)
    span = min(length, -(-step * length // reduced) + 2 * reach)
    starts = np.arange(0, reduced, step)
    firsts = np.clip(starts * length // reduced - reach, 0, length - span)
    made = starts[:, None, None] + np.arange(step)[:, None]
    taken = firsts[:, None, None] + np.arange(span)
    weights = _whole(weigh(np.minimum(made, reduced - 1), taken, length, reduced))
    return Axis(reduced, firsts, torch.from_numpy(weights * (made < reduced)))


def _whole(weights: Array) -> Array:
    """Scaled to `WEIGHT_SUM` and rounded half up; what rounding gains or loses goes to the largest weight."""
    rounded: Array = np.floor(weights / weights.sum(axis=2, keepdims=True) * WEIGHT_SUM + 0.5)
    largest = rounded.argmax(axis=2, keepdims=True)
    missing = WEIGHT_SUM - rounded.sum(axis=2, keepdims=True)
    np.put_along_axis(rounded, largest, np.take_along_axis(rounded, largest, 2) + missing, 2)
    return rounded


def behind_enlargement(axis: Axis, length: int, kernel: AxisKernel, border: Border) -> Axis:
    """The same outputs from the `length` samples that the axis' own were enlarged from: one matrix for both steps.

    Weights are products of whole numbers, as yet undivided by the kernel's denominator. Hence sums are those that the
    enlarged samples would lead to, without any of these being made.

    >>> from upsample_cli.kernels.profiles import axis_kernel
    >>> axis = behind_enlargement(reduced_axis(4, 3, area_weights), 2, axis_kernel("nearest", 2), "replicate")
    >>> axis.weights[0, :3].tolist()
    [[16384.0, 0.0], [8192.0, 8192.0], [0.0, 16384.0]]
    """
    factor, reach = kernel.factor, kernel.halo
    span = min(length, (axis.span - 1) // factor + 2 + 2 * reach)
    firsts = np.clip(axis.firsts // factor - reach, 0, length - span)
    taken = axis.firsts[:, None] + np.arange(axis.span)
    stands_in = np.pad(np.arange(1, length + 1), reach, _PADDED[border]) - 1  # of samples from -reach on; -1 is nothing
    before = axis.weights.numpy().swapaxes(1, 2)
    weights = np.zeros((len(firsts), span, before.shape[2]))
    for source in (taken // factor + offset for offset in range(-reach, reach + 1)):
        tap = taken + kernel.padding - source * factor
        inner = stands_in[source + reach]
        counts = (tap >= 0) & (tap < kernel.kernel_size) & (inner >= 0)
        block, sample = counts.nonzero()
        numerators = np.array(kernel.numerators, np.float64)[tap[counts]]
        np.add.at(weights, (block, (inner - firsts[:, None])[counts]), before[block, sample] * numerators[:, None])
    return Axis(axis.reduced, firsts, torch.from_numpy(weights.swapaxes(1, 2).copy()))
