"""Common functions for writing a layer of any framework. No torch.

The full result along an axis has `(size-1)*stride + span` outputs, counted from the first tap of the first input. A
layer crops `before` of them at the start and `after` at the end; a negative `after` adds outputs that no tap reaches.
In PyTorch, `before = padding` and `after = padding - output_padding`. Frameworks crop differently. A layer with the
right size and another crop would be shifted by some pixels, so the crop is translated, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.geometry.axes import collapsed
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution

CROP_LINE = "then cut off at the end: "
"""The start of a line that says how many samples to crop on each axis."""
Crop = tuple[tuple[int, int], ...]
"""Samples to crop (before, after) on each axis."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A layer translated to another framework.

    Args:
        text: the lines to write.
        axes: the framework's layer along each axis; the taps include zeros_after.
        zeros_after: zeros to append to the kernel at the end of each axis.
        order: order of the weight's axes, as a permutation of PyTorch's (in, out/groups, kernel...).
        crop: the crop (before, after) for each axis after the framework's layer.
        spread: dilation is replaced by zeros between the taps, because the framework does not support it.
        dense: groups are replaced by zeros between the blocks.
        weight_note: a sentence about the weights if they are not a permutation of PyTorch's.
    """

    text: tuple[str, ...]
    axes: tuple[LayerAxis, ...]
    zeros_after: tuple[int, ...]
    order: tuple[int, ...]
    crop: Crop
    spread: bool = False
    dense: bool = False
    weight_note: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Further steps for a user who has PyTorch's weights, one sentence each."""
        return (*self.changes, self.weight_note or weights_sentence("PyTorch", self.order))

    @property
    def changes(self) -> tuple[str, ...]:
        """What changes in the kernel before its axes are permuted, one sentence each."""
        notes = []
        if self.dense:
            notes.append("there are no groups: give dense weights, with zeros outside the blocks of the groups")
        if self.spread:
            notes.append(
                "dilation is written out, because it is refused together with a stride: put zeros between the taps"
            )
        if any(self.zeros_after):
            zeros = written(self.zeros_after)
            notes.append(f"append {zeros} taps of 0 to the kernel at the end, which output_padding reaches")
        return tuple(notes)


def weights_sentence(source: str, order: tuple[int, ...], *, flipped: bool = False) -> str:
    """How to permute the weights of `source`; `flipped`: also reverse them along the axes of the kernel.

    >>> weights_sentence("PyTorch", (0, 1, 2, 3))
    'weights: (in, out/groups, kernel...), as in PyTorch'
    """
    is_own = source == "PyTorch"
    if order != tuple(range(len(order))):
        owner = "PyTorch's" if is_own else f"those of {source}"
        flip = "then flip the kernel's axes" if flipped else "no flip"
        return f"weights: {owner} permuted by {order}{', data channels last' if is_own else ''}; {flip}"
    if flipped:
        return f"weights: as in {source}, with the kernel's axes flipped"
    return f"weights: {'(in, out/groups, kernel...), ' if is_own else ''}as in {source}"


def channels_text(layer: TransposedConvolution | Convolution) -> tuple[str, str]:
    """The code of in_channels and out_channels; IN and OUT stand for numbers that are not known."""
    return str(layer.in_channels or "IN"), str(layer.out_channels or "OUT")


def in_torch_order(
    text: Sequence[str], axes: tuple[LayerAxis, ...], zeros_after: tuple[int, ...], crop_after: Sequence[int] = ()
) -> Translation:
    """The translation to a framework whose weights have PyTorch's order.

    Args:
        text: the lines of the layer.
        axes: the framework's layer along each axis.
        zeros_after: see `Translation`.
        crop_after: samples to crop at the end of each axis after the framework's layer. A line is added that says so.
    """
    after = tuple(crop_after) or (0,) * len(axes)
    crop_line = [CROP_LINE + ", ".join(map(str, after))] if any(after) else []
    order, crop = tuple(range(len(axes) + 2)), tuple((0, count) for count in after)
    return Translation((*text, *crop_line), axes, zeros_after, order, crop)


def lengthened(
    axes: Sequence[LayerAxis], least_after: Callable[[LayerAxis], int]
) -> tuple[tuple[LayerAxis, ...], tuple[int, ...]]:
    """Append zeros to the kernel until each axis crops at least `least_after`; return the axes and how many zeros."""
    counts = tuple(max(0, -(-(least_after(axis) - axis.after) // axis.dilation)) for axis in axes)
    longer = (
        replace(
            axis,
            kernel_size=axis.kernel_size + count,
            output_padding=axis.output_padding - count * axis.dilation,
        )
        for axis, count in zip(axes, counts, strict=True)
    )
    return tuple(longer), counts


def least_below_stride(axis: LayerAxis) -> int:
    """The least crop at the end with which output_padding is below the stride; see `lengthened`."""
    return axis.before if axis.output_padding >= axis.stride else axis.after


def below_stride(layer: TransposedConvolution) -> tuple[tuple[LayerAxis, ...], tuple[int, ...]]:
    """Axes with an output_padding below the stride (only PyTorch accepts more), and the numbers of appended zeros."""
    return lengthened(layer.each_axis, least_below_stride)


def channels_last(layer: TransposedConvolution) -> Translation:
    """The translation to Keras and TensorFlow without its text: the layer with padding='valid', and the crop."""
    axes, spread = layer.each_axis, any(axis.dilation > 1 for axis in layer.each_axis)
    if spread:
        axes = tuple(replace(axis, kernel_size=axis.span, dilation=1) for axis in axes)
    # One input gives max(span, stride) outputs, each further input gives `stride`. For more outputs, zeros are
    # appended.
    axes, zeros = lengthened(
        axes, lambda axis: 0 if axis.span - axis.after > max(axis.span, axis.stride) else axis.after
    )
    crop: Crop = tuple((axis.before, axis.after + max(axis.span, axis.stride) - axis.span) for axis in axes)
    order = channels_last_order(layer.axes)
    return Translation((), axes, zeros, order, crop, spread=spread, dense=layer.groups > 1)


def channels_last_order(axes: int) -> tuple[int, ...]:
    """The order (kernel..., out, in) of Keras' and TensorFlow's weights; see `Translation`."""
    return (*range(2, 2 + axes), 1, 0)


def settings(axes: Sequence[LayerAxis]) -> dict[str, list[int]]:
    """Settings by PyTorch's names, one number for each axis. A negative output_padding becomes a separate crop."""
    return {
        "kernel_size": [axis.kernel_size for axis in axes],
        "stride": [axis.stride for axis in axes],
        "padding": [axis.before for axis in axes],
        "output_padding": [max(0, axis.output_padding) for axis in axes],
        "dilation": [axis.dilation for axis in axes],
    }


def written(values: Sequence[Any]) -> str:
    """The code of a setting: one number if all axes have the same, otherwise a tuple.

    >>> written([2, 2]), written([2, 3])
    ('2', '(2, 3)')
    """
    return repr(collapsed(values))


def options(**values: tuple[Sequence[Any] | Any, Any]) -> str:
    """The code `, name=value` for each value that is not the default.

    >>> options(stride=([2, 2], 1), padding=([0, 0], 0), groups=(4, 1))
    ', stride=2, groups=4'
    """
    texts = {
        name: (written(value) if isinstance(value, list) else repr(value), repr(default))
        for name, (value, default) in values.items()
    }
    return "".join(f", {name}={text}" for name, (text, default) in texts.items() if text != default)
