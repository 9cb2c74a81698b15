"""Compute sizes through a chain of layers and show the arithmetic, for `tconv shape`. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from upsample_cli.errors import GeometryError, joined
from upsample_cli.geometry.axes import axis_names, collapsed, located, split_axes
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.chain import Chain
from upsample_cli.geometry.sizes import MAX_SIZE, output_padding_for, output_size_range
from upsample_cli.tconv.layers.convolution import CONV_SETTINGS, TransposedConvolution
from upsample_cli.tconv.layers.mixing import Mixing, outputs
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.plain import SizeKeeping
from upsample_cli.tconv.layers.symbolic import Size, Symbolic

BYTES_PER_NUMBER = 4
"""Activations are counted as float32."""


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of a chain, for one input size.

    Args:
        input: sizes before the layer, in a tensor's order.
        output: sizes after the layer.
        along: the layer along each axis; None if it is not uniform along the axis.
        formulas: for each axis, the formula with numbers and result.
        input_channels: channels before the layer; None if unknown.
        channels: channels after the layer; None if unknown.
        shift: for each axis, the shift by this layer in pixels of its output; None if it is not uniform.
        total_shift: for each axis, the shift by the chain up to this layer; None if it is not uniform.
        receptive_field: for each axis, the samples of the chain's input that one output can see, from the first to the
            last; None if it is not uniform.
        parameters: number of learned parameters; None if channels are unknown.
        multiply_adds: multiply-adds for the whole batch; None if channels or sizes are unknown.
        memory_bytes: bytes of the output for the whole batch, in float32; None if channels or sizes are unknown.
    """

    layer: Layer
    input: tuple[Size, ...]
    output: tuple[Size, ...]
    along: tuple[LayerAxis | None, ...]
    formulas: tuple[str, ...]
    input_channels: int | None
    channels: int | None
    shift: tuple[Fraction | None, ...]
    total_shift: tuple[Fraction | None, ...]
    receptive_field: tuple[int | None, ...]
    parameters: int | None
    multiply_adds: int | None
    memory_bytes: int | None


def shape(
    sizes: Sequence[Size], layers: Sequence[Layer], *, channels: int | None = None, batch: int = 1
) -> tuple[Step, ...]:
    """Compute the sizes after each layer of a chain.

    Args:
        sizes: one number (or letter) for each axis, in a tensor's order: (length,), (height, width) or
            (depth, height, width).
        layers: at least one layer. Their channels must agree.
        channels: channels of the input; None if unknown, so that the first layer may have any number.
        batch: number of images, by which costs are multiplied.

    Raises:
        GeometryError: if torch would refuse a layer; the message names it.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> [step.output for step in shape((50, 100), [parse_layer("ConvTranspose2d(8, 3, 4, 2, 1)")])]
    [(100, 200)]
    """
    steps: list[Step] = []
    before = tuple(sizes)
    chains: list[Chain | None] = [Chain() for _ in before]
    _check_numbers("number of images", batch)
    for number, layer in enumerate(layers, start=1):
        with located(f"layer {number}, {layer.name}" if len(layers) > 1 else layer.name):
            if layer.axes not in (None, len(before)) and (before or layer.name not in {"BatchNorm1d", "Dropout1d"}):
                count = "1 axis" if len(before) == 1 else f"{len(before) or 'no'} axes"
                raise GeometryError(
                    f"the size {size_text(before)} has {count}, this layer works on {layer.axes}",
                    f"write it as {'x'.join(name.upper() for name in axis_names(layer.axes or 0))}",
                )
            entering = channels
            channels, after = outputs(layer, channels, before)
            _check_numbers("size", *before)
            _check_numbers("output size", *after)
            _check_numbers("number of channels", channels)
            axes = layer.along_axes(before)
            if len(before) != len(after):
                chains = [None] * len(after)
            chains = [
                None if chain is None or axis is None else chain.after(axis)
                for chain, axis in zip(chains, axes, strict=True)
            ]
            steps.append(_step(layer, before, after, axes, (entering, channels), chains, batch))
        before = after
    return tuple(steps)


def _check_numbers(what: str, *numbers: Size | None) -> None:
    """Refuse sizes that a tensor cannot have. Most layers refuse them earlier, with more specific messages."""
    for number in numbers:
        if isinstance(number, int) and number < 1:
            raise GeometryError(f"the {what} {number} is too small", "use 1 or more")
        if isinstance(number, int) and number > MAX_SIZE:
            raise GeometryError(f"the {what} is too large", "no axis of a tensor can be longer than 2^63 - 1")


def _step(
    layer: Layer,
    before: tuple[Size, ...],
    after: tuple[Size, ...],
    axes: Sequence[LayerAxis | None],
    both_channels: tuple[int | None, int | None],
    chains: Sequence[Chain | None],
    batch: int,
) -> Step:
    entering, channels = both_channels
    numbers_before = [size for size in before if isinstance(size, int)]
    numbers_after = [size for size in after if isinstance(size, int)]
    counted = len(numbers_before) == len(before) and len(numbers_after) == len(after)
    if not counted:
        multiply_adds = None
    elif isinstance(layer, Mixing):
        multiply_adds = layer.multiply_adds_of(entering, numbers_before)
    else:
        multiply_adds = layer.multiply_adds(numbers_before, numbers_after)
    return Step(
        layer=layer,
        input=before,
        output=after,
        along=tuple(axes),
        formulas=tuple(map(str, after)) if isinstance(layer, Mixing) else layer.formulas(before),
        input_channels=entering,
        channels=channels,
        shift=tuple(None if axis is None else axis.shift for axis in axes),
        total_shift=tuple(None if chain is None else chain.shift for chain in chains),
        receptive_field=tuple(None if chain is None else chain.receptive_field for chain in chains),
        parameters=layer.parameters,
        multiply_adds=None if multiply_adds is None else batch * multiply_adds,
        memory_bytes=batch * channels * prod(numbers_after) * BYTES_PER_NUMBER if counted and channels else None,
    )


def with_output_size(
    sizes: Sequence[Size],
    layers: Sequence[Layer],
    output_size: int | Sequence[int],
    *,
    channels: int | None = None,
    batch: int | None = None,
) -> tuple[Layer, ...]:
    """The layers, where the last has the output_padding that `output_size=` in its call would set in PyTorch.

    Layers after it that keep the size, such as an activation, do not count.

    Args:
        output_size: one size, or one for each axis, after channels, or after batch and channels if there is a batch.
        batch: number of images; None if unknown.

    Raises:
        GeometryError: if the last layer is not transposed or cannot give this size; the message names possible sizes.

    >>> layers = with_output_size((112,), [TransposedConvolution(1, kernel_size=3, stride=2, padding=1)], 224)
    >>> print(layers[0])
    ConvTranspose1d(kernel_size=3, stride=2, padding=1, output_padding=1)
    """
    place = max((at for at, layer in enumerate(layers) if not isinstance(layer, SizeKeeping)), default=0)
    last = layers[place]
    if not isinstance(last, TransposedConvolution):
        raise GeometryError(f"{last.name} takes no output_size", "only a transposed convolution at the end does")
    entering = shape(sizes, layers[:place], channels=channels)[-1].output if place else tuple(sizes)
    before = [size for size in entering if isinstance(size, int)]
    if len(before) != last.axes:
        raise GeometryError("output_size needs an input in numbers", "give the size in numbers")
    wanted = output_size if isinstance(output_size, int) else _without_channels(last, output_size, batch)
    axes = [{name: getattr(axis, name) for name in CONV_SETTINGS} for axis in last.each_axis]
    names = [f": {name}" if last.axes > 1 else "" for name in axis_names(last.axes)]
    legal, needed = list[range](), list[int]()
    for name, size, settings in zip(names, before, axes, strict=True):
        with located(last.name + name):
            legal.append(output_size_range(size, **settings))
    ends = [size_text(end) for end in ([sizes[0] for sizes in legal], [sizes[-1] for sizes in legal])]
    each = split_axes(last.axes, {"output_size": wanted})
    for name, size, settings, one in zip(names, before, axes, each, strict=True):
        try:
            needed.append(output_padding_for(size, one["output_size"], **settings))
        except GeometryError as error:
            step = f"use {' to '.join(dict.fromkeys(ends))}"
            raise GeometryError(joined(f"{last.name}{name}: ", error.cause), step) from error
    return (*layers[:place], replace(last, output_padding=collapsed(needed)), *layers[place + 1 :])


def _without_channels(layer: TransposedConvolution, output_size: Sequence[int], batch: int | None) -> Sequence[int]:
    """The sizes of the axes in an output_size that can begin with channels, or with a batch and channels."""
    extra = len(output_size) - layer.axes
    if extra != (1 if batch is None else 2):
        return output_size
    expected = (("batch", batch), ("channels", layer.out_channels))[-extra:]
    for (name, number), stated in zip(expected, output_size, strict=False):
        if number not in (None, stated):
            raise GeometryError(f"output_size {size_text(output_size)} begins with {name} {stated}", f"use {number}")
    return output_size[extra:]


def least_letter(sizes: Sequence[Size], layers: Sequence[Layer], *, channels: int | None = None) -> int | None:
    """The smallest value for the letters of a size; None if legal values are not given by a lower bound.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> least_letter((Symbolic("n"),), [parse_layer("Conv1d(1, 1, 7)"), parse_layer("MaxPool1d(2)")])
    8
    """

    def legal(value: int) -> bool:
        after: tuple[Size, ...] = tuple(size.at(value) if isinstance(size, Symbolic) else size for size in sizes)
        through = channels
        try:
            for layer in layers:
                through, after = outputs(layer, through, after)
        except GeometryError:
            return False
        return True

    low, high = 0, 2**24
    if any(layer.name == "PixelUnshuffle" for layer in layers) or not legal(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if legal(middle) else (middle, high)
    return high


def size_text(sizes: Sequence[Size]) -> str:
    """The text of sizes, as `symbolic.parse_size` reads it, with spaces around formulas.

    >>> size_text((50, 100)), size_text((Symbolic("n", 2, -1), 7)), size_text(())
    ('50x100', '2n-1 x 7', 'no axes')
    """
    if not sizes:
        return "no axes"
    apart = any(isinstance(size, Symbolic) and len(str(size)) > 1 for size in sizes)
    return (" x " if apart else "x").join(str(size) for size in sizes)
