"""A small transposed convolution: an input, a kernel and settings, small enough to be written out.

Arrays are float64. An input has shape (in_channels, *sizes), a kernel torch's
(in_channels, out_channels, *kernel_size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.tconv.explain.grids import Grid
from upsample_cli.tconv.interpolation import collapsed
from upsample_cli.tconv.layers.convolution import TransposedConvolution

MOST_INPUTS, MOST_OUTPUTS, MOST_TAPS = 64, 1024, 512
"""How much is still a small example: numbers in the input, the output and the kernel, channels included."""
_MOST_BEFORE_CROP = 2**16
"""Samples of the output before padding crops it, for each channel."""
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """An input, a kernel, and the settings of the layer, one number per axis. Made by `example`."""

    input: Grid
    kernel: Grid
    stride: Sizes
    padding: Sizes
    output_padding: Sizes
    dilation: Sizes
    output_sizes: Sizes

    @property
    def axes(self) -> int:
        """1 or 2."""
        return len(self.stride)

    @property
    def layer(self) -> TransposedConvolution:
        """The layer, as torch writes it."""
        return TransposedConvolution(
            self.axes,
            in_channels=self.kernel.shape[0],
            out_channels=self.kernel.shape[1],
            kernel_size=collapsed(self.kernel.shape[2:]),
            stride=collapsed(self.stride),
            padding=collapsed(self.padding),
            output_padding=collapsed(self.output_padding),
            bias=False,
            dilation=collapsed(self.dilation),
        )

    @property
    def span(self) -> Sizes:
        """Samples from the kernel's first tap to its last, dilation included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel.shape[2:], strict=True))

    @property
    def canvas_sizes(self) -> Sizes:
        """Of the output before padding crops it: output_padding included, and room for every contribution."""
        return tuple(
            max((n - 1) * s + span, p + out)
            for n, s, span, p, out in zip(
                self.input.shape[1:], self.stride, self.span, self.padding, self.output_sizes, strict=True
            )
        )

    @property
    def kept(self) -> tuple[slice, ...]:
        """The part of the canvas that is the output."""
        return (slice(None), *(slice(p, p + out) for p, out in zip(self.padding, self.output_sizes, strict=True)))


def example(
    input_: Grid,
    kernel: Grid,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    channels: tuple[int, int] | None = None,
) -> Example:
    """A small example, checked.

    Args:
        input_: (*sizes) or (in_channels, *sizes).
        kernel: (*kernel_size) or (in_channels, out_channels, *kernel_size), of one or two axes.
        channels: (in, out), to make a one-channel example into one of several: channel i of the input is the input plus
            i, and the kernel from channel i to channel o is the kernel plus i * out + o.

    Raises:
        GeometryError: where torch would refuse.
        UsageError: if the arrays do not fit together, or are not small.

    >>> example(np.array([[0.0, 1], [2, 3]]), np.array([[0.0, 1], [2, 3]]), stride=2).output_sizes
    (4, 4)
    """
    if kernel.ndim not in (1, 2, 3, 4):
        raise UsageError(f"a kernel with {kernel.ndim} levels of brackets", "one for each axis, and two for channels")
    axes = kernel.ndim if kernel.ndim <= 2 else kernel.ndim - 2
    if channels is not None:
        input_, kernel = _several_channels(input_, kernel, channels, axes)
    kernel = kernel if kernel.ndim > 2 else kernel[None, None]
    input_ = input_ if input_.ndim > axes else input_[None]
    if input_.ndim != axes + 1:
        raise UsageError(f"an input of shape {input_.shape} for a kernel of {axes} axes", "give both the same axes")
    if len(input_) != len(kernel):
        raise UsageError(
            f"the input has {len(input_)} channels, the kernel takes {len(kernel)}", "give both the same in_channels"
        )
    kernel_size = kernel.shape[2:]
    settings = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    layer = TransposedConvolution(axes, kernel_size=kernel_size, **settings)  # type: ignore[arg-type]
    output_sizes = layer.output_sizes(input_.shape[1:])
    each = {name: _per_axis(value, axes) for name, value in settings.items()}
    outputs = kernel.shape[1] * int(np.prod(output_sizes))
    for count, most, what in (
        (input_.size, MOST_INPUTS, "input"),
        (kernel.size, MOST_TAPS, "kernel"),
        (outputs, MOST_OUTPUTS, "output"),
    ):
        if count > most:
            raise UsageError(
                f"{count} numbers in the {what} are no small example", f"use {most} or fewer, or tconv run"
            )
    shown = Example(input_, kernel, output_sizes=output_sizes, **each)
    before_crop = prod(shown.canvas_sizes)
    if before_crop > _MOST_BEFORE_CROP:
        raise UsageError(f"padding crops {before_crop} samples", "use a smaller stride, dilation or padding")
    return shown


def _several_channels(input_: Grid, kernel: Grid, channels: tuple[int, int], axes: int) -> tuple[Grid, Grid]:
    into, out = channels
    if kernel.ndim > 2 or input_.ndim != axes:
        raise UsageError("the arrays have channels of their own", "leave out --channels")
    if min(channels) < 1:
        raise GeometryError(f"channels {into},{out} are too few", "use 1 or more")
    if into * input_.size > MOST_INPUTS or into * out * kernel.size > MOST_TAPS:
        raise UsageError(f"{into} to {out} channels are no small example", "use fewer channels")
    several = np.arange(into * out, dtype=np.float64).reshape(into, out, *(1,) * axes)
    return np.arange(into, dtype=np.float64).reshape(into, *(1,) * axes) + input_, kernel + several


def _per_axis(value: int | Sequence[int], axes: int) -> Sizes:
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * axes if len(numbers) == 1 else numbers
