"""A transposed convolution with its weights, as whole numbers for whole samples. numpy, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, lcm, log2

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.kernels.profiles import bilinear_taps

_LARGEST_SUM_BITS = 51  # two bits less than in float64, as a margin for the rounding of numerators
_MOST_DENOMINATOR_BITS = 60


@dataclass(frozen=True, slots=True)
class Filled:
    """A transposed convolution with its weights. `linear_filled` and `weighted` make it.

    Args:
        axes: the layer along each axis.
        numerators: (in_channels, out_channels / groups, *kernel_size) float64: the weight times `denominator`.
        denominator: 1 for floating-point samples.
        bias: (out_channels,) float64 numerators, or None.
        groups: groups of the weight. A weight with one input and one output channel is applied to each channel.
    """

    axes: tuple[LayerAxis, ...]
    numerators: NDArray[np.float64]
    denominator: int = 1
    bias: NDArray[np.float64] | None = None
    groups: int = 1

    @property
    def is_shared(self) -> bool:
        """Whether one kernel is applied to every channel."""
        return self.numerators.shape[:2] == (1, 1)

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(channels, *sizes) after the layer, given (channels, *sizes) before it.

        Raises:
            UsageError: if the weight has a different number of channels.
        """
        into, out = len(self.numerators), self.numerators.shape[1] * self.groups
        if not self.is_shared and shape[0] != into:
            raise UsageError(
                f"the weight takes {into} channels, the input has {shape[0]}", "give an input that has them"
            )
        sizes = (axis.output_size(size) for axis, size in zip(self.axes, shape[1:], strict=True))
        return (shape[0] if self.is_shared else out, *sizes)


def linear_filled(axes: Sequence[LayerAxis]) -> Filled:
    """The layer with the exact linear (bilinear, trilinear) kernel for its kernel_size.

    >>> linear_filled([LayerAxis(4, stride=2, padding=1, transposed=True)]).numerators.tolist()
    [[[1.0, 3.0, 3.0, 1.0]]]
    """
    numerators, denominator = np.ones(()), 1
    for axis in axes:
        taps = bilinear_taps(axis.kernel_size)
        common = lcm(*(tap.denominator for tap in taps))
        numerators = np.multiply.outer(numerators, np.array([float(int(tap * common)) for tap in taps]))
        denominator *= common
    return Filled(tuple(axes), numerators[None, None], denominator)


def weighted(
    axes: Sequence[LayerAxis],
    weight: NDArray[np.float64],
    *,
    bias: NDArray[np.float64] | None = None,
    groups: int = 1,
    peak: int | None = None,
) -> Filled:
    """The layer with given weights.

    Args:
        axes: the layer along each axis.
        weight: (in_channels, out_channels / groups, *kernel_size).
        bias: (out_channels,), or None.
        groups: groups of the weight.
        peak: the largest magnitude of whole-number samples; None for floating-point samples. Weights are rounded to the
            finest power of 2 with which the sums are exact, 2**-51 of the largest possible output. This differs from
            `Kernel.within`, which is for two axes without a bias and preserves the sums of phases.

    Raises:
        UsageError: if the outputs would be too large for whole numbers.
    """
    if groups < 1 or len(weight) % groups or (bias is not None and len(bias) != weight.shape[1] * groups):
        raise UsageError(
            f"groups {groups} do not fit a weight of shape {weight.shape}", "use a divisor of its channels"
        )
    if peak is None:
        return Filled(tuple(axes), weight, 1, bias, groups)
    magnitudes = np.abs(weight).reshape(groups, len(weight) // groups, weight.shape[1], -1).sum(axis=(1, 3))
    largest = float(magnitudes.max()) * peak + (0.0 if bias is None else float(np.abs(bias).max()))
    bits = _MOST_DENOMINATOR_BITS
    if largest > 0:
        bits = min(bits, floor(_LARGEST_SUM_BITS - log2(largest)))
    if bits < 0:
        raise UsageError("these weights make numbers too large for whole samples", "give a floating-point .npy")
    scale = 2.0**bits
    return Filled(
        tuple(axes), np.rint(weight * scale), 2**bits, None if bias is None else np.rint(bias * scale), groups
    )
