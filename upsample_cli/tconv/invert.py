"""Find the layers that restore the input sizes of a chain of layers, for `tconv invert`. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import collapsed
from upsample_cli.tconv.layers.convolution import CONV_SETTINGS, Convolution, TransposedConvolution
from upsample_cli.tconv.layers.mixing import Mixing
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.plain import Shuffling, SizeKeeping
from upsample_cli.tconv.layers.pooling import Pooling
from upsample_cli.tconv.shape import Step, shape, size_text
from upsample_cli.tconv.size_pattern import AxisFit, fit_json


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The layer that restores the input size of a layer from its output size.

    Args:
        of: the layer whose input size is restored.
        layer: the restoring layer, with the output_padding that this size needs.
        sizes: input sizes of `of`.
        crop: samples to crop at the end of each axis afterwards, if no setting is exact.
    """

    of: Layer
    layer: Layer
    sizes: tuple[int, ...]
    crop: tuple[int, ...]

    @property
    def output_padding(self) -> tuple[int, ...]:
        """The output_padding of the layer for each axis."""
        return tuple(axis.output_padding for axis in self.layer.along_axes(self.sizes) if axis is not None)


@dataclass(frozen=True, slots=True)
class Inversion:
    """The decoder of a chain for one size.

    Args:
        sizes: sizes of the chain's input.
        smallest: sizes of the chain's output.
        decoder: the layers of the decoder, in the order in which they run.
    """

    sizes: tuple[int, ...]
    smallest: tuple[int, ...]
    decoder: tuple[Mirrored, ...]

    @property
    def output_paddings(self) -> tuple[Any, ...]:
        """The output_padding and the crop of each layer. Sizes for which they are equal can use the same decoder."""
        return tuple((one.output_padding, one.crop) for one in self.decoder)


def invert(layers: Sequence[Layer], sizes: Sequence[int]) -> Inversion:
    """The decoder that mirrors a chain of layers for one size, without the layers that keep the size.

    Convolutions and pooling become transposed convolutions with the same settings and the output_padding
    `(size + 2*padding - dilation*(kernel_size-1) - 1) % stride`; transposed convolutions become convolutions.

    Raises:
        GeometryError: if a layer is illegal for its size, or cannot be mirrored.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> for size in (224, 225):
    ...     print(invert([parse_layer("Conv1d(3, 16, 3, stride=2, padding=1)")], (size,)).decoder[0].layer)
    ConvTranspose1d(16, 3, kernel_size=3, stride=2, padding=1, output_padding=1)
    ConvTranspose1d(16, 3, kernel_size=3, stride=2, padding=1)
    """
    steps = shape(sizes, layers)
    decoder = [_mirrored(step) for step in reversed(steps) if not isinstance(step.layer, SizeKeeping)]
    if not decoder:
        raise GeometryError("no layer here changes a size", "give a Conv, pooling or ConvTranspose layer")
    return Inversion(_numbers(sizes), _numbers(steps[-1].output), tuple(decoder))


def padding_multiple(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """The multiples to which the input must be padded along each axis, so that one decoder works for every size.

    They are the products of the strides: sizes that differ by such a multiple have the same remainders in every layer.
    None if the chain enlarges.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> padding_multiple([parse_layer("Conv2d(3, 8, 3, 2, 1)"), parse_layer("MaxPool2d((2, 3))")])
    (4, 6)
    """
    axes = next((layer.axes for layer in layers if layer.axes is not None), 1)
    products = [1] * axes
    for layer in layers:
        if isinstance(layer, Mixing):
            return None
        for number, axis in enumerate(layer.along_axes((2**20,) * axes)):
            if axis is None or (axis.transposed and axis.stride > 1):
                return None
            products[number] *= axis.stride
    return tuple(products)


def same_settings_reverse(layer: Layer, sizes: Sequence[int]) -> bool:
    """Whether a transposed layer with exactly the same settings and without output_padding restores the size.

    "The same settings always reverse a convolution's shape" is often written. It is true only if
    `(size + 2*padding - dilation*(kernel_size-1) - 1) % stride == 0` on every axis.

    >>> [same_settings_reverse(Convolution(1, kernel_size=3, stride=2, padding=1), (size,)) for size in (224, 225)]
    [False, True]
    """
    (mirrored,) = invert([layer], sizes).decoder
    return not any((*mirrored.output_padding, *mirrored.crop))


def code(inversion: Inversion) -> tuple[str, ...]:
    """Python code that runs the decoder for this size: one line for each layer, then one line for each call.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> for line in code(invert([parse_layer("Conv1d(3, 16, 3, stride=2, padding=1)")], (224,))):
    ...     print(line)
    up1 = nn.ConvTranspose1d(16, 3, kernel_size=3, stride=2, padding=1)
    y = up1(x, output_size=(224,))
    """
    made, called = [], []
    for number, one in enumerate(inversion.decoder, start=1):
        source = "x" if number == 1 else "y"
        if isinstance(one.layer, TransposedConvolution) and not any(one.crop):
            made.append(f"up{number} = nn.{_written(replace(one.layer, output_padding=0))}")
            called.append(f"y = up{number}({source}, output_size={one.sizes})")
        else:
            made.append(f"up{number} = nn.{_written(one.layer)}")
            kept = "".join(f", :{size}" for size in one.sizes)
            called.append(f"y = up{number}({source})" + (f"[:, :{kept}]" if any(one.crop) else ""))
    return (*made, *called)


def as_json(
    inversions: Sequence[Inversion],
    multiple: Sequence[int] | None,
    notes: Sequence[str] = (),
    given_back: Sequence[Sequence[AxisFit] | None] = (),
) -> dict[str, Any]:
    """Inversions for several sizes as one document for programs, with the result of `sizes_given_back` for each."""
    return {
        "one_decoder_serves_all": len({inversion.output_paddings for inversion in inversions}) == 1,
        "pad_input_to_multiple_of": None if multiple is None else list(multiple),
        "remarks": list(notes),
        "sizes": [
            {
                "size": list(inversion.sizes),
                "smallest": list(inversion.smallest),
                "decoder": [
                    {
                        "layer": str(one.layer),
                        "inverts": str(one.of),
                        "output": list(one.sizes),
                        "output_padding": list(one.output_padding),
                        "crop": list(one.crop),
                    }
                    for one in inversion.decoder
                ],
                "code": list(code(inversion)),
                "gives_back": None if fits is None else [fit_json(fit) for fit in fits],
            }
            for inversion, fits in zip(inversions, given_back or [None] * len(inversions), strict=True)
        ],
    }


def _written(layer: Layer) -> str:
    """The text of a layer, with C for unknown channels, for example if the chain starts with pooling."""
    text = str(layer)
    unknown = isinstance(layer, TransposedConvolution) and layer.in_channels is None
    return text.replace("(", "(C, C, ", 1) if unknown else text


def _mirrored(step: Step) -> Mirrored:
    layer, before, after = step.layer, _numbers(step.input), _numbers(step.output)
    if isinstance(layer, Shuffling):
        other = {"PixelShuffle": "PixelUnshuffle", "PixelUnshuffle": "PixelShuffle"}[layer.name]
        return Mirrored(layer, Shuffling(other, layer.factor), before, (0, 0))
    if isinstance(layer, TransposedConvolution):
        return Mirrored(layer, _convolution_back(layer, before, after), before, (0,) * layer.axes)
    if isinstance(layer, Convolution | Pooling):
        return _transposed_back(layer, step.channels, before, after)
    raise GeometryError(f"{layer.name} cannot be inverted by a transposed convolution", "leave it out, or crop by hand")


def _convolution_back(layer: TransposedConvolution, before: tuple[int, ...], after: tuple[int, ...]) -> Convolution:
    back = Convolution(
        layer.axes,
        in_channels=layer.out_channels,
        out_channels=layer.in_channels,
        **{name: getattr(layer, name) for name in (*CONV_SETTINGS, "groups", "bias")},
    )
    if back.output_sizes(after) != before:  # output_padding is at least the stride, which a larger dilation allows
        raise GeometryError(
            f"{back} gives {size_text(back.output_sizes(after))} from {size_text(after)}, not {size_text(before)}",
            "use an output_padding below the stride",
        )
    return back


def _transposed_back(
    layer: Convolution | Pooling, channels: int | None, before: tuple[int, ...], after: tuple[int, ...]
) -> Mirrored:
    into, out = (channels, channels) if isinstance(layer, Pooling) else (layer.out_channels, layer.in_channels)
    plain = TransposedConvolution.along(
        [replace(axis, output_padding=0, transposed=True) for axis in layer.each_axis],
        in_channels=into,
        out_channels=out,
        groups=layer.groups if isinstance(layer, Convolution) else channels or 1,
        bias=layer.bias if isinstance(layer, Convolution) else True,
    )
    # Without output_padding nothing may remain, so sizes are not checked here.
    missing = [size - axis.output_size(given) for size, axis, given in zip(before, plain.each_axis, after, strict=True)]
    needed = collapsed(max(0, count) for count in missing)
    exact = replace(plain, output_padding=needed)
    return Mirrored(layer, exact, before, tuple(max(0, -count) for count in missing))


def _numbers(sizes: Sequence[Any]) -> tuple[int, ...]:
    if not all(isinstance(size, int) for size in sizes):
        raise GeometryError("the size is a letter", "give the size in numbers")
    return tuple(sizes)
