"""Layers for which channels and axes are one shape: their base class, and the outputs of a layer of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.model import Layer, Weightless
from upsample_cli.tconv.layers.symbolic import Size


class Mixing(Weightless):
    """Base class of layers whose sizes and channels depend on each other. `outputs` gives both.

    The methods for sizes without channels raise GeometryError where the channels are needed.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its class in torch.nn."""
        return type(self).__name__

    @property
    def axes(self) -> int | None:
        """Any number."""
        return None

    def outputs(self, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
        """Channels and sizes after the layer."""
        raise NotImplementedError

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sizes after the layer, for unknown channels."""
        return self.outputs(None, sizes)[1]

    def multiply_adds_of(self, channels: int | None, sizes: Sequence[int]) -> int | None:  # noqa: ARG002
        """Multiply-adds for one sample of a batch with these channels and sizes; None if channels are unknown."""
        return 0

    def along_axes(self, sizes: Sequence[Size]) -> tuple[LayerAxis | None, ...]:
        """Along each axis, the identity."""
        return (LayerAxis(),) * len(sizes)

    def formulas(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """The sizes after the layer as text."""
        return tuple(map(str, self.output_sizes(sizes)))


def place_of(dim: int | None, rank: int, name: str) -> int:
    """The place of a dimension among channels and axes, which follow the batch."""
    if dim is None:
        raise GeometryError(f"{name} None is not a whole number", "write it in digits")
    place = dim - 1 if dim >= 0 else rank + dim
    if place == -1:
        raise GeometryError(f"{name} {dim} is the batch", "use 1 for the channels")
    if not 0 <= place < rank:
        raise GeometryError(f"there is no dimension {dim} ({name})", f"use 1 to {rank}, or -1 to -{rank}")
    return place


def known(size: Size | None, place: int) -> int:
    """A size in numbers, or an error that asks for it."""
    if isinstance(size, int):
        return size
    if size is None and place == 0:
        raise GeometryError("the number of channels is unknown", "give it before the size: 3x224x224")
    raise GeometryError(f"the size is {size}", "give the size in numbers")


def split_shape(shape: Sequence[Size | None]) -> tuple[int | None, tuple[Size, ...]]:
    """Channels and sizes from one shape."""
    channels, *sizes = shape
    return cast("int | None", channels), cast("tuple[Size, ...]", tuple(sizes))


def outputs(layer: Layer, channels: int | None, sizes: Sequence[Size]) -> tuple[int | None, tuple[Size, ...]]:
    """Channels and sizes after a layer of any kind.

    Raises:
        GeometryError: if torch would refuse them.
    """
    if isinstance(layer, Mixing):
        return layer.outputs(channels, sizes)
    return layer.output_channels(channels), layer.output_sizes(sizes)
