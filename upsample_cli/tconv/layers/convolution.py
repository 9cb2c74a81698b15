"""Convolutions and transposed convolutions, as plain data: their sizes, channels and costs. No torch.

A setting is one number, or one per axis, as it was written. Fields stand in the order of torch's constructors.
`constructors` reads the text that people write, and holds the table of kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import PerAxis, split_axes
from upsample_cli.geometry.sizes import (
    NamedPadding,
    PaddingMode,
    bilinear_settings,
    conv_output_size,
    conv_padding,
    transposed_output_size,
)
from upsample_cli.geometry.windows import Window
from upsample_cli.tconv.layers.model import (
    check_axes,
    check_channels,
    check_count,
    collapsed,
    constructor_text,
    sizes_by,
)
from upsample_cli.tconv.layers.symbolic import AnySize, Size, bracketed, conv_rule, transposed_rule

CONV_FORMULA = "floor(({size} + {added} - {dilation}*({kernel_size}-1) - 1)/{stride}) + 1 = {output}"
TRANSPOSED_FORMULA = (
    "({size}-1)*{stride} - 2*{padding} + {dilation}*({kernel_size}-1) + {output_padding} + 1 = {output}"
)


@dataclass(frozen=True, slots=True)
class Convolution:
    """`torch.nn.Conv1d`, `Conv2d` or `Conv3d`, with settings as in `arithmetic.conv_output_size`.

    Args:
        axes: 1, 2 or 3.
        in_channels: None, like out_channels, where only sizes matter.

    >>> Convolution(1, kernel_size=3, stride=2, padding=1).formulas((50,))
    ('floor((50 + 2*1 - 1*(3-1) - 1)/2) + 1 = 25',)
    """

    axes: int
    _: KW_ONLY
    in_channels: int | None = None
    out_channels: int | None = None
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PerAxis | NamedPadding = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    padding_mode: PaddingMode = "zeros"

    def __post_init__(self) -> None:
        _check(self)
        if self.padding_mode != "zeros":
            # torch pads beforehand then, and does not spread a tuple of one number over the axes as the layer does.
            check_count(self, "padding")
            if self.padding == "same":
                check_count(self, "dilation")

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return f"Conv{self.axes}d"

    def output_sizes(self, sizes: Sequence[AnySize]) -> tuple[AnySize, ...]:
        """Sizes after the layer."""
        return sizes_by(conv_output_size, conv_rule, sizes, self._settings() | {"padding_mode": self.padding_mode})

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """How each output size comes about."""
        return tuple(
            CONV_FORMULA.format(size=bracketed(size), output=output, added=_added(axis), **axis)
            for size, output, axis in zip(
                sizes, self.output_sizes(sizes), split_axes(self.axes, self._settings()), strict=True
            )
        )

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer; those before, where known, must be its in_channels."""
        check_channels(self, "in_channels", channels)
        return self.out_channels

    def windows(self, sizes: Sequence[Size]) -> tuple[Window | None, ...]:  # noqa: ARG002
        """The connections along each axis."""
        return tuple(
            Window(axis["kernel_size"], axis["stride"], conv_padding(**axis)[0], axis["dilation"])
            for axis in split_axes(self.axes, self._settings())
        )

    @property
    def parameters(self) -> int | None:
        """Weights and biases."""
        return _parameters(self)

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:  # noqa: ARG002
        """Every output takes all weights of its group; taps on the padding are counted, as is usual."""
        weights = _weights(self)
        return None if weights is None else weights * prod(after)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kernel_size", "stride", "padding", "dilation")}

    def __str__(self) -> str:
        return constructor_text(self, ("in_channels", "out_channels"))


@dataclass(frozen=True, slots=True)
class TransposedConvolution:
    """`torch.nn.ConvTranspose1d`, `2d` or `3d`, with settings as in `arithmetic.transposed_output_size`.

    Args:
        axes: 1, 2 or 3.
        in_channels: None, like out_channels, where only sizes matter.

    >>> layer = TransposedConvolution(1, in_channels=16, out_channels=33, kernel_size=3, stride=2, padding=1)
    >>> str(layer), layer.formulas((50,))
    ('ConvTranspose1d(16, 33, kernel_size=3, stride=2, padding=1)', ('(50-1)*2 - 2*1 + 1*(3-1) + 0 + 1 = 99',))
    """

    axes: int
    _: KW_ONLY
    in_channels: int | None = None
    out_channels: int | None = None
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PerAxis = 0
    output_padding: PerAxis = 0
    groups: int = 1
    bias: bool = True
    dilation: PerAxis = 1
    padding_mode: PaddingMode = "zeros"

    def __post_init__(self) -> None:
        _check(self)
        if self.padding_mode != "zeros":
            raise GeometryError(
                f"{self.name} has no padding_mode '{self.padding_mode}'",
                "leave it out: this layer's padding crops the output, there is nothing to fill",
            )

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return f"ConvTranspose{self.axes}d"

    def output_sizes(self, sizes: Sequence[AnySize]) -> tuple[AnySize, ...]:
        """Sizes after the layer."""
        return sizes_by(transposed_output_size, transposed_rule, sizes, self._settings())

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """How each output size comes about."""
        return tuple(
            TRANSPOSED_FORMULA.format(size=bracketed(size), output=output, **axis)
            for size, output, axis in zip(
                sizes, self.output_sizes(sizes), split_axes(self.axes, self._settings()), strict=True
            )
        )

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer; those before, where known, must be its in_channels."""
        check_channels(self, "in_channels", channels)
        return self.out_channels

    def windows(self, sizes: Sequence[Size]) -> tuple[Window | None, ...]:  # noqa: ARG002
        """The connections along each axis."""
        return tuple(
            Window(axis["kernel_size"], axis["stride"], axis["padding"], axis["dilation"], transposed=True)
            for axis in split_axes(self.axes, self._settings())
        )

    @property
    def parameters(self) -> int | None:
        """Weights and biases."""
        return _parameters(self)

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:  # noqa: ARG002
        """Every input meets all weights of its group; what padding crops is counted, as is usual."""
        weights = _weights(self)
        return None if weights is None else weights * prod(before)

    def _settings(self) -> dict[str, Any]:
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return constructor_text(self, ("in_channels", "out_channels"))


def bilinear_layer(axes: int, factor: PerAxis) -> TransposedConvolution:
    """The layer that enlarges exactly `factor` times, centred: see `arithmetic.bilinear_settings`.

    >>> print(bilinear_layer(2, 2), bilinear_layer(2, (2, 3)))
    ConvTranspose2d(kernel_size=4, stride=2, padding=1) ConvTranspose2d(kernel_size=(4, 5), stride=(2, 3), padding=1)
    """
    each = [bilinear_settings(**axis) for axis in split_axes(axes, {"factor": factor})]
    return TransposedConvolution(
        axes,
        kernel_size=collapsed(axis["kernel_size"] for axis in each),
        stride=collapsed(axis["stride"] for axis in each),
        padding=collapsed(axis["padding"] for axis in each),
    )


def _check(layer: Convolution | TransposedConvolution) -> None:
    check_axes(layer)
    check_count(layer, "kernel_size")
    if layer.stride is None:  # which a pooling layer may have
        raise GeometryError("stride None is not a whole number", "use 1 or more")
    if layer.groups < 1:
        raise GeometryError(f"groups {layer.groups} is too small", "use 1 or more")
    for name in ("in_channels", "out_channels"):
        channels = getattr(layer, name)
        if channels is not None and channels < 1:
            raise GeometryError(f"{name} {channels} is too small", "use 1 or more")
        if channels is not None and channels % layer.groups:
            raise GeometryError(
                f"{name} {channels} is not divisible by groups {layer.groups}",
                "groups must divide in_channels and out_channels",
            )


def _added(axis: dict[str, Any]) -> str:
    """The formula's term for padding: `2*1`, or the sum where "same" asks for different padding before and after."""
    before, after = conv_padding(**axis)
    return f"2*{before}" if before == after else str(before + after)


def _weights(layer: Convolution | TransposedConvolution) -> int | None:
    """Weights that one channel of the input has to do with, times channels: `in*out/groups*kernel_size...`."""
    if layer.in_channels is None or layer.out_channels is None:
        return None
    taps: int = prod(axis["kernel_size"] for axis in split_axes(layer.axes, {"kernel_size": layer.kernel_size}))
    return layer.in_channels * layer.out_channels // layer.groups * taps


def _parameters(layer: Convolution | TransposedConvolution) -> int | None:
    weights = _weights(layer)
    return None if weights is None else weights + (layer.out_channels or 0) * layer.bias
