"""An input, a kernel and a transposed convolution, small enough to show all numbers.

Arrays are float64. An input is (in_channels, *sizes). A kernel is (in_channels, out_channels, *kernel_size), as in
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from upsample_cli.errors import GeometryError, Setting, UsageError
from upsample_cli.geometry.axes import collapsed
from upsample_cli.tconv.explain.grids import Grid
from upsample_cli.tconv.layers.convolution import TransposedConvolution

MOST_INPUTS, MOST_OUTPUTS, MOST_TAPS = 64, 1024, 512
"""The most numbers in the input, the output or the kernel of an example, channels included."""
_MOST_BEFORE_CROP = 2**16
"""The most samples of one output channel before padding crops it."""
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """An input, a kernel, and the layer without bias. `example` makes it."""

    input: Grid
    kernel: Grid
    layer: TransposedConvolution

    @property
    def output_sizes(self) -> Sizes:
        """Sizes of the output."""
        return self.layer.output_sizes(self.input.shape[1:])

    @property
    def canvas_sizes(self) -> Sizes:
        """Sizes of the output before padding crops it, with output_padding and space for all contributions."""
        return tuple(
            max((size - 1) * axis.stride + axis.span, axis.padding + output)
            for axis, size, output in zip(self.layer.each_axis, self.input.shape[1:], self.output_sizes, strict=True)
        )

    @property
    def kept(self) -> tuple[slice, ...]:
        """The part of the canvas that remains as the output."""
        ends = zip(self.layer.each_axis, self.output_sizes, strict=True)
        return (slice(None), *(slice(axis.padding, axis.padding + output) for axis, output in ends))


def example(
    input_: Grid,
    kernel: Grid,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    channels: tuple[int, int] | None = None,
    axes: int | None = None,
) -> Example:
    """Make a small example, and check it.

    Args:
        input_: (*sizes) or (in_channels, *sizes).
        kernel: (*kernel_size) or (in_channels, out_channels, *kernel_size).
        stride, padding, output_padding, dilation: settings of the layer, one number or one for each axis.
        channels: (in, out), to make an example with several channels from one with a single channel: channel i of the
            input is the input plus i, and the kernel from channel i to channel o is the kernel plus i * out + o.
        axes: 1, 2 or 3; None if the kernel has one or two axes, with or without channels.

    Raises:
        GeometryError: if torch would refuse the settings.
        UsageError: if the arrays do not fit together, or are too large.

    >>> example(np.array([[0.0, 1], [2, 3]]), np.array([[0.0, 1], [2, 3]]), stride=2).output_sizes
    (4, 4)
    """
    input_, kernel = with_channels(input_, kernel, channels, axes, inputs_at=0)
    axes = kernel.ndim - 2
    layer = TransposedConvolution(
        axes,
        kernel_size=collapsed(kernel.shape[2:]),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )
    layer.output_sizes(input_.shape[1:])  # raises an error for illegal settings
    layer = TransposedConvolution.along(
        layer.each_axis, in_channels=kernel.shape[0], out_channels=kernel.shape[1], bias=False
    )
    shown = Example(input_, kernel, layer)
    refuse_large(input_, kernel, kernel.shape[1] * prod(shown.output_sizes))
    before_crop = prod(shown.canvas_sizes)
    if before_crop > _MOST_BEFORE_CROP:
        raise UsageError(f"padding crops {before_crop} samples", "use a smaller stride, dilation or padding")
    return shown


def with_channels(
    input_: Grid, kernel: Grid, channels: tuple[int, int] | None, axes: int | None, *, inputs_at: int
) -> tuple[Grid, Grid]:
    """The input as (in_channels, *sizes), and the kernel with two axes for channels.

    Args:
        input_, kernel, channels, axes: as in `example`.
        inputs_at: which axis of a kernel with channels is that of the input's: 0 in a transposed convolution, 1 in an
            ordinary one.

    Raises:
        UsageError: the arrays do not fit together.
    """
    if axes is None:
        axes = kernel.ndim if kernel.ndim <= 2 else kernel.ndim - 2
    if axes not in (1, 2, 3) or kernel.ndim not in (axes, axes + 2):
        raise UsageError(f"a kernel with {kernel.ndim} levels of brackets", "one for each axis, and two for channels")
    if channels is not None:
        input_, kernel = _several_channels(input_, kernel, channels, axes)
        kernel = kernel.swapaxes(0, inputs_at)
    kernel = kernel if kernel.ndim > axes else kernel[None, None]
    input_ = input_ if input_.ndim > axes else input_[None]
    if input_.ndim != axes + 1:
        raise UsageError(f"an input of shape {input_.shape} for a kernel of {axes} axes", "give both the same axes")
    if len(input_) != kernel.shape[inputs_at]:
        raise UsageError(
            f"the input has {len(input_)} channels, the kernel takes {kernel.shape[inputs_at]}",
            "give both the same in_channels",
        )
    return input_, kernel


def refuse_large(input_: Grid, kernel: Grid, outputs: int) -> None:
    """Refuse an example that is not small; `outputs` counts the numbers in the output.

    Raises:
        UsageError: the input, the kernel or the output is too large.
    """
    for count, most, what in (
        (input_.size, MOST_INPUTS, "input"),
        (kernel.size, MOST_TAPS, "kernel"),
        (outputs, MOST_OUTPUTS, "output"),
    ):
        if count > most:
            raise UsageError(
                f"{count} numbers in the {what} are not a small example", f"use {most} or fewer, or tconv run"
            )


def _several_channels(input_: Grid, kernel: Grid, channels: tuple[int, int], axes: int) -> tuple[Grid, Grid]:
    into, out = channels
    if kernel.ndim > axes or input_.ndim != axes:
        raise UsageError("the arrays have channels of their own", ("leave out ", Setting("channels")))
    if min(channels) < 1:
        raise GeometryError(f"channels {into},{out} are too few", "use 1 or more")
    if into * input_.size > MOST_INPUTS or into * out * kernel.size > MOST_TAPS:
        raise UsageError(f"{into} to {out} channels are not a small example", "use fewer channels")
    several = np.arange(into * out, dtype=np.float64).reshape(into, out, *(1,) * axes)
    return np.arange(into, dtype=np.float64).reshape(into, *(1,) * axes) + input_, kernel + several
