"""Make a kernel of the weights of a transposed convolution, in whole numbers. No numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.profiles import checked_factor
from upsample_cli.kernels.rounding import rounded_phases

_WEIGHT_BITS = 60
"""Float weights are rounded to this many binary places, which is exact for float64 weights above 2**-8."""

_FLAT = Fraction(1, 2**18)
"""A phase whose sum is this close to 1 is taken to be 1: rounding some hundred weights to float32 can cause this."""

_LARGEST_GAIN = 1024
"""The largest sum of magnitudes over a phase: far above any useful one, and small enough for a fine grid of weights."""

_MOST_WEIGHTS = 2**22
"""The most weights: twice those of a layer of 21 channels at factor 32. So many Python integers take seconds."""


def kernel_of_weights(name: str, factor: int, weights: Sequence[float], shape: Sequence[int]) -> Kernel:
    """Make a kernel of the weights of any transposed convolution.

    Weights are rounded to multiples of 2**-60. If every phase sums to 1 up to float32 rounding, the network was meant
    to keep flat images flat, so the phases of the kernel sum to exactly 1.

    Args:
        name: the user's name for the kernel.
        factor: the stride.
        weights: torch's weight flattened; finite numbers.
        shape: shape of torch's weight: (1, 1, k, k), the same for all channels; (C, 1, k, k), one per channel
            (groups = C); or (C, C, k, k), dense.

    Raises:
        UsageError: if the factor is not a whole number from 1 to 64, the weights are too large, or there are more than
            four million.
        GeometryError: if the shape is not one of these, or no padding makes the layer enlarge exactly `factor` times.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> sixteenths = [1, 3, 3, 1, 3, 9, 9, 3, 3, 9, 9, 3, 1, 3, 3, 1]
    >>> mine = kernel_of_weights("mine", 2, [weight / 16 for weight in sixteenths], (1, 1, 4, 4))
    >>> mine.denominator, mine.weights == kernel_named("bilinear", 2).weights
    (16, True)
    """
    factor = checked_factor(factor)
    padding = _padding(name, factor, shape)
    check_count(name, len(weights))
    _check_gain(name, max(map(abs, weights)))
    whole = [round(weight * 2.0**_WEIGHT_BITS) for weight in weights]
    common = math.gcd(2**_WEIGHT_BITS, *whole)
    denominator = 2**_WEIGHT_BITS // common
    kernel = Kernel(
        name,
        factor,
        tuple(weight // common for weight in whole),
        denominator,
        padding,
        channels=shape[0],
        is_dense=shape[1] > 1,
    )
    _check_gain(name, kernel.reach / denominator)
    phases = kernel.phases
    off = max(abs(sum(kernel.weights[index] for index in phase) - denominator) for phase in phases)
    if off > _FLAT * denominator or off == 0:
        return kernel
    return replace(kernel, weights=tuple(rounded_phases(kernel.weights, phases, denominator)))


def check_count(name: str, count: int) -> None:
    """Refuse too many weights, before they become Python integers.

    Raises:
        UsageError: if there are more than four million.
    """
    if count > _MOST_WEIGHTS:
        raise UsageError(f"kernel {name}: {count} weights are too many", f"give {_MOST_WEIGHTS} at the most")


def _check_gain(name: str, gain: float) -> None:
    if gain > _LARGEST_GAIN:
        raise UsageError(
            f"kernel {name}: its weights make up to {gain:.3g} times a pixel or more",
            f"give weights that make {_LARGEST_GAIN} times at the most",
        )


def _padding(name: str, factor: int, shape: Sequence[int]) -> int:
    if len(shape) != 4 or shape[1] not in (1, shape[0]) or 0 in shape:
        raise GeometryError(
            f"kernel {name}: a weight of shape {tuple(shape)} is not one for an image",
            "give one of (1, 1, k, k) for every channel, or (C, 1, k, k) or (C, C, k, k) for images of C channels",
        )
    height, width = shape[2:]
    if height != width:
        raise GeometryError(f"kernel {name}: {height}x{width} is not square", "give a square kernel")
    if height < factor:
        raise GeometryError(
            f"kernel {name}: a kernel_size of {height} leaves gaps at factor {factor}",
            f"enlarge {height} times at the most",
        )
    if (height - factor) % 2:
        raise GeometryError(
            f"kernel {name}: no padding makes kernel_size {height} enlarge exactly {factor} times",
            f"use a factor that is {'odd' if height % 2 else 'even'}, or append a row and a column of zeros",
        )
    return (height - factor) // 2
