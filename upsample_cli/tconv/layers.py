"""What each kind of layer does to sizes and channels: one frozen dataclass per kind. No torch.

A setting is one number, or one per axis, as it was written. Fields stand in the order of torch's constructors.
`constructors` reads the text that people write, and holds the table of kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Protocol

from upsample_cli.arithmetic import (
    NamedPadding,
    PaddingMode,
    bilinear_settings,
    conv_output_size,
    conv_padding,
    transposed_output_size,
)
from upsample_cli.axes import PerAxis, over_axes, split_axes
from upsample_cli.errors import GeometryError

CONV_FORMULA = "floor(({size} + {added} - {dilation}*({kernel_size}-1) - 1)/{stride}) + 1 = {output}"
TRANSPOSED_FORMULA = (
    "({size}-1)*{stride} - 2*{padding} + {dilation}*({kernel_size}-1) + {output_padding} + 1 = {output}"
)


class Layer(Protocol):
    """What `shape` asks of a layer of any kind. Its text, `str(layer)`, is its constructor, defaults left out."""

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        ...

    @property
    def axes(self) -> int | None:
        """How many axes it works on, besides batch and channels; None for any number."""
        ...

    def output_sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes after the layer. Raises GeometryError where torch refuses."""
        ...

    def formulas(self, sizes: Sequence[int]) -> tuple[str, ...]:
        """How each output size comes about: the formula with its numbers, and the result."""
        ...

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer, from those before; None where they are not known. Raises GeometryError."""
        ...


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
            _check_count(self, "padding")
            if self.padding == "same":
                _check_count(self, "dilation")

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return f"Conv{self.axes}d"

    def output_sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes after the layer."""
        return over_axes(conv_output_size, sizes, self._settings() | {"padding_mode": self.padding_mode})

    def formulas(self, sizes: Sequence[int]) -> tuple[str, ...]:
        """How each output size comes about."""
        return tuple(
            CONV_FORMULA.format(size=size, output=output, added=_added(axis), **axis)
            for size, output, axis in zip(
                sizes, self.output_sizes(sizes), split_axes(self.axes, self._settings()), strict=True
            )
        )

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer; those before, where known, must be its in_channels."""
        return _output_channels(self, channels)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kernel_size", "stride", "padding", "dilation")}

    def __str__(self) -> str:
        return _text(self)


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

    def output_sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes after the layer."""
        return over_axes(transposed_output_size, sizes, self._settings())

    def formulas(self, sizes: Sequence[int]) -> tuple[str, ...]:
        """How each output size comes about."""
        return tuple(
            TRANSPOSED_FORMULA.format(size=size, output=output, **axis)
            for size, output, axis in zip(
                sizes, self.output_sizes(sizes), split_axes(self.axes, self._settings()), strict=True
            )
        )

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer; those before, where known, must be its in_channels."""
        return _output_channels(self, channels)

    def _settings(self) -> dict[str, Any]:
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return _text(self)


def bilinear_layer(axes: int, factor: PerAxis) -> TransposedConvolution:
    """The layer that enlarges exactly `factor` times, centred: see `arithmetic.bilinear_settings`.

    >>> print(bilinear_layer(2, 2), bilinear_layer(2, (2, 3)))
    ConvTranspose2d(kernel_size=4, stride=2, padding=1) ConvTranspose2d(kernel_size=(4, 5), stride=(2, 3), padding=1)
    """
    each = [bilinear_settings(**axis) for axis in split_axes(axes, {"factor": factor})]
    return TransposedConvolution(
        axes,
        kernel_size=_collapsed(axis["kernel_size"] for axis in each),
        stride=_collapsed(axis["stride"] for axis in each),
        padding=_collapsed(axis["padding"] for axis in each),
    )


def _collapsed(numbers: Iterable[int]) -> PerAxis:
    kept = tuple(numbers)
    return kept[0] if len(set(kept)) == 1 else kept


def _check(layer: Convolution | TransposedConvolution) -> None:
    if layer.axes not in (1, 2, 3):
        raise GeometryError(f"there is no {layer.name}", "a size has 1 to 3 axes: 50, 50x100 or 10x50x100")
    _check_count(layer, "kernel_size")
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


def _check_count(layer: Convolution | TransposedConvolution, name: str) -> None:
    value = getattr(layer, name)
    if not isinstance(value, int | str) and len(value) != layer.axes:
        raise GeometryError(
            f"{name} has {len(value)} {'number' if len(value) == 1 else 'numbers'} for {layer.axes} "
            f"{'axis' if layer.axes == 1 else 'axes'}",
            f"give one number without brackets, or {layer.axes}" if layer.axes > 1 else "give one number",
        )


def _added(axis: dict[str, Any]) -> str:
    """The formula's term for padding: `2*1`, or the sum where "same" asks for different padding before and after."""
    before, after = conv_padding(**axis)
    return f"2*{before}" if before == after else str(before + after)


def _output_channels(layer: Convolution | TransposedConvolution, channels: int | None) -> int | None:
    if None not in (channels, layer.in_channels) and channels != layer.in_channels:
        raise GeometryError(
            f"in_channels is {layer.in_channels}, the layer before gives {channels}",
            f"write {layer.name}({channels}, ...)",
        )
    return layer.out_channels


def _text(layer: Convolution | TransposedConvolution) -> str:
    channels = [str(count) for count in (layer.in_channels, layer.out_channels) if count is not None]
    settings = [
        f"{field.name}={value!r}"
        for field in fields(layer)[3:]
        if (value := getattr(layer, field.name)) != field.default
    ]
    return f"{layer.name}({', '.join(channels + settings)})"
