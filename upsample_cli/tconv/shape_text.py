"""The sizes of a chain as text, in the form in which its input size was given, and short texts of layers. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Any

from upsample_cli.geometry.axes import collapsed
from upsample_cli.tconv.layers.convolution import SETTINGS, Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model import Layer, constructor_text
from upsample_cli.tconv.layers.pooling import Pooling
from upsample_cli.tconv.layers.symbolic import Size
from upsample_cli.tconv.shape import Step, size_text

_POSITIONAL = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
"""The first parameters of torch's constructors, of which pooling does not have the channels."""


@dataclass(frozen=True, slots=True)
class Form:
    """Which dimensions before the axes an input size states.

    Args:
        batch: number of images; None if the size does not state it.
        channels: whether the size states channels.
    """

    batch: int | None = None
    channels: bool = False

    @classmethod
    def of(cls, size: Sequence[Size], batch: int, axes: int) -> Form:
        """The form of a size that `split_size` has split into a batch, channels and so many axes.

        >>> Form.of((20, 16, 50), 20, 1), Form.of((50, 100), 1, 2)
        (Form(batch=20, channels=True), Form(batch=None, channels=False))
        """
        stated = len(size) - axes
        return cls(batch if stated > 1 else None, stated > 0)

    def shape(self, channels: int | None, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The stated dimensions of a tensor with these channels and sizes. Features are always stated.

        >>> Form(20, channels=True).shape(33, (99,)), Form().shape(33, (99,)), Form().shape(10, ())
        ((20, 33, 99), (99,), (10,))
        """
        stated = (self.batch,) if self.batch is not None else ()
        leading = channels if channels is not None and (self.channels or not sizes) else None
        return (*stated, *(() if leading is None else (leading,)), *sizes)

    def text(self, channels: int | None, sizes: Sequence[Size]) -> str:
        """The text of `shape`.

        >>> Form(20, channels=True).text(33, (99,)), Form(channels=True).text(10, ())
        ('20x33x99', '10 features')
        """
        if not sizes and self.batch is None:
            return "1 feature" if channels == 1 else f"{channels} features"
        return size_text(self.shape(channels, sizes))


def answer(steps: Sequence[Step], form: Form) -> str:
    """One line with the sizes before and after a chain.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> from upsample_cli.tconv.shape import shape
    >>> steps = shape((50,), [parse_layer("ConvTranspose1d(16, 33, 3, 2, 1)")], channels=16, batch=20)
    >>> answer(steps, Form(20, channels=True))
    '20x16x50 -> 20x33x99, torch.Size([20, 33, 99])'
    >>> answer(steps, Form())
    '50 -> 99, 33 channels'
    """
    first, last = steps[0], steps[-1]
    after = form.text(last.channels, last.output)
    if form.batch is not None:
        whole = form.shape(last.channels, last.output)
        after += f", torch.Size({list(whole)})" if all(isinstance(size, int) for size in whole) else ""
    elif last.output and last.channels is not None and not form.channels:
        after += f", {last.channels} channel{'' if last.channels == 1 else 's'}"
    return f"{form.text(first.input_channels, first.input)} -> {after}"


def short_text(layer: Layer) -> str:
    """The constructor of a layer, as short as PyTorch accepts it, without its bias.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> short_text(parse_layer("ConvTranspose2d(512, 256, (4, 4), (2, 2), (1, 1), bias=False)"))
    'ConvTranspose2d(512, 256, 4, 2, 1)'
    """
    if not isinstance(layer, Convolution | TransposedConvolution | Pooling):
        return str(layer)
    per_axis = {name: value for name in SETTINGS if isinstance(value := getattr(layer, name, None), tuple)}
    equal: dict[str, Any] = {name: collapsed(value) for name, value in per_axis.items()}
    layer = replace(layer, **equal)
    if not isinstance(layer, Pooling):
        layer = replace(layer, bias=True)
        if layer.in_channels is None:
            return str(layer)
    names = (*_POSITIONAL, "output_padding") if isinstance(layer, TransposedConvolution) else _POSITIONAL
    given = (name for name in names if hasattr(layer, name))
    positional = list(takewhile(lambda name: getattr(layer, name) is not None, given))
    defaults = {field.name: field.default for field in fields(layer)}
    while getattr(layer, positional[-1]) == defaults[positional[-1]]:
        positional.pop()
    return constructor_text(layer, positional)
