"""MLX: PyTorch's formula with channels last, and without groups.

Source: MLX' documentation of ConvTranspose2d. A padding larger than `dilation*(kernel_size-1)` gives another size than
in PyTorch (seen in mlx 0.32), so it is never written.
"""

from __future__ import annotations

from dataclasses import replace

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.translate.arguments import Parameters, arguments, one_of
from upsample_cli.tconv.translate.reading import single_layer
from upsample_cli.tconv.translate.restored import Restored, Sizes, restored
from upsample_cli.tconv.translate.writing import (
    Translation,
    channels_text,
    in_torch_order,
    least_below_stride,
    lengthened,
    options,
    settings,
    written,
)

_NAMES = {f"ConvTranspose{axes}d": axes for axes in (1, 2, 3)}
_PARAMETERS = Parameters(
    ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "output_padding", "bias")
)


def _order(axes: int) -> tuple[int, ...]:
    """(out, kernel..., in), as a permutation of PyTorch's order."""
    return (1, *range(2, 2 + axes), 0)


def to_mlx(layer: TransposedConvolution) -> Translation:
    """Write a layer of `mlx.nn`."""
    axes, zeros = lengthened(
        layer.each_axis, lambda axis: max(least_below_stride(axis), axis.after + axis.before - axis.reach)
    )
    given = settings(axes)
    words = options(
        stride=(given["stride"], 1),
        padding=(given["padding"], 0),
        dilation=(given["dilation"], 1),
        output_padding=(given["output_padding"], 0),
        bias=(layer.bias, True),
    )
    channels = ", ".join(channels_text(layer))
    text = f"mlx.nn.ConvTranspose{layer.axes}d({channels}, {written(given['kernel_size'])}{words})"
    done = in_torch_order([text], axes, zeros, [max(0, axis.after - axis.before) for axis in axes])
    return replace(done, order=_order(layer.axes), dense=layer.groups > 1)


def from_mlx(text: str, _sizes: Sizes = None) -> Restored:
    """Read a layer of `mlx.nn`."""
    call, axes = single_layer(text, _NAMES)
    given = arguments(call, _PARAMETERS)
    one_of("bias", given.get("bias", True), (True, False))
    found = {
        "kernel_size": given.get("kernel_size"),
        "stride": given.get("stride", 1),
        "padding": given.get("padding", 0),
        "dilation": given.get("dilation", 1),
        "output_padding": given.get("output_padding", 0),
    }
    made = restored(
        axes,
        found,
        lambda axis: (axis["padding"], axis["padding"] - axis.get("output_padding", 0)),
        bias=given.get("bias", True),
        in_channels=given.get("in_channels"),
        out_channels=given.get("out_channels"),
        order=_order(axes),
    )
    if any(axis.before > axis.reach for axis in made.layer.each_axis):
        raise GeometryError(
            "padding is larger than dilation*(kernel_size-1): MLX then gives another size than PyTorch",
            "use a smaller padding, and crop the result",
        )
    return made
