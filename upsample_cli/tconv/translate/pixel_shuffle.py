"""A transposed convolution as a convolution and `nn.PixelShuffle`, and back. No torch.

Along an axis, an output is before the crop at `q*s + r` with `0 <= r < s`, and tap `r + s*j` takes it from input
`q - j`. So phase r is an ordinary convolution of stride 1 with the taps r, r + s, r + 2s ..., and PixelShuffle
interleaves the phases. With `taps = ceil(span / s)`, the convolution gives all q with padding `taps - 1`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model_text import parse_model
from upsample_cli.tconv.layers.plain import Shuffling
from upsample_cli.tconv.translate.restored import Restored, Sizes
from upsample_cli.tconv.translate.writing import Translation, options, written

_RESULT = re.compile(r"^y = \w+\(x\)(?:\[:, :, ([0-9]*):(-[0-9]+)?, ([0-9]*):(-[0-9]+)?\])?\s*$", re.MULTILINE)
"""The line that names the crop, as this module writes it."""
_EXAMPLE = "write for example nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.PixelShuffle(2))"


@dataclass(frozen=True, slots=True)
class ShuffledAxis:
    """The convolution along an axis, and the crop after PixelShuffle.

    Args:
        taps: kernel_size of the convolution.
        padding: its padding at both ends.
        before, after: samples to crop after PixelShuffle.
    """

    taps: int
    padding: int
    before: int
    after: int


def shuffled_axis(axis: LayerAxis) -> ShuffledAxis:
    """The convolution that replaces a transposed one along an axis.

    >>> shuffled_axis(LayerAxis(4, 2, 1, transposed=True))
    ShuffledAxis(taps=2, padding=1, before=1, after=1)
    """
    stride = axis.stride
    taps = max(1, -(-max(axis.span, axis.span - axis.after) // stride))
    after = taps * stride - axis.span + axis.after
    less = min(taps - 1, axis.before // stride, after // stride)
    return ShuffledAxis(taps, taps - 1 - less, axis.before - less * stride, after - less * stride)


def to_pixel_shuffle(layer: TransposedConvolution) -> Translation:
    """Write the convolution, PixelShuffle and the crop.

    Raises:
        GeometryError: if PixelShuffle cannot do what the layer does.
    """
    stride = shuffle_factor(layer)
    axes = [shuffled_axis(axis) for axis in layer.each_axis]
    words = options(padding=([axis.padding for axis in axes], 0), groups=(layer.groups, 1), bias=(layer.bias, True))
    out_channels = f"{stride**2}*OUT" if layer.out_channels is None else str(layer.out_channels * stride**2)
    channels = f"{layer.in_channels or 'IN'}, {out_channels}"
    conv = f"nn.Conv2d({channels}, kernel_size={written([axis.taps for axis in axes])}{words})"
    crop = tuple((axis.before, axis.after) for axis in axes)
    kept = "".join(f", {before or ''}:{-after if after else ''}" for before, after in crop)
    lines = (
        f"up = nn.Sequential({conv}, nn.PixelShuffle({stride}))",
        f"y = up(x)[:, :{kept}]" if any(map(any, crop)) else "y = up(x)",
    )
    return Translation(lines, layer.each_axis, (0, 0), (), crop, weight_note=weight_note(stride))


def weight_note(factor: int) -> str:
    """How the weights of the two forms correspond."""
    return (
        f"weights: channel ({factor}*o + r)*{factor} + c of the convolution has the taps "
        f"[{factor}*i + r, {factor}*j + c] of output channel o of the transposed convolution, in reverse order"
    )


def shuffle_factor(layer: TransposedConvolution) -> int:
    """The factor of PixelShuffle, which is the stride of the layer.

    Raises:
        GeometryError: if the layer does not have 2 axes of one stride.
    """
    strides = {axis.stride for axis in layer.each_axis}
    if layer.axes != 2:
        raise GeometryError(f"PixelShuffle has 2 axes, {layer.name} has {layer.axes}", "give a ConvTranspose2d")
    if len(strides) > 1:
        raise GeometryError(
            "PixelShuffle enlarges both axes by one factor, and the strides differ", "use one stride for both axes"
        )
    return strides.pop()


def from_pixel_shuffle(text: str, _sizes: Sizes = None) -> Restored:
    """Read a Conv2d and a PixelShuffle, as PyTorch writes them, and the crop that `to_pixel_shuffle` writes."""
    found = _RESULT.search(text)
    crop = [abs(int(number or 0)) for number in (found.groups() if found else ("",) * 4)]
    conv, factor = pixel_shuffle_layers(without_result(text))
    axes = [_restored_axis(axis, factor) for axis in conv.each_axis]
    if any(axis.padding < 0 for axis in axes):
        raise GeometryError(
            "the convolution pads more than its kernel reaches, so the outermost results are only the bias",
            "use a padding of dilation*(kernel_size-1) or less",
        )
    out_channels = None if conv.out_channels is None else conv.out_channels // factor**2
    layer = TransposedConvolution.along(
        axes, in_channels=conv.in_channels, out_channels=out_channels, groups=conv.groups, bias=conv.bias
    )
    return _cropped(layer, crop)


def _cropped(layer: TransposedConvolution, crop: Sequence[int]) -> Restored:
    """The layer with a crop (before, after, before, after) in its padding, as far as PyTorch allows."""
    whole = Restored(layer, tuple(crop[1::2]), tuple(crop[::2])).whole
    paddings = [(min(axis.before, axis.after), axis) for axis in whole.each_axis]
    axes = [LayerAxis(axis.kernel_size, axis.stride, padding, transposed=True) for padding, axis in paddings]
    rest = [(axis.before - padding, axis.after - padding) for padding, axis in paddings]
    for number, (before, after) in enumerate(rest):
        if 0 < before < axes[number].stride:  # what output_padding expresses
            one = axes[number]
            axes[number] = LayerAxis(one.kernel_size, one.stride, one.padding + before, before, transposed=True)
            rest[number] = (0, after)
    made = TransposedConvolution.along(
        axes, in_channels=layer.in_channels, out_channels=layer.out_channels, groups=layer.groups, bias=layer.bias
    )
    made.check_settings()
    note = weight_note(layer.each_axis[0].stride)
    return Restored(made, tuple(after for _, after in rest), tuple(before for before, _ in rest), weight_note=note)


def _restored_axis(axis: LayerAxis, factor: int) -> LayerAxis:
    """The transposed convolution along an axis; its padding is negative if there is none."""
    if axis.before != axis.after:
        raise GeometryError("the convolution pads the two ends differently", "write its padding as a number")
    return LayerAxis(axis.span * factor, factor, factor * (axis.reach - axis.before), transposed=True)


def without_result(text: str) -> str:
    """A text without the line that names the crop."""
    return _RESULT.sub("", text, count=1)


def pixel_shuffle_layers(text: str) -> tuple[Convolution, int]:
    """The convolution and the factor of a text with a Conv2d and a PixelShuffle.

    Raises:
        UsageError: if the text has other layers.
        GeometryError: if the layers do not fit, or are not equivalent to a transposed convolution.
    """
    layers = list(parse_model(text))
    match layers:
        case [Convolution() as conv, Shuffling(name="PixelShuffle", factor=factor)]:
            pass
        case _:
            raise UsageError("this is not a Conv2d followed by a PixelShuffle", _EXAMPLE)
    if conv.axes != 2 or any(axis.stride != 1 for axis in conv.each_axis) or conv.padding_mode != "zeros":
        raise GeometryError(
            f"no transposed convolution is equivalent to {conv}", "give a Conv2d of stride 1 that pads with zeros"
        )
    if conv.out_channels is not None and conv.out_channels % (factor**2 * conv.groups):
        raise GeometryError(
            f"{conv.out_channels} channels are not {factor**2} for each output of each of {conv.groups} groups",
            "give a multiple of factor**2 * groups",
        )
    return conv, factor
