"""Sizes through a chain of layers, with the arithmetic spelled out: what `tconv shape` computes. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upsample_cli.axes import axis_names, located
from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers import Layer

_SIZE = re.compile(r"[0-9]{1,99}(?: ?[x×] ?[0-9]{1,99}){0,9}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of a chain at work.

    Args:
        input: sizes before it, in a tensor's order.
        output: sizes after it.
        formulas: one per axis, with its numbers and its result.
        channels: after it; None where not known.
    """

    layer: Layer
    input: tuple[int, ...]
    output: tuple[int, ...]
    formulas: tuple[str, ...]
    channels: int | None


def shape(sizes: Sequence[int], layers: Sequence[Layer]) -> tuple[Step, ...]:
    """Lead a size through layers, one after the other.

    Args:
        sizes: one number per axis, in a tensor's order: (length,), (height, width) or (depth, height, width).
        layers: at least one. Channels must agree from each to the next; the first may take any number.

    Raises:
        GeometryError: where torch would refuse; the message names the layer.

    >>> from upsample_cli.tconv.constructors import parse_layer
    >>> [step.output for step in shape((50, 100), [parse_layer("ConvTranspose2d(8, 3, 4, 2, 1)")])]
    [(100, 200)]
    """
    steps: list[Step] = []
    before, channels = tuple(sizes), None
    for number, layer in enumerate(layers, start=1):
        with located(f"layer {number}, {layer.name}" if len(layers) > 1 else layer.name):
            if layer.axes not in (None, len(before)):
                raise GeometryError(
                    f"the size {size_text(before)} has {len(before)} axes, this layer works on {layer.axes}",
                    f"give {'x'.join(axis_names(layer.axes or 0))}",
                )
            channels = layer.output_channels(channels)
            after = layer.output_sizes(before)
            steps.append(Step(layer, before, after, layer.formulas(before), channels))
        before = after
    return tuple(steps)


def as_json(steps: Sequence[Step]) -> dict[str, Any]:
    """A chain's sizes as one document for programs; `channels` is null where not known.

    >>> from upsample_cli.tconv.layers import TransposedConvolution
    >>> document = as_json(shape((7,), [TransposedConvolution(1, kernel_size=4, stride=2, padding=1)]))
    >>> document["input"], document["output"], document["layers"][0]["formulas"]
    ([7], [14], ['(7-1)*2 - 2*1 + 1*(4-1) + 0 + 1 = 14'])
    """
    return {
        "input": list(steps[0].input),
        "output": list(steps[-1].output),
        "channels": steps[-1].channels,
        "layers": [
            {
                "layer": str(step.layer),
                "input": list(step.input),
                "output": list(step.output),
                "channels": step.channels,
                "formulas": list(step.formulas),
            }
            for step in steps
        ],
    }


def parse_size(text: str) -> tuple[int, ...] | None:
    """The sizes that `50`, `50x100` or `10x50x100` means, height before width; None of any other text.

    >>> parse_size("10x50x100"), parse_size("photo.jpg")
    ((10, 50, 100), None)
    """
    return tuple(int(number) for number in re.split("[x×]", text.lower())) if _SIZE.fullmatch(text) else None


def size_text(sizes: Sequence[int]) -> str:
    """Sizes as `parse_size` reads them.

    >>> size_text((50, 100))
    '50x100'
    """
    return "x".join(str(size) for size in sizes)
