"""The protocol of layers, and the base classes of their kinds. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, Protocol

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import over_axes, split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.symbolic import AnySize, Size, bracketed

AMPLE = 2**40
"""A size large enough for every sensible setting. Settings that are illegal for it are illegal for every size."""


CONV_FORMULA = "floor(({size} + {added} - {axis.dilation}*({axis.kernel_size}-1) - 1)/{axis.stride}) + 1 = {output}"
"""The formula of the size after a convolution; `added` is the samples that its padding adds."""


LETTERS: Mapping[str, str] = MappingProxyType(
    {"kernel_size": "k", "stride": "s", "padding": "p", "dilation": "d", "output_padding": "op"}
)
"""The letters of the settings in formulas."""
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


class Layer(Protocol):
    """A layer of any kind. `str(layer)` is its constructor without default values."""

    @property
    def name(self) -> str:
        """Name of its class in torch.nn."""
        ...

    @property
    def axes(self) -> int | None:
        """Number of its axes, without batch and channels; None if it accepts any number."""
        ...

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer. Raises GeometryError if torch would refuse them."""
        ...

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """For each axis, the formula of the output size with numbers and result."""
        ...

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """The layer along each axis; None if it is not uniform along the axis."""
        ...

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer, given the channels before it; None if unknown. Raises GeometryError."""
        ...

    @property
    def parameters(self) -> int | None:
        """Number of learned parameters, including biases; None if channels are unknown."""
        ...

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:
        """Number of multiply-adds for one sample of a batch; None if channels are unknown."""
        ...


class Weightless:
    """Base class of layers without weights. They keep channels, and have no parameters and no multiply-adds."""

    __slots__ = ()

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        return channels

    @property
    def parameters(self) -> int | None:
        """Number of learned parameters."""
        return 0

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:  # noqa: ARG002
        """Zero: only multiplications by weights are counted."""
        return 0


class Numbered:
    """Base class of layers whose class name is a kind and a number of axes, such as `Conv2d`."""

    __slots__ = ()
    kind: str
    axes: int

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return f"{self.kind}{self.axes}d"


class Sliding(Numbered):
    """Base class of layers with a kernel that slides along the axes: convolutions and pooling."""

    __slots__ = ()
    _SETTINGS: ClassVar[tuple[str, ...]]

    @property
    def _formula(self) -> str:
        return CONV_FORMULA

    def _settings(self) -> dict[str, Any]:
        """The settings on which sizes depend, for all axes."""
        return {name: getattr(self, name) for name in self._SETTINGS}

    def _axis(self, **settings: Any) -> LayerAxis:
        """The layer along an axis with these settings."""
        raise NotImplementedError

    def _axis_size(self, size: int, **settings: Any) -> int:
        """The size of an axis after the layer. Raises GeometryError if torch would refuse it."""
        raise NotImplementedError

    @property
    def each_axis(self) -> tuple[LayerAxis, ...]:
        """The layer along each axis."""
        return tuple(self._axis(**settings) for settings in split_axes(self.axes, self._settings()))

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:  # noqa: ARG002
        """The layer along each axis, which does not depend on the sizes."""
        return self.each_axis

    def output_sizes(self, sizes: Sequence[AnySize]) -> tuple[AnySize, ...]:
        """Sizes after the layer."""
        return over_axes(self._size_after, sizes, self._settings())

    def _size_after(self, size: Size, **settings: Any) -> Any:
        if isinstance(size, int):
            return self._axis_size(size, **settings)
        self._axis_size(AMPLE, **settings)  # raises an error for settings that are illegal for every size
        return self._axis(**settings).output_size(size)

    def letter_formula(self, known: Mapping[str, Any] = NO_SETTINGS) -> str:
        """The formula of the output size along an axis, in letters for all settings except the known ones.

        >>> from upsample_cli.tconv.layers.convolution import TransposedConvolution
        >>> TransposedConvolution(1, kernel_size=4, stride=2).letter_formula({"stride": 2})
        '(in-1)*2 - 2*p + d*(k-1) + op + 1'
        """
        axis = SimpleNamespace(**{**LETTERS, **known})
        return self._formula.format(size="in", output="", added=f"2*{axis.padding}", axis=axis).removesuffix(" = ")

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """For each axis, the formula of the output size."""
        formulas = []
        for size, output, axis in zip(sizes, self.output_sizes(sizes), self.each_axis, strict=True):
            added = f"2*{axis.before}" if axis.before == axis.after else str(axis.before + axis.after)
            formulas.append(self._formula.format(size=bracketed(size), output=output, added=added, axis=axis))
        return tuple(formulas)


def check_axes(layer: Layer) -> None:
    """Refuse a layer with a number of axes that torch does not support."""
    if layer.axes not in (1, 2, 3):
        raise GeometryError(f"there is no {layer.name}", "a size has 1 to 3 axes: 50, 50x100 or 10x50x100")


def check_any_axis(sizes: Sequence[Size]) -> None:
    """Refuse an input without axes, as after a Flatten."""
    if not sizes:
        raise GeometryError("the input has no axes", "give it before a Flatten")


def check_count(layer: Layer, name: str, *, or_one: bool = False) -> None:
    """Refuse a setting that does not have one number for each axis. `or_one` also accepts one number in brackets."""
    value = getattr(layer, name)
    if value is None or isinstance(value, int | str | float) or layer.axes is None:
        return
    if len(value) != layer.axes and not (or_one and len(value) == 1):
        raise GeometryError(
            f"{name} has {len(value)} {'number' if len(value) == 1 else 'numbers'} for {layer.axes} "
            f"{'axis' if layer.axes == 1 else 'axes'}",
            f"give one number without brackets, or {layer.axes}" if layer.axes > 1 else "give one number",
        )


def check_channels(layer: Layer, name: str, channels: int | None) -> None:
    """Refuse channels of the previous layer that differ from the setting `name`."""
    wanted = getattr(layer, name)
    if None not in (channels, wanted) and channels != wanted:
        raise GeometryError(
            f"{name} is {wanted}, but {channels} channels come in", f"write {layer.name}({channels}, ...)"
        )


def constructor_text(layer: Layer, positional: Sequence[str] = ()) -> str:
    """The text of a layer's constructor, without default values."""
    first = [repr(value) for name in positional if (value := getattr(layer, name)) is not None]
    settings = [
        f"{name}={value!r}"
        for name, default in _optional_settings(type(layer))
        if (value := getattr(layer, name)) != default and name not in positional
    ]
    return f"{layer.name}({', '.join(first + settings)})"


@cache
def _optional_settings(kind: type) -> tuple[tuple[str, Any], ...]:
    """The names and default values of a class's settings."""
    return tuple((field.name, field.default) for field in fields(kind) if field.name not in ("axes", "kind", "_"))
