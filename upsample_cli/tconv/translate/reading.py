"""What reading a layer in the words of any framework needs. Texts are parsed, not evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.axes import split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.parsing import expression

_NAMES = {f"Conv{infix}{axes}DTranspose": axes for infix in ("", "olution") for axes in (1, 2, 3)}
_OPTIONAL = {"output_padding", "in_channels", "out_channels"}


@dataclass(frozen=True, slots=True)
class Restored:
    """A layer in PyTorch's words.

    Args:
        crop: samples to crop at the end of each axis after the layer, because PyTorch's padding is the same at both
            ends.
    """

    layer: TransposedConvolution
    crop: tuple[int, ...]

    @property
    def text(self) -> tuple[str, ...]:
        """PyTorch's code; IN and OUT stand for channels that the other framework's text does not name."""
        layer = self.layer
        bare = str(replace(layer, in_channels=None, out_channels=None, groups=1))
        channels = f"({layer.in_channels or 'IN'}, {layer.out_channels or 'OUT'}, "
        groups = f", groups={layer.groups}" if layer.groups > 1 else ""
        crop = "".join(f", :{-end if end else ''}" for end in self.crop)
        return (
            f"up = nn.{bare.replace('(', channels, 1)[:-1]}{groups})",
            f"y = up(x)[:, :{crop}]" if any(self.crop) else "y = up(x)",
        )


def parsed_call(text: str, parameters: str) -> tuple[int, dict[str, Any]]:
    """The axes of a constructor of the Keras kind, `Conv2DTranspose(...)`, and its arguments by name.

    Args:
        parameters: names of the positional parameters.

    Raises:
        UsageError: if the text is not such a call.
    """
    try:
        node = expression(text.strip().rstrip(","))
        if not isinstance(node, ast.Call):
            raise ValueError
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = dict(zip(parameters.split(), map(ast.literal_eval, node.args), strict=False))
        given |= {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        raise UsageError(
            "this is not a layer of that framework", f"write for example {next(iter(_NAMES))}(...)"
        ) from None
    if name not in _NAMES:
        raise UsageError(f"the layer {name[:80] or 'here'} is unknown", f"known are {', '.join(_NAMES)}")
    return _NAMES[name], given


def restored(
    axes: int,
    settings: Mapping[str, Any],
    crop: Callable[[dict[str, Any]], tuple[int, int]],
    *,
    bias: bool = True,
    **channels: Any,
) -> Restored:
    """The layer with these settings.

    Args:
        settings: kernel_size, stride, dilation, and what else `crop` needs; one number, or one per axis.
        crop: what the framework crops (before, after) along an axis with such settings: see `writing`.
        channels: in_channels, out_channels and groups.

    Raises:
        UsageError: if a setting is missing or is not a whole number.
        GeometryError: if PyTorch has no such layer.
    """
    if settings["kernel_size"] is None:
        raise UsageError("kernel_size is missing", "write it as a number, or one per axis")
    if any(isinstance(value, str) for value in settings.values()):
        raise UsageError("a setting is a word where a number is due", "write it in digits")
    for name, value in {**settings, **channels}.items():
        numbers = value if name in settings and isinstance(value, list | tuple) else [value]
        if not all(type(number) is int for number in numbers) and not (value is None and name in _OPTIONAL):
            raise UsageError(f"{name} {value!r} is not a whole number", "write it in digits")
    each_axis = split_axes(axes, {name: value for name, value in settings.items() if value is not None})
    crops = [crop(axis) for axis in each_axis]
    if any(before < 0 for before, _ in crops):
        raise GeometryError("it pads the output at the beginning, which no PyTorch layer does", "pad by hand")
    along = [
        LayerAxis(
            axis["kernel_size"], axis["stride"], before, max(0, before - after), axis["dilation"], transposed=True
        )
        for axis, (before, after) in zip(each_axis, crops, strict=True)
    ]
    layer = TransposedConvolution.along(along, bias=bias, **channels)
    layer.output_sizes((2**20,) * axes)  # raises for settings that are illegal
    return Restored(layer, tuple(max(0, after - before) for before, after in crops))
