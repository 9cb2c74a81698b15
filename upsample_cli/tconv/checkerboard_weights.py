"""The output of given weights for a flat input, for each phase, and two ways to correct them. numpy, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import GeometryError, Setting, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.checkerboard import FLAT_LEVEL, map_input

Array = NDArray[np.float64]
Cure = Literal["icnr", "sums"]
CURES: tuple[Cure, ...] = ("icnr", "sums")
_MOST_CANVAS, _MOST_PHASES, _MOST_GAINS = 2**25, 2**16, 2**26
_ROUNDING = 2.0**-20
"""The largest spread of gains, relative to the largest gain, that rounding to float32 (2**-24 per weight) can cause."""


@dataclass(frozen=True, slots=True)
class Gains:
    """The output of weights for a flat input of 1.

    Args:
        per_channel: (out_channels, *stride), the gain of each output channel at each phase, if all input channels are
            1. The first phase is that of the first output sample.
        worst_pair: the largest spread over phases that a single input channel causes in an output channel.
    """

    per_channel: Array
    worst_pair: float

    @property
    def spreads(self) -> Array:
        """(out_channels,), the largest gain minus the smallest."""
        flat = self.per_channel.reshape(len(self.per_channel), -1)
        spreads: Array = flat.max(axis=1) - flat.min(axis=1)
        return spreads

    @property
    def worst_channel(self) -> int:
        """The output channel with the largest spread."""
        return int(self.spreads.argmax())

    @property
    def amplitude_levels(self) -> float:
        """The largest spread for a flat input of `FLAT_LEVEL` in every channel."""
        return FLAT_LEVEL * float(self.spreads.max())

    @property
    def is_even(self) -> bool:
        """Whether a flat input stays flat in every output channel, up to the rounding of float32."""
        return float(self.spreads.max()) <= _ROUNDING * float(np.abs(self.per_channel).max())


def gains(weight: Array, axes: Sequence[LayerAxis], *, groups: int = 1) -> Gains:
    """The gain of each output channel at each phase.

    Args:
        weight: (in_channels, out_channels / groups, *kernel_size).
        axes: the layer along each axis.
        groups: groups of the layer.

    Raises:
        GeometryError: if groups do not divide the channels.
        UsageError: if there are too many phases.

    >>> [axis] = [LayerAxis(4, stride=2, padding=1, transposed=True)]
    >>> gains(np.array([[[0.25, 0.75, 0.75, 0.5]]]), [axis]).per_channel.tolist()
    [[1.25, 1.0]]
    """
    if groups < 1 or len(weight) % groups:
        raise GeometryError(f"{len(weight)} in_channels are not divisible by groups {groups}", "use a divisor of both")
    phases = prod(axis.stride for axis in axes)
    if phases > _MOST_PHASES or prod(weight.shape[:2]) * phases > _MOST_GAINS:
        raise UsageError(
            f"{phases} phases of {weight.shape[0]}x{weight.shape[1]} channels are too many to measure",
            "use a smaller stride",
        )
    pairs = np.zeros((*weight.shape[:2], *(axis.stride for axis in axes)))
    for phase, taps in _phases(axes):
        place: tuple[Any, ...] = (..., *phase)
        pairs[place] = weight[(..., *taps)].sum(axis=tuple(range(2, weight.ndim)))
    summed = pairs.reshape(groups, len(weight) // groups, *pairs.shape[1:]).sum(axis=1)
    flat = pairs.reshape(*pairs.shape[:2], -1)
    worst = float((flat.max(axis=2) - flat.min(axis=2)).max())
    return Gains(summed.reshape(-1, *pairs.shape[2:]), worst)


def _phases(axes: Sequence[LayerAxis]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """The phases of the output, and the indices of the taps that contribute to them."""
    taps = [axis.taps for axis in axes]
    for phase in product(*(range(axis.stride) for axis in axes)):
        yield phase, np.ix_(*(along[number] for along, number in zip(taps, phase, strict=True)))


def cured(weight: Array, axes: Sequence[LayerAxis], cure: Cure) -> Array:
    """The nearest weights, in least squares, with which a flat input stays flat.

    - "icnr": every phase gets the mean of all sub-kernels. Then the layer is a nearest-neighbour enlargement followed
      by a convolution. Source: Aitken et al. 2017, Checkerboard artifact free sub-pixel convolution.
    - "sums": every phase keeps its own sub-kernel plus a constant, so that all phases have the same sum. This changes
      the weights least.

    Raises:
        UsageError: if stride does not divide kernel_size (icnr), or a phase has no tap (sums).

    >>> cured(np.array([[[0.25, 0.75, 0.75, 0.5]]]), [LayerAxis(4, stride=2, transposed=True)], "icnr").tolist()
    [[[0.5, 0.5, 0.625, 0.625]]]
    >>> cured(np.array([[[0.25, 0.75, 0.75, 0.5]]]), [LayerAxis(4, stride=2, transposed=True)], "sums").tolist()
    [[[0.3125, 0.6875, 0.8125, 0.4375]]]
    """
    result = weight.copy()
    indices = [taps for _, taps in _phases(axes)]
    if any(0 in axis.taps_per_phase for axis in axes):
        raise UsageError("some phases have no tap", "other weights do not help: use a larger kernel_size")
    if cure == "icnr":
        if not all(axis.is_even for axis in axes):
            raise UsageError(
                "icnr needs as many taps at every phase",
                ("use ", Setting("cure", "sums"), ", or a kernel_size stride divides"),
            )
        mean = np.mean([weight[(..., *taps)] for taps in indices], axis=0)
        for taps in indices:
            result[(..., *taps)] = mean
        return result
    over = tuple(range(2, weight.ndim))
    sums = [weight[(..., *taps)].sum(axis=over, keepdims=True) for taps in indices]
    counts = [prod(indices_along.size for indices_along in taps) for taps in indices]
    # Changing a phase's sum by e costs e**2 / count, so the best common sum is the mean weighted by 1 / count.
    shares = np.array([1 / count for count in counts])
    target = np.tensordot(shares / shares.sum(), np.stack(sums), axes=1)
    for taps, total, count in zip(indices, sums, counts, strict=True):
        result[(..., *taps)] = weight[(..., *taps)] + (target - total) / count
    return result


def flat_response(weight: Array, axes: Sequence[LayerAxis], channel: int, *, groups: int = 1) -> Array:
    """One output channel for a small flat input of 1, borders included: (rows, columns), one row for one axis.

    For three axes, it is the middle slice along the first.

    Args:
        weight, axes, groups: see `gains`.
        channel: the output channel.
    """
    per_group = weight.shape[1]
    members = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])[channel // per_group]
    summed: Array = members.sum(axis=0)[channel % per_group]
    count = map_input(axes)
    lengths = [axis.output_size(count) for axis in axes]
    ends = [
        max((count - 1) * axis.stride + axis.span, axis.padding + length)
        for axis, length in zip(axes, lengths, strict=True)
    ]
    if prod(ends) > _MOST_CANVAS:
        raise UsageError(f"a map of {prod(ends)} samples is too large", "use smaller settings")
    for number, (axis, length, end) in enumerate(zip(axes, lengths, ends, strict=True)):
        taps = np.moveaxis(summed, number, 0)
        along = np.zeros((end, *taps.shape[1:]))
        for start in range(0, count * axis.stride, axis.stride):
            along[start : start + axis.span : axis.dilation] += taps
        summed = np.moveaxis(along[axis.padding : axis.padding + length], 0, number)
    if summed.ndim == 1:
        return summed[None]
    return summed if summed.ndim == 2 else summed[len(summed) // 2]
