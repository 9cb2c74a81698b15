"""The transposed convolution that interpolates: settings, taps as fractions, and equivalents in torch. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod

from upsample_cli.errors import GeometryError, Setting, UsageError
from upsample_cli.geometry.axes import PerAxis, split_axes
from upsample_cli.geometry.sizes import MAX_SIZE
from upsample_cli.kernels.profiles import AxisKernel, axis_kernel
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.sized_bilinear import sized_bilinear

MODES = {
    "bilinear": ("linear", "bilinear", "trilinear"),
    "nearest": ("nearest",) * 3,
    "bicubic-0.75": (None, "bicubic", None),
}
"""The modes of `torch.nn.functional.interpolate` that are equivalent to a kernel, for one, two and three axes."""
ANTIALIASED_MODES = {"bicubic": "bicubic", "catmull-rom": "bicubic", "lanczos3": "lanczos"}
"""The modes that are equivalent with antialias=True, which torch supports for two axes."""
_LARGEST_WEIGHT_BYTES = 2**31 - 2**20  # an ONNX file is a protobuf message, limited to 2 GiB


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A transposed convolution with interpolation kernels. `interpolation` makes it.

    Args:
        kernels: one kernel for each axis.
        channels: channels of the input and the output.
        depthwise: one kernel per channel (groups = channels); if False, a dense weight with zeros off the diagonal.
    """

    kernels: tuple[AxisKernel, ...]
    channels: int
    depthwise: bool

    @property
    def axes(self) -> int:
        """Number of axes: 1, 2 or 3."""
        return len(self.kernels)

    @property
    def layer(self) -> TransposedConvolution:
        """The layer with torch's settings."""
        return self._layer(crop=0)

    @property
    def replicate_layer(self) -> TransposedConvolution:
        """The layer to use after a replicate padding of `pad_width` samples. It crops them again at both ends."""
        return self._layer(crop=self.pad_width)

    def _layer(self, crop: int) -> TransposedConvolution:
        return TransposedConvolution.along(
            [replace(kernel.layer_axis, padding=kernel.padding + crop * kernel.factor) for kernel in self.kernels],
            in_channels=self.channels,
            out_channels=self.channels,
            groups=self.channels if self.depthwise else 1,
            bias=False,
        )

    @property
    def pad_width(self) -> int:
        """Samples to pad at both ends, so that outputs do not depend on zeros outside the image."""
        return max(kernel.halo for kernel in self.kernels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight, (in_channels, out_channels / groups, *kernel_size)."""
        second = 1 if self.depthwise else self.channels
        return (self.channels, second, *(kernel.kernel_size for kernel in self.kernels))

    @property
    def phase_sums(self) -> tuple[tuple[Fraction, ...], ...]:
        """For each axis, the sum of the taps that contribute to each of the `stride` phases of the output."""
        return tuple(
            tuple(sum(kernel.taps[phase :: kernel.factor], Fraction()) for phase in range(kernel.factor))
            for kernel in self.kernels
        )

    @property
    def is_standard(self) -> bool:
        """Whether the taps are the usual ones of their factors, not those of another kernel_size."""
        return all(kernel == axis_kernel(kernel.name, kernel.factor) for kernel in self.kernels)

    @property
    def mode(self) -> str | None:
        """The equivalent mode of `torch.nn.functional.interpolate`, or None."""
        return MODES.get(self.kernels[0].name, (None,) * 3)[self.axes - 1]

    @property
    def antialiased_mode(self) -> str | None:
        """The equivalent mode with antialias=True, or None."""
        return ANTIALIASED_MODES.get(self.kernels[0].name) if self.axes == 2 else None

    @property
    def kernel_floats(self) -> list[float]:
        """The kernel of one channel, flattened, last axis fastest. Products of taps are rounded once."""
        denominator = prod(kernel.denominator for kernel in self.kernels)
        return [prod(numerators) / denominator for numerators in product(*(one.numerators for one in self.kernels))]


def interpolation(
    factor: PerAxis,
    *,
    axes: int | None = None,
    channels: int = 1,
    depthwise: bool = False,
    kernel: str = "bilinear",
    kernel_size: PerAxis | None = None,
) -> Interpolation:
    """The layer that enlarges exactly `factor` times, on one, two or three axes.

    Args:
        factor: one number, or one for each axis, from 1 to 64.
        axes: 1 (linear), 2 (bilinear) or 3 (trilinear); by default 2, or the number of factors.
        channels: channels of the input and the output.
        depthwise: one kernel per channel (groups = channels).
        kernel: a name in `profiles.PROFILES`.
        kernel_size: the number of taps of the bilinear kernel, one number or one for each axis; by default, and for
            other kernels, those that interpolate exactly. See `sized_bilinear`.

    Raises:
        UsageError: if the kernel is unknown, the factor or the kernel_size is out of range, or the weight would not fit
            into a file.
        GeometryError: if the number of axes or channels is illegal.

    >>> layer = interpolation(3, channels=21)
    >>> print(layer.layer)
    ConvTranspose2d(21, 21, kernel_size=5, stride=3, padding=1, bias=False)
    >>> [str(tap) for tap in layer.kernels[0].taps], [str(total) for total in layer.phase_sums[0]]
    (['1/3', '2/3', '1', '2/3', '1/3'], ['1', '1', '1'])
    """
    if axes is None:
        axes = 2 if isinstance(factor, int) else len(factor)
    if axes not in (1, 2, 3):
        raise GeometryError(f"there is no ConvTranspose{axes}d", "use 1, 2 or 3 axes")
    if channels > MAX_SIZE:
        raise UsageError("there are too many channels", "no axis of a tensor is longer than 2^63 - 1")
    if channels < 1:
        raise GeometryError(f"channels {channels} is too small", "use 1 or more")
    if kernel_size is None:
        kernels = tuple(axis_kernel(kernel, axis["factor"]) for axis in split_axes(axes, {"factor": factor}))
    elif kernel == "bilinear":
        each_axis = split_axes(axes, {"factor": factor, "kernel_size": kernel_size})
        kernels = tuple(sized_bilinear(axis["kernel_size"], axis["factor"]) for axis in each_axis)
    else:
        raise UsageError(f"kernel_size is for the bilinear kernel, not for {kernel}", "leave it out")
    result = Interpolation(kernels, channels, depthwise)
    if 4 * prod(result.weight_shape) > _LARGEST_WEIGHT_BYTES:
        gigabytes = 4 * prod(result.weight_shape) / 1e9
        raise UsageError(
            f"a weight of shape {list(result.weight_shape)} takes {gigabytes:.1f} GB",
            "use fewer channels" if depthwise else ("add ", Setting("depthwise", True), ", or use fewer channels"),
        )
    return result
