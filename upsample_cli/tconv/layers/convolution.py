"""Convolutions and transposed convolutions as plain data: sizes, channels and costs. No torch.

A setting is one number, or one for each axis, as the user wrote it. Fields are in the order of torch's constructors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import prod
from operator import attrgetter
from typing import Any, Self

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import PerAxis, collapsed, split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.sizes import (
    NamedPadding,
    PaddingMode,
    bilinear_axis,
    conv_axis,
    conv_output_size,
    transposed_output_size,
)
from upsample_cli.tconv.layers.model import Sliding, check_axes, check_channels, check_count, constructor_text

SETTINGS = ("kernel_size", "stride", "padding", "output_padding", "dilation")
"""The settings of a transposed convolution along an axis."""
CONV_SETTINGS = tuple(name for name in SETTINGS if name != "output_padding")
"""The settings of an ordinary convolution along an axis."""
_ANY_SIZE = 2**20
"""A size that every usual kernel fits."""


class _Weighted(Sliding):
    """The common part of both kinds of convolutions."""

    __slots__ = ()
    in_channels: int | None
    out_channels: int | None
    stride: PerAxis
    groups: int
    bias: bool

    @classmethod
    def along(cls, each_axis: Sequence[LayerAxis], **channels: Any) -> Self:
        """The layer with these axes.

        Args:
            channels: in_channels, out_channels, groups and bias.

        >>> print(TransposedConvolution.along([LayerAxis(4, 2, 1), LayerAxis(5, 3, 1)]))
        ConvTranspose2d(kernel_size=(4, 5), stride=(2, 3), padding=1)
        """
        columns = zip(*map(attrgetter(*cls._SETTINGS), each_axis), strict=True)
        settings = dict(zip(cls._SETTINGS, map(collapsed, columns), strict=True))
        return cls(len(each_axis), **settings, **channels)  # type: ignore[call-arg]

    def _check(self) -> None:
        check_axes(self)
        check_count(self, "kernel_size")
        if self.stride is None:  # legal only for pooling
            raise GeometryError("stride None is not a whole number", "use 1 or more")
        if self.groups < 1:
            raise GeometryError(f"groups {self.groups} is too small", "use 1 or more")
        for name in ("in_channels", "out_channels"):
            channels = getattr(self, name)
            if channels is not None and channels < 1:
                raise GeometryError(f"{name} {channels} is too small", "use 1 or more")
            if channels is not None and channels % self.groups:
                raise GeometryError(
                    f"{name} {channels} is not divisible by groups {self.groups}",
                    "groups must divide in_channels and out_channels",
                )

    def check_settings(self) -> None:
        """Refuse settings that torch refuses for every size.

        Raises:
            GeometryError: if there are such settings; the message names them.
        """
        self.output_sizes((_ANY_SIZE,) * self.axes)

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer. The channels before it must equal its in_channels, if both are known."""
        check_channels(self, "in_channels", channels)
        return self.out_channels

    @property
    def weights(self) -> int | None:
        """`in*out/groups*kernel_size...`; None if channels are not known."""
        if self.in_channels is None or self.out_channels is None:
            return None
        return self.in_channels * self.out_channels // self.groups * prod(axis.kernel_size for axis in self.each_axis)

    @property
    def parameters(self) -> int | None:
        """Number of weights and biases."""
        weights = self.weights
        return None if weights is None else weights + (self.out_channels or 0) * self.bias

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:
        """Multiply-adds: every output (in a transposed layer, every input) is multiplied with all weights of its group.

        As usual, taps on the padding and outputs that padding crops are counted.
        """
        weights, counted = self.weights, before if self.each_axis[0].transposed else after
        return None if weights is None else weights * prod(counted)

    def __str__(self) -> str:
        return constructor_text(self, ("in_channels", "out_channels"))


@dataclass(frozen=True, slots=True)
class Convolution(_Weighted):
    """`torch.nn.Conv1d`, `Conv2d` or `Conv3d`, with settings as in `sizes.conv_output_size`.

    Args:
        axes: 1, 2 or 3.
        in_channels, out_channels: None if only sizes matter.

    >>> Convolution(1, kernel_size=3, stride=2, padding=1).formulas((50,))
    ('floor((50 + 2*1 - 1*(3-1) - 1)/2) + 1 = 25',)
    """

    kind = "Conv"
    _SETTINGS = CONV_SETTINGS

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
        self._check()
        if self.padding_mode != "zeros":
            # torch then pads in a separate step, which does not accept a tuple of one number for all axes.
            check_count(self, "padding")
            if self.padding == "same":
                check_count(self, "dilation")

    def _axis(self, **settings: Any) -> LayerAxis:
        return conv_axis(**settings)

    def _axis_size(self, size: int, **settings: Any) -> int:
        return conv_output_size(size, padding_mode=self.padding_mode, **settings)


@dataclass(frozen=True, slots=True)
class TransposedConvolution(_Weighted):
    """`torch.nn.ConvTranspose1d`, `2d` or `3d`, with settings as in `sizes.transposed_output_size`.

    Args:
        axes: 1, 2 or 3.
        in_channels, out_channels: None if only sizes matter.

    >>> layer = TransposedConvolution(1, in_channels=16, out_channels=33, kernel_size=3, stride=2, padding=1)
    >>> str(layer), layer.formulas((50,))
    ('ConvTranspose1d(16, 33, kernel_size=3, stride=2, padding=1)', ('(50-1)*2 - 2*1 + 1*(3-1) + 0 + 1 = 99',))
    """

    kind = "ConvTranspose"
    _SETTINGS = SETTINGS

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
        self._check()
        if self.padding_mode != "zeros":
            raise GeometryError(
                f"{self.name} has no padding_mode '{self.padding_mode}'",
                "leave it out: this layer's padding crops the output, there is nothing to fill",
            )

    @property
    def _formula(self) -> str:
        return (
            "({size}-1)*{axis.stride} - 2*{axis.padding} + {axis.dilation}*({axis.kernel_size}-1) + "
            "{axis.output_padding} + 1 = {output}"
        )

    def _axis(self, **settings: Any) -> LayerAxis:
        return LayerAxis(**settings, transposed=True)

    def _axis_size(self, size: int, **settings: Any) -> int:
        return transposed_output_size(size, **settings)


def bilinear_layer(axes: int, factor: PerAxis) -> TransposedConvolution:
    """The layer that enlarges exactly `factor` times, centred: see `sizes.bilinear_axis`.

    >>> print(bilinear_layer(2, 2), bilinear_layer(2, (2, 3)))
    ConvTranspose2d(kernel_size=4, stride=2, padding=1) ConvTranspose2d(kernel_size=(4, 5), stride=(2, 3), padding=1)
    """
    return TransposedConvolution.along([bilinear_axis(**axis) for axis in split_axes(axes, {"factor": factor})])
