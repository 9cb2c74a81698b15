"""The weights for reducing an axis of samples in blocks. They are whole numbers, so sums of pixels are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from upsample_cli.engine.borders import sources
from upsample_cli.geometry.borders import Border
from upsample_cli.kernels.profiles import AxisKernel

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Filter = Callable[[Indices, Indices, int, int], Array]

WEIGHT_SUM = 2**14
"""The sum of the weights of one output. Rounding weights to whole numbers changes far less than one 8-bit level."""

_LOBES = 3
_BLOCK_SAMPLES = 16
"""Outputs of a block at ratio 1 (measured). Larger blocks need fewer calls, smaller ones fewer products with zero."""


def area_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """The overlap of each input sample with each output sample: an output is the mean of the inputs that it covers."""
    ends = np.minimum((taken + 1) * reduced, (made + 1) * length)
    shared: Array = np.maximum(ends - np.maximum(taken * reduced, made * length), 0).astype(np.float64)
    return shared


def lanczos_weights(made: Indices, taken: Indices, length: int, reduced: int) -> Array:
    """A sinc at the scale of the reduced axis, times a Lanczos window with three lobes on each side.

    Source: Turkowski 1990, Filters for common resampling tasks (Graphics Gems).
    """
    distance = ((2 * taken + 1) * reduced - (2 * made + 1) * length) / (2 * length)
    weights: Array = np.where(abs(distance) < _LOBES, np.sinc(distance) * np.sinc(distance / _LOBES), 0)
    return weights


_FILTERS: dict[str, Filter] = {"nearest": area_weights}


def filter_for(kernel_name: str) -> Filter:
    """The filter for a kernel: area after nearest, which enlarges pixels as squares; Lanczos after all others."""
    return _FILTERS.get(kernel_name, lanczos_weights)


class Axis(NamedTuple):
    """An axis that is reduced in blocks of neighbouring samples. All blocks have the same shape.

    Args:
        reduced: number of output samples.
        firsts: (blocks,), the first input sample of each block.
        weights: (blocks, outputs, inputs), whole numbers. Their sum is the same for every output: 2**14 without a
            preceding enlargement. It is 0 for outputs of the last block that are beyond the end.
    """

    reduced: int
    firsts: Indices
    weights: Array

    @property
    def span(self) -> int:
        """Number of input samples of a block."""
        return int(self.weights.shape[2])

    @property
    def taken(self) -> Indices:
        """The input samples of all blocks, one block after another."""
        return (self.firsts[:, None] + np.arange(self.span)).ravel()


def reduced_axis(length: int, reduced: int, weigh: Filter, *, margin: int = 0) -> Axis:
    """Reduce an axis of `length` samples edge to edge: output o covers o to o + 1 times `length / reduced`.

    Samples outside the axis and its margins are not used; the weights of those inside are scaled to the same sum.

    Args:
        margin: number of samples at each end in addition to `length`.

    >>> reduced_axis(4, 3, area_weights).weights[0, :3].tolist()
    [[12288.0, 4096.0, 0.0, 0.0], [0.0, 8192.0, 8192.0, 0.0], [0.0, 0.0, 4096.0, 12288.0]]
    """
    step = max(1, _BLOCK_SAMPLES * reduced // length)
    reach = reach_of(length, reduced)
    span = min(length + 2 * margin, -(-step * length // reduced) + 2 * reach)
    starts = np.arange(0, reduced, step)
    firsts = np.clip(starts * length // reduced - reach, -margin, length + margin - span)
    made = starts[:, None, None] + np.arange(step)[:, None]
    taken = firsts[:, None, None] + np.arange(span)
    weights = _whole(weigh(np.minimum(made, reduced - 1), taken, length, reduced))
    return Axis(reduced, firsts + margin, weights * (made < reduced))


def reach_of(length: int, reduced: int) -> int:
    """The number of samples on each side of an output's own on which it depends at most."""
    return -(-_LOBES * length // reduced)


def _whole(weights: Array) -> Array:
    """Scale weights to the sum `WEIGHT_SUM`, rounded half up. The largest weight absorbs the rounding error."""
    rounded: Array = np.floor(weights / weights.sum(axis=2, keepdims=True) * WEIGHT_SUM + 0.5)
    largest = rounded.argmax(axis=2, keepdims=True)
    missing = WEIGHT_SUM - rounded.sum(axis=2, keepdims=True)
    np.put_along_axis(rounded, largest, np.take_along_axis(rounded, largest, 2) + missing, 2)
    return rounded


def behind_enlargement(axis: Axis, length: int, kernel: AxisKernel, border: Border) -> Axis:
    """Combine an enlargement and a reduction into one matrix, applied to the `length` samples before enlargement.

    Weights are products of whole numbers, not yet divided by the kernel's denominator. So the sums are the same as
    those of the enlarged samples, which are never computed.

    >>> from upsample_cli.kernels.profiles import axis_kernel
    >>> axis = behind_enlargement(reduced_axis(4, 3, area_weights), 2, axis_kernel("nearest", 2), "replicate")
    >>> axis.weights[0, :3].tolist()
    [[16384.0, 0.0], [8192.0, 8192.0], [0.0, 16384.0]]
    """
    factor, reach = kernel.factor, kernel.halo
    span = min(length, (axis.span - 1) // factor + 2 + 2 * reach)
    firsts = np.clip(axis.firsts // factor - reach, 0, length - span)
    taken = axis.firsts[:, None] + np.arange(axis.span)
    stands_in = sources(-reach, length + reach, length, border)
    before = axis.weights.swapaxes(1, 2)
    weights = np.zeros((len(firsts), span, before.shape[2]))
    for source in (taken // factor + offset for offset in range(-reach, reach + 1)):
        tap = taken + kernel.padding - source * factor
        inner = stands_in[source + reach]
        counts = (tap >= 0) & (tap < kernel.kernel_size) & (inner >= 0)
        block, sample = counts.nonzero()
        numerators = np.array(kernel.numerators, np.float64)[tap[counts]]
        np.add.at(weights, (block, (inner - firsts[:, None])[counts]), before[block, sample] * numerators[:, None])
    return Axis(axis.reduced, firsts, np.ascontiguousarray(weights.swapaxes(1, 2)))
