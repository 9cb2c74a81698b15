"""A layer of any framework as PyTorch's layer, with what has to be cropped after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.axes import split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution

Sizes = Sequence[int] | None
"""The sizes of a layer's input, one for each axis, or None."""
_OPTIONAL = {"output_padding", "in_channels", "out_channels"}
_UNKNOWN = {"in_channels": "IN", "out_channels": "OUT"}


@dataclass(frozen=True, slots=True)
class Restored:
    """A layer translated to PyTorch.

    Args:
        crop: samples to crop at the end of each axis after the layer, because PyTorch's padding is the same at both
            ends.
        crop_before: samples to crop at the start of each axis.
        activation: a layer of torch.nn that follows; "" for none.
        notes: settings that the text does not give, or that PyTorch's layer does not have.
        sizes: the input sizes, if the translation is valid only for them; None if it is valid for every size.
        order: the order of the framework's weights, as a permutation of PyTorch's; () for PyTorch's own.
        flipped: the framework's kernel is reversed along each axis.
        weight_note: a sentence about the weights if they are not a permutation of PyTorch's.
    """

    layer: TransposedConvolution | Convolution
    crop: tuple[int, ...]
    crop_before: tuple[int, ...]
    activation: str = ""
    notes: tuple[str, ...] = ()
    sizes: Sizes = None
    order: tuple[int, ...] = ()
    flipped: bool = False
    weight_note: str = ""

    @property
    def weight_order(self) -> tuple[int, ...]:
        """How to permute the framework's weights to get PyTorch's."""
        order = self.order or tuple(range(2 + self.layer.axes))
        return tuple(sorted(range(len(order)), key=order.__getitem__))

    @property
    def whole(self) -> TransposedConvolution | Convolution:
        """The layer with all of the crop in its settings, for writers only.

        PyTorch does not have it if more is cropped at the end than at the start: then output_padding is negative.
        """
        if isinstance(self.layer, Convolution):
            return self.layer
        ends = zip(self.layer.each_axis, self.crop_before, self.crop, strict=True)
        axes = [
            replace(axis, padding=axis.before + before, output_padding=axis.before + before - (axis.after + after))
            for axis, before, after in ends
        ]
        layer = self.layer
        return TransposedConvolution.along(
            axes,
            in_channels=layer.in_channels,
            out_channels=layer.out_channels,
            groups=layer.groups,
            bias=layer.bias,
        )

    @property
    def text(self) -> tuple[str, ...]:
        """PyTorch code. IN and OUT stand for channels that the other framework's code does not give."""
        layer = self.layer
        name = "conv" if isinstance(layer, Convolution) else "up"
        bare = str(replace(layer, in_channels=None, out_channels=None, groups=1))
        channels = f"({layer.in_channels or 'IN'}, {layer.out_channels or 'OUT'}, "
        groups = f", groups={layer.groups}" if layer.groups > 1 else ""
        ends = zip(self.crop_before, self.crop, strict=True)
        kept = "".join(f", {before or ''}:{-after if after else ''}" for before, after in ends)
        return (
            f"{name} = nn.{bare.replace('(', channels, 1)[:-1]}{groups})",
            f"y = {name}(x)[:, :{kept}]" if any(self.crop + self.crop_before) else f"y = {name}(x)",
            *([f"y = {self.activation}(y)"] if self.activation else []),
        )

    def cropped(self, more: Sequence[int]) -> Restored:
        """The same layer with `more` additional samples cropped at the end of each axis."""
        if len(more) != len(self.crop):
            raise UsageError(f"the crop has {len(more)} numbers for {len(self.crop)} axes", "give one per axis")
        return replace(self, crop=tuple(map(sum, zip(self.crop, more, strict=True))))


def unknown_as_none(channels: Mapping[str, Any]) -> dict[str, Any]:
    """Channels by name, None for the words that `Restored` writes for unknown ones."""
    return {name: None if value == _UNKNOWN.get(name) else value for name, value in channels.items()}


def check_numbers(settings: Mapping[str, Any], channels: Mapping[str, Any]) -> None:
    """Refuse settings, one number or one for each axis, and channels that are not whole numbers.

    Raises:
        UsageError: if one is not, or kernel_size is missing.
    """
    if settings["kernel_size"] is None:
        raise UsageError("kernel_size is missing", "write it as a number, or one per axis")
    for name, value in {**settings, **channels}.items():
        if isinstance(value, str):
            raise UsageError(f"a setting is a word where a number is due: {name} {value[:80]!r}", "write it in digits")
        numbers = value if name in settings and isinstance(value, list | tuple) else [value]
        if not all(type(number) is int for number in numbers) and not (value is None and name in _OPTIONAL):
            raise UsageError(f"{name} {value!r} is not a whole number", "write it in digits")


def restored(
    axes: int,
    settings: Mapping[str, Any],
    crop: Callable[[dict[str, Any]], tuple[int, int]],
    *,
    bias: bool = True,
    activation: str = "",
    notes: Sequence[str] = (),
    sizes: Sizes = None,
    order: tuple[int, ...] = (),
    flipped: bool = False,
    **channels: Any,
) -> Restored:
    """Make the PyTorch layer with these settings.

    Args:
        axes: number of axes.
        settings: kernel_size, stride, dilation, and other settings that `crop` needs; one number, or one for each axis.
        crop: a function from the settings of an axis to the framework's crop (before, after); see `writing`.
        bias: whether the layer has a bias.
        activation, notes, sizes, order, flipped: see `Restored`.
        channels: in_channels, out_channels and groups. The words IN and OUT are unknown channels, as `Restored` writes
            them.

    Raises:
        UsageError: if a setting is missing or is not a whole number.
        GeometryError: if PyTorch does not have such a layer.
    """
    channels = unknown_as_none(channels)
    check_numbers(settings, channels)
    each_axis = split_axes(axes, {name: value for name, value in settings.items() if value is not None})
    crops = [crop(axis) for axis in each_axis]
    if any(before < 0 for before, _ in crops):
        raise GeometryError("it pads the output at the beginning, which no PyTorch layer does", "pad by hand")
    along, before, after = zip(*map(_in_torch, each_axis, crops), strict=True)
    layer = TransposedConvolution.along(along, bias=bias, **channels)
    layer.check_settings()
    return Restored(layer, after, before, activation, tuple(notes), sizes, order, flipped)


def _in_torch(axis: Mapping[str, Any], crop: tuple[int, int]) -> tuple[LayerAxis, int, int]:
    """PyTorch's layer along an axis with at most the crop `crop`, and the rest to crop (before, after) afterwards."""
    before, after = crop
    padding, extra = before, before - after
    if extra >= max(axis["stride"], axis["dilation"]):  # more than output_padding allows
        padding = max(0, after)
        extra = padding - after
    made = LayerAxis(axis["kernel_size"], axis["stride"], padding, max(0, extra), axis["dilation"], transposed=True)
    return made, before - padding, max(0, -extra)
