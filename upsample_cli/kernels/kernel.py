"""Kernels as whole weights over one denominator. No torch.

A kernel is the weight of a transposed convolution whose stride is the factor. The layer sums whole numbers, and one
division by `denominator` follows. So pixels are exact, and do not depend on the device or on how the image is cut into
tiles. This holds for every kernel: the outer product of a profile's taps, or any weights.

Whole weights may have any size until the type of the pixels is known. `Kernel.within` then gives the same kernel on the
finest grid for which the sums of these pixels are exact in a float type (`exact.exact_form`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

from upsample_cli.errors import Setting, Text, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.kernels.profiles import PROFILES, AxisKernel, axis_kernel, checked_factor
from upsample_cli.kernels.rounding import rounded_phases, rounded_ratio
from upsample_cli.kernels.shipped import FITTED, shipped_kernel

NETWORKS = ("net", "net-photo")
"""The name of the networks that come with the package; see `network.py`."""

KERNEL_NAMES = (*PROFILES, FITTED, *NETWORKS)
"""Names that are not files: kernels with a formula, the ones fitted to photographs, and networks."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The whole weight of a transposed convolution, with its settings.

    Args:
        name: the user's name for the kernel.
        factor: the stride.
        weights: whole numbers: torch's weight (in, out / groups, kernel_size, kernel_size), flattened, times
            `denominator`.
        denominator: common to all weights.
        padding: padding of the transposed convolution. `kernel_size - 2 * padding == factor`, so n samples become
            exactly `n * factor`, and output o is at `(o + 1/2) / factor - 1/2` in input samples.
        channels: 1 for one plane of weights that is used for every channel of an image; otherwise the number of
            channels that images must have.
        is_dense: every output channel depends on every input channel; if False, only on its own (groups = channels).
    """

    name: str
    factor: int
    weights: tuple[int, ...]
    denominator: int
    padding: int
    channels: int = 1
    is_dense: bool = False

    @property
    def kernel_size(self) -> int:
        """Number of taps along an axis."""
        return self.factor + 2 * self.padding

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of torch's weight: (in_channels, out_channels / groups, kernel_size, kernel_size)."""
        return self.channels, self.channels if self.is_dense else 1, self.kernel_size, self.kernel_size

    @property
    def halo(self) -> int:
        """Input samples needed on each side of a run of samples to compute the run's outputs; see `LayerAxis.halo`."""
        return _halo(self.kernel_size, self.factor, self.padding)

    @property
    def phases(self) -> list[tuple[int, ...]]:
        """For each phase and output channel, the indices of the weights that contribute to its outputs.

        >>> kernel_named("bilinear", 2).phases[0]
        (0, 2, 8, 10)
        """
        size, across = self.kernel_size, range(self.shape[1])
        planes = [[(source * self.shape[1] + target) * size**2 for source in range(self.channels)] for target in across]
        if not self.is_dense:
            planes = [[plane * size**2] for plane in range(self.channels)]
        return [
            tuple(
                plane + row * size + column
                for plane in contributing
                for row in range(top, size, self.factor)
                for column in range(left, size, self.factor)
            )
            for contributing in planes
            for top in range(self.factor)
            for left in range(self.factor)
        ]

    @property
    def reach(self) -> int:
        """The largest sum of weight magnitudes over a phase. An output is at most this times the largest pixel.

        >>> kernel_named("bilinear", 2).reach, kernel_named("bicubic", 2).reach / 128**2
        (16, 1.41015625)
        """
        return max(sum(abs(self.weights[index]) for index in phase) for phase in self.phases)

    @property
    def overshoots(self) -> bool:
        """Whether outputs can exceed the range of the pixels: a weight is negative, or a phase sums to more than 1."""
        return min(self.weights) < 0 or self.reach > self.denominator

    @property
    def is_flat(self) -> bool:
        """Whether every phase's weights sum to exactly 1: a flat image stays flat."""
        return all(sum(self.weights[index] for index in phase) == self.denominator for phase in self.phases)

    def within(self, most: int) -> Kernel:
        """The same kernel with a `reach` of at most `most`.

        If the reach of this kernel is larger, its weights are rounded to the finest grid with a reach of at most
        `most`. If every phase sums to 1, it still does so exactly (`rounding.rounded_phases`).

        >>> kernel_named("bicubic", 2).within(2**16).denominator
        16384
        >>> kernel_named("bicubic", 4).within(2**16).denominator
        43001
        """
        if self.reach <= most:
            return self
        phases = self.phases
        spare = max(map(len, phases))  # the most that rounding a phase and correcting its sum can add
        denominator = (most - spare) * self.denominator // self.reach
        if self.is_flat:
            weights = rounded_phases(self.weights, phases, denominator)
        else:
            weights = [rounded_ratio(weight * denominator, self.denominator) for weight in self.weights]
        return replace(self, weights=tuple(weights), denominator=denominator)

    def misfit(
        self,
        channels: int,
        *,
        has_alpha: bool,
        is_whole: bool = True,  # noqa: ARG002  both are for networks
        has_luma: bool = True,  # noqa: ARG002
    ) -> tuple[str, Text] | None:
        """Why this kernel cannot enlarge an image, and what to do about it; None if it can.

        Args:
            channels: number of channels of the image, alpha included.
            has_alpha: colour is premultiplied by alpha. This requires a kernel that treats all channels alike and keeps
                flat images flat; otherwise colour and opacity would be scaled differently.
            is_whole: pixels are whole numbers.
            has_luma: the channels are grey or RGB.

        >>> kernel_named("bicubic", 2).misfit(4, has_alpha=True) is None
        True
        """
        if self.channels not in (1, channels):
            return (
                f"kernel {self.name} is for {self.channels} channels, and the image has {channels}, alpha included",
                "give weights for as many, or of shape (1, 1, k, k)",
            )
        if has_alpha and (self.channels > 1 or not self.is_flat):
            reason = "treats channels differently" if self.channels > 1 else "does not keep flat images flat"
            return (
                f"kernel {self.name} {reason}, so colour cannot be premultiplied",
                ("add ", Setting("alpha", "straight")),
            )
        return None


@functools.cache
def _halo(kernel_size: int, factor: int, padding: int) -> int:
    return LayerAxis(kernel_size, factor, padding, transposed=True).halo


@functools.lru_cache(maxsize=32, typed=True)
def kernel_named(name: str, factor: int) -> Kernel:
    """The kernel with the given name for a factor. For a profile, it is the outer product of its taps with themselves.

    Raises:
        UsageError: if the name is unknown, the factor is not a whole number from 1 to 64, or no kernel is fitted for
            it.

    >>> kernel_named("nearest", 2)
    Kernel(name='nearest', factor=2, weights=(1, 1, 1, 1), denominator=1, padding=0, channels=1, is_dense=False)
    """
    factor = checked_factor(factor)
    if name not in (*PROFILES, FITTED):
        raise UsageError(f"there is no kernel named {name!r}", f"choose one of {', '.join((*PROFILES, FITTED))}")
    if name == FITTED:
        shipped = shipped_kernel(factor)
        kernel_size = math.isqrt(len(shipped.weights))
        return Kernel(name, factor, shipped.weights, shipped.denominator, (kernel_size - factor) // 2)
    axis = axis_kernel(name, factor)
    weights = tuple(above * left for above in axis.numerators for left in axis.numerators)
    return Kernel(name, axis.factor, weights, axis.denominator**2, axis.padding)


def axis_of(kernel: Kernel) -> AxisKernel | None:
    """The taps along one axis if the kernel is the outer product of a profile's taps; None for any other kernel.

    >>> axis_of(kernel_named("bilinear", 2)).numerators
    (1, 3, 3, 1)
    """
    if kernel.name in PROFILES and kernel == kernel_named(kernel.name, kernel.factor):
        return axis_kernel(kernel.name, kernel.factor)
    return None


def spread(kernel: Kernel, channels: int, *, is_dense: bool) -> Kernel:
    """Repeat a kernel of one plane for `channels`: one plane per channel, or dense with zeros between the channels.

    >>> spread(kernel_named("nearest", 1), 2, is_dense=True).weights
    (1, 0, 0, 1)
    """
    nothing = (0,) * len(kernel.weights)
    planes = [
        kernel.weights if source == target else nothing
        for source in range(channels)
        for target in (range(channels) if is_dense else [source])
    ]
    weights = tuple(weight for plane in planes for weight in plane)
    return replace(kernel, weights=weights, channels=channels, is_dense=is_dense)
