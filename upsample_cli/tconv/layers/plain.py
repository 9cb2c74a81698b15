"""Layers that rearrange, pad or keep samples, as plain data. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.model import Layer, Numbered, Weightless, check_any_axis
from upsample_cli.tconv.layers.symbolic import Size, bracketed


@dataclass(frozen=True, slots=True)
class Shuffling(Weightless):
    """`torch.nn.PixelShuffle` (factor**2 channels become factor x factor pixels) or `PixelUnshuffle` (the reverse).

    >>> Shuffling("PixelShuffle", 3).output_sizes((5, 7)), Shuffling("PixelShuffle", 3).output_channels(18)
    ((15, 21), 2)
    """

    name: str
    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise GeometryError(f"the factor {self.factor} is too small", "use 1 or more")

    @property
    def axes(self) -> int | None:
        """Two: it accepts only images."""
        return 2

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer."""
        for name, size in zip(axis_names(2), sizes, strict=True):
            if self.name == "PixelUnshuffle" and isinstance(size, int) and size % self.factor:
                raise GeometryError(
                    f"{name}: {size} is not divisible by {self.factor}", f"pad it to {size + -size % self.factor}"
                )
        return tuple(axis.output_size(size) for axis, size in zip(self.along_axes(sizes), sizes, strict=True))

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The formula of each output size."""
        sign = "*" if self.name == "PixelShuffle" else "/"
        pairs = zip(sizes, self.output_sizes(sizes), strict=True)
        return tuple(f"{bracketed(size)}{sign}{self.factor} = {output}" for size, output in pairs)

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis, ...]:  # noqa: ARG002
        """The layer along each axis; both are equal."""
        return (LayerAxis(self.factor, self.factor, transposed=self.name == "PixelShuffle"),) * 2

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer."""
        if channels is None:
            return None
        if self.name == "PixelUnshuffle":
            return channels * self.factor**2
        if channels % self.factor**2:
            raise GeometryError(
                f"{channels} channels are not divisible by {self.factor}x{self.factor}",
                f"give a multiple of {self.factor**2} channels",
            )
        return channels // self.factor**2

    def __str__(self) -> str:
        return f"{self.name}({self.factor})"


@dataclass(frozen=True, slots=True)
class Padding(Numbered, Weightless):
    """`torch.nn.ZeroPad2d` and its siblings: samples added at both ends, or cropped if negative.

    Args:
        kind: "ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad" or "CircularPad".
        padding: one number for all ends, or (before, after) for each axis, the last axis first, as in torch.

    >>> Padding("ZeroPad", 2, (1, 2, 3, 4)).output_sizes((5, 7))
    (12, 10)
    """

    kind: str
    axes: int
    padding: int | tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.padding, int) and len(self.padding) != 2 * self.axes:
            raise GeometryError(
                f"padding has {len(self.padding)} numbers", f"give one number, or {2 * self.axes}: the last axis first"
            )

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer."""
        return tuple(_padded(self.kind, size, axis) for size, axis in zip(sizes, self.along_axes(sizes), strict=True))

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The formula of each output size."""
        rows = zip(sizes, self.along_axes(sizes), self.output_sizes(sizes), strict=True)
        return tuple(f"{bracketed(size)} + ({axis.before}) + ({axis.after}) = {output}" for size, axis, output in rows)

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis, ...]:  # noqa: ARG002
        """Along each axis, a convolution with one tap and this padding."""
        ends = split_ends(self)
        return tuple(
            LayerAxis(padding=before, output_padding=after - before)
            for before, after in zip(ends[-2::-2], ends[::-2], strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name}({self.padding!r})"


def split_ends(layer: Padding) -> tuple[int, ...]:
    """The padding before and after for each axis, the last axis first."""
    return (layer.padding,) * (2 * layer.axes) if isinstance(layer.padding, int) else layer.padding


def _padded(kind: str, size: Size, axis: LayerAxis) -> Size:
    before, after, result = axis.before, axis.after, axis.output_size(size)
    if isinstance(size, int) and isinstance(result, int):
        most = {"ReflectionPad": size - 1, "CircularPad": size}.get(kind, math.inf)
        if max(before, after) > most:
            raise GeometryError(f"{max(before, after)} is more than an input of {size} can fill", f"use {most} or less")
        if result < 1 or (min(before, after) < -size and kind != "ReplicationPad"):
            raise GeometryError(f"nothing remains of {size}", "crop less")
    return result


@dataclass(frozen=True, slots=True)
class SizeKeeping(Weightless):
    """A layer that keeps all sizes: an activation, a normalization or a dropout.

    Args:
        name: name of its class in torch.nn.
        axes: number of its axes; None if it accepts any number.
        channels: channels of its input; None for any number.
        learned: number of learned parameters.

    >>> str(SizeKeeping("BatchNorm2d", axes=2, channels=64, learned=128))
    'BatchNorm2d(64)'
    """

    name: str
    axes: int | None = None
    channels: int | None = None
    learned: int = 0

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        return tuple(sizes)

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The same sizes."""
        return tuple(str(size) for size in sizes)

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis, ...]:
        """Along each axis, the identity."""
        return (LayerAxis(),) * len(sizes)

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        if None not in (channels, self.channels) and channels != self.channels:
            raise GeometryError(
                f"it works on {self.channels} channels, but {channels} come in", f"write {self._text(channels)}"
            )
        return channels if self.channels is None else self.channels

    @property
    def parameters(self) -> int | None:
        """Number of learned parameters."""
        return self.learned

    def _text(self, channels: int | None) -> str:
        """The constructor for a number of channels."""
        return f"{self.name}({'' if channels is None else channels})"

    def __str__(self) -> str:
        return self._text(self.channels)


@dataclass(frozen=True, slots=True)
class ChannelShuffle(SizeKeeping):
    """`torch.nn.ChannelShuffle`: groups of channels are interleaved."""

    groups: int = 1

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise GeometryError(f"groups {self.groups} is too small", "use 1 or more")

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The same sizes."""
        check_any_axis(sizes)
        return tuple(sizes)

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        if channels is not None and channels % self.groups:
            raise GeometryError(f"{channels} channels are not divisible by groups {self.groups}", "use a divisor")
        return channels

    def __str__(self) -> str:
        return f"ChannelShuffle({self.groups})"


@dataclass(frozen=True, slots=True)
class Gate(SizeKeeping):
    """Squeeze-and-excitation: the input times one factor per channel, which two 1x1 convolutions of its mean give.

    Args:
        weights: number of weights of the convolutions.
    """

    weights: int = 0

    @classmethod
    def of(cls, name: str, convolutions: Sequence[Layer]) -> Gate:
        """The gate with these convolutions, in the order in which they run."""
        learned = sum(layer.parameters or 0 for layer in convolutions)
        weights = sum(layer.multiply_adds((1, 1), (1, 1)) or 0 for layer in convolutions)
        channels = convolutions[-1].output_channels(None) if convolutions else None
        return cls(name, 2, channels, learned, weights)

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:  # noqa: ARG002
        """The weights: the convolutions run on one sample."""
        return self.weights
