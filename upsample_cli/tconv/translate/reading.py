"""Common functions for reading a layer of any framework. Code is parsed, never evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError, Setting, UsageError
from upsample_cli.geometry.axes import split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.parsing import dotted_name, statements
from upsample_cli.tconv.translate.writing import CROP_LINE

Sizes = Sequence[int] | None
"""The sizes of a layer's input, one for each axis, or None."""
TRANSPOSED_NAMES = {f"Conv{infix}{axes}DTranspose": axes for infix in ("", "olution") for axes in (1, 2, 3)}
_OPTIONAL = {"output_padding", "in_channels", "out_channels"}
_UNKNOWN = {"in_channels": "IN", "out_channels": "OUT"}
_CROP_LINE = re.compile(rf"^{re.escape(CROP_LINE)}([0-9]+(?:, [0-9]+)*)$", re.MULTILINE)


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


def without_own_lines(text: str) -> tuple[str, tuple[int, ...]]:
    """Remove the notes and the crop line that `tconv translate` prints; return the text and the numbers of the crop."""
    text = re.sub("^note: .*$", "", text, flags=re.MULTILINE)
    found = _CROP_LINE.search(text)
    if found is None:
        return text, ()
    return _CROP_LINE.sub("", text, count=1), tuple(map(int, found[1].split(", ")))


def parsed_calls(text: str) -> list[ast.Call]:
    """The calls in a text, one for each statement. For `layer(...)(x)` it is the call of `layer`.

    Raises:
        UsageError: if the text contains anything except calls.
    """
    try:
        nodes = [node for _, node in statements(text)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []
    calls = [node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) else node for node in nodes]
    kept = [node for node in calls if isinstance(node, ast.Call)]
    if not kept or len(kept) < len(calls):
        raise UsageError(
            "this is not a layer of that framework", f"write for example {next(iter(TRANSPOSED_NAMES))}(...)"
        )
    return kept


def called(call: ast.Call) -> str:
    """The name of the called function or class: `Conv2DTranspose` in `keras.layers.Conv2DTranspose(...)`."""
    return dotted_name(call.func).rpartition(".")[2]


def axes_of_call(call: ast.Call) -> int:
    """The number of axes of a constructor such as Keras' `Conv2DTranspose(...)`.

    Raises:
        UsageError: if it is another layer.
    """
    return _named(call, TRANSPOSED_NAMES)


def _named(call: ast.Call, names: Mapping[str, int]) -> int:
    name = called(call)
    if name not in names:
        raise UsageError(f"the layer {name[:80] or 'here'} is unknown", f"known are {', '.join(names)}")
    return names[name]


def single_layer(text: str, names: Mapping[str, int]) -> tuple[ast.Call, int]:
    """The only call of a text, a constructor in `names`, and the number that `names` has for it.

    Raises:
        UsageError: if the text has several calls, or another layer.
    """
    call, *others = parsed_calls(text)
    if others:
        raise UsageError(f"there are {len(others) + 1} layers", "give one at a time")
    return call, _named(call, names)


def needed_sizes(sizes: Sizes, axes: int, what: str) -> tuple[int, ...]:
    """The sizes of the input, one for each axis.

    Raises:
        UsageError: if they are not given.
    """
    if sizes is None:
        example = "x".join(["28"] * axes)
        raise UsageError(f"{what} needs the size of the input", ("add ", Setting("size", example)))
    if len(sizes) != axes:
        raise UsageError(f"the size has {len(sizes)} axes, the layer {axes}", "give one number per axis")
    return tuple(sizes)


def left_out_notes(names: Sequence[str]) -> list[str]:
    """A note on parameters that PyTorch's layer does not have; empty if there are no such parameters."""
    return [f"left out, because PyTorch's layer does not take it: {', '.join(names)}"] if names else []


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
    layer.output_sizes((2**20,) * axes)  # raises an error for illegal settings
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
