"""What a chain of layers takes as its input: its axes, and where features are expected."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.dense import Linear
from upsample_cli.tconv.layers.mixing import outputs
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.reshaping import Flatten, Unflatten
from upsample_cli.tconv.layers.symbolic import Size


def split_size(sizes: Sequence[Size], layers: Sequence[Layer]) -> tuple[int, int | None, tuple[Size, ...]]:
    """Split a size into batch, channels and sizes of the axes. Batch and channels are optional, as in a tensor's shape.

    Raises:
        GeometryError: if batch or channels is a letter or below 1.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> split_size((8, 3, 224, 224), [parse_layer("Conv2d(3, 16, 3)")])
    (8, 3, (224, 224))
    """
    axes = _input_axes(len(sizes), layers)
    extra = len(sizes) - axes
    if extra not in (1, 2):
        return 1, None, tuple(sizes)
    leading = []
    for name, size in zip(("batch", "channels")[2 - extra :], sizes, strict=False):
        if not isinstance(size, int) or size < 1:
            raise GeometryError(f"{name} {size} is not a number of 1 or more", "write for example 8x3x224x224")
        leading.append(size)
    return (leading[0] if extra == 2 else 1), leading[-1], tuple(sizes[extra:])


def axes_after_channels(sizes: Sequence[Size], channels: int) -> int:
    """How many axes a size has that begins with so many channels, or with a batch and so many channels.

    Raises:
        GeometryError: if it begins with neither, or with both.

    >>> axes_after_channels((20, 16, 50), 16), axes_after_channels((16, 50, 100), 16)
    (1, 2)
    """
    shown = "x".join(map(str, sizes))
    found = [len(sizes) - place for place in (1, 2) if place < len(sizes) and sizes[place - 1] == channels]
    if not found:
        raise GeometryError(
            f"the size {shown} does not begin with {channels} channels, or with a batch and {channels} channels",
            f"write for example {channels}x50x100, or 8x{channels}x50x100",
        )
    if len(found) > 1:
        raise GeometryError(
            f"the size {shown} has {channels} channels both first and after a batch",
            "give the layer as PyTorch writes it, which states the number of axes",
        )
    return found[0]


def _input_axes(numbers: int, layers: Sequence[Layer]) -> int:
    """How many axes an input has, for a size of so many numbers. The first layer that works on axes decides.

    Before Flatten there are axes, the more the more numbers; before Linear or Unflatten one or two numbers are
    features, which are channels.
    """
    for layer in layers:
        if isinstance(layer, Linear | Unflatten):
            return 0 if numbers <= 2 else numbers - 2
        if isinstance(layer, Flatten):
            return {3: 2, 4: 2, 5: 3}.get(numbers, numbers)
        if layer.axes is not None:
            return layer.axes
    return numbers


def with_flattens(
    sizes: Sequence[Size], layers: Sequence[Layer], *, channels: int | None = None
) -> tuple[tuple[Layer, ...], int]:
    """The layers with a Flatten where forward() must flatten, and how many were added.

    That is before a Linear whose in_features are all numbers that come in, and not those of the last axis.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> layers, added = with_flattens((8, 8), [parse_layer("MaxPool2d(2)"), parse_layer("Linear(48, 10)")], channels=3)
    >>> print(*layers)
    MaxPool2d(kernel_size=2) Flatten() Linear(48, 10)
    """
    found: list[Layer] = []
    after = tuple(sizes)
    for number, layer in enumerate(layers, start=1):
        if isinstance(layer, Linear) and after and channels and layer.in_features != after[-1]:
            numbers = [size for size in after if isinstance(size, int)]
            if len(numbers) == len(after) and channels * prod(numbers) == layer.in_features:
                found.append(Flatten())
                channels, after = layer.in_features, ()
        found.append(layer)
        try:
            channels, after = outputs(layer, channels, after)
        except (GeometryError, ValueError):  # `shape` names the layer
            return (*found, *layers[number:]), len(found) - number
    return tuple(found), len(found) - len(layers)
