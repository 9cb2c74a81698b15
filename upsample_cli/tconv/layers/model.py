"""What a layer is to the workbench, and what its kinds share. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, Protocol

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import PerAxis, over_axes
from upsample_cli.geometry.windows import Window
from upsample_cli.tconv.layers.symbolic import Size, SizeRule, Symbolic

_AMPLE = 2**40
"""A size that every sensible setting accepts: what is refused even here is refused for every size."""


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

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer. Raises GeometryError where torch refuses."""
        ...

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """How each output size comes about: the formula with its numbers, and the result."""
        ...

    def windows(self, sizes: Sequence[Size]) -> tuple[Window | None, ...]:
        """The connections along each axis; None where they are not the same all along it."""
        ...

    def output_channels(self, channels: int | None) -> int | None:
        """Channels after the layer, from those before; None where they are not known. Raises GeometryError."""
        ...

    @property
    def parameters(self) -> int | None:
        """Numbers it learns, bias included; None where its channels are not known."""
        ...

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:
        """Multiplications, each with its addition, for one sample of a batch; None where channels are not known."""
        ...


class Weightless:
    """What layers without weights have in common: they keep the channels, learn nothing and multiply nothing."""

    __slots__ = ()

    def output_channels(self, channels: int | None) -> int | None:
        """The same channels."""
        return channels

    @property
    def parameters(self) -> int | None:
        """Numbers it learns."""
        return 0

    def multiply_adds(self, before: Sequence[int], after: Sequence[int]) -> int | None:  # noqa: ARG002
        """Only what meets weights is counted."""
        return 0


def sizes_by(
    size_of_axis: Callable[..., int], rule_of_axis: Callable[..., SizeRule], sizes: Sequence[Size], settings: Any
) -> tuple[Any, ...]:
    """Sizes after a layer: numbers by its one-axis function, letters by the rule that says the same for every size."""

    def after(size: Size, **axis: Any) -> Any:
        if isinstance(size, int):
            return size_of_axis(size, **axis)
        size_of_axis(_AMPLE, **axis)  # for its refusals
        return rule_of_axis(**axis).of(size)

    results: tuple[Any, ...] = over_axes(after, sizes, settings)  # type: ignore[arg-type]
    for result in results:
        if not isinstance(result, int | Symbolic) or (isinstance(result, int) and result < 1):
            raise GeometryError(f"the output size {result} is too small", "use a larger input")
    return results


def collapsed(numbers: Iterable[int]) -> PerAxis:
    """One number where all axes have the same, else one per axis.

    >>> collapsed([2, 2]), collapsed([2, 3])
    (2, (2, 3))
    """
    kept = tuple(numbers)
    return kept[0] if len(set(kept)) == 1 else kept


def check_axes(layer: Layer) -> None:
    """Refuse a layer of more or fewer axes than torch has."""
    if layer.axes not in (1, 2, 3):
        raise GeometryError(f"there is no {layer.name}", "a size has 1 to 3 axes: 50, 50x100 or 10x50x100")


def check_count(layer: Layer, name: str, *, or_one: bool = False) -> None:
    """Refuse a setting with as many numbers as the layer has no axes; `or_one` lets one number in brackets pass."""
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
    """Refuse channels from the layer before that are not those the setting `name` says."""
    wanted = getattr(layer, name)
    if None not in (channels, wanted) and channels != wanted:
        raise GeometryError(
            f"{name} is {wanted}, but {channels} channels come in", f"write {layer.name}({channels}, ...)"
        )


def constructor_text(layer: Any, positional: Sequence[str] = ()) -> str:
    """The text of a layer's constructor, what equals its default left out."""
    first = [str(value) for name in positional if (value := getattr(layer, name)) is not None]
    settings = [
        f"{field.name}={value!r}"
        for field in fields(layer)
        if field.name not in (*positional, "axes", "kind", "_")
        and (value := getattr(layer, field.name)) != field.default
    ]
    return f"{layer.name}({', '.join(first + settings)})"
