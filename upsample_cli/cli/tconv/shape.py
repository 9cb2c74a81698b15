"""`tconv shape`: compute sizes. It does not import torch, and reads only the header of an image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from upsample_cli.cli.spelling import option
from upsample_cli.cli.tconv import layer_options, options
from upsample_cli.cli.tconv.graph_shape import onnx_argument, print_graph
from upsample_cli.cli.tconv.layer_options import chosen_layers
from upsample_cli.cli.tconv.options import refuse_output_padding, settings_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document
from upsample_cli.cli.tconv.shape_tables import print_steps
from upsample_cli.errors import Setting, UsageError
from upsample_cli.geometry.axes import PerAxis
from upsample_cli.tconv.chain_input import split_size, with_flattens
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution, bilinear_layer
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.symbolic import Size, Symbolic, parse_symbolic_size
from upsample_cli.tconv.shape import least_letter, shape, with_output_size
from upsample_cli.tconv.shape_report import as_json, factor_remark, remarks

InputSize = Annotated[
    str,
    typer.Argument(
        metavar="SIZE",
        help="50, 50x100 or 10x50x100, height before width; n for any size; or the path of an image. With layers, "
        "batch and channels may come first: 8x3x224x224.",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LAYERS", help='One or more layers as PyTorch writes them: "Conv2d(3, 16, 3)"; or an ONNX file.'
    ),
]
KernelSize = Annotated[
    str | None,
    options.setting_option(help="Size of the kernel. This and the next four: one number, or one per axis (3,2,2)."),
]
Stride = Annotated[
    str | None,
    options.setting_option(
        help="Distance in the output between neighbouring input samples; with --conv the step of the kernel. Default 1."
    ),
]
Padding = Annotated[
    str | None,
    options.setting_option(
        help="Samples to crop from each end of the output; with --conv samples to add to each end of the input, or "
        "'same' or 'valid'. Default 0."
    ),
]
OutputPadding = Annotated[
    str | None, options.setting_option(help="More samples to compute at the bottom and the right. Default 0.")
]
Dilation = Annotated[
    str | None, options.setting_option(help="Distance between neighbouring taps of the kernel. Default 1.")
]
Factor = Annotated[
    str | None,
    typer.Option(metavar="S", help="Use the settings of the bilinear layer that enlarges S times."),
]
Conv = Annotated[bool, typer.Option("--conv", help="Take the settings as those of an ordinary convolution.")]
OutputSize = Annotated[
    str | None,
    options.number_option(
        help="Size after the last layer, which gets the output_padding for it, as with PyTorch's output_size=."
    ),
]


def shape_command(
    size: InputSize,
    layers: Layers = None,
    *,
    kernel_size: KernelSize = None,
    stride: Stride = None,
    padding: Padding = None,
    output_padding: OutputPadding = None,
    dilation: Dilation = None,
    factor: Factor = None,
    conv: Conv = False,
    file: layer_options.File = None,
    part: layer_options.Part = None,
    in_order: layer_options.InOrder = False,
    let: layer_options.Let = None,
    output_size: OutputSize = None,
    as_document: options.AsDocument = False,
) -> None:
    """Compute sizes after transposed or ordinary convolutions, and show the arithmetic.

    \b
    Examples:
      tconv shape 50 --kernel-size 3 --stride 2 --padding 1
      tconv shape 50x100 --kernel-size 3,5 --stride 2 --padding 1,2
      tconv shape 224x224 --conv --kernel-size 7 --stride 2 --padding 3
      tconv shape photo.jpg --factor 2 --json
      tconv shape 50x100 "ConvTranspose2d(16, 33, 3, 2)" "Conv2d(33, 8, 3)"
      tconv shape n "Conv1d(1, 8, 3, 2, 1)" "Upsample(scale_factor=2)"
      tconv shape 112 --kernel-size 3 --stride 2 --padding 1 --output-size 224
      tconv shape 8x3x224x224 --file model.txt
      tconv shape 3x224x224 --file model.txt --part features.0:5
      tconv shape 3x250x330 unet.onnx
    """
    if (model := onnx_argument(locals(), "size")) is not None:
        print_graph(model, size, as_document=as_document)
        return
    settings = settings_given(locals(), words=True)
    factors = None if factor is None else whole_numbers("factor", factor)
    whole_size = _sizes(size)
    _check_one_way(layers or [], file, factors, settings, conv=conv)
    chosen = chosen_layers(layers or [], file, part=part, in_order=in_order, let=let)
    chain: Sequence[Layer] = chosen.layers or _described(len(whole_size), factors, settings, conv=conv)
    batch, channels, sizes = split_size(whole_size, chain)
    if chosen.assumed:
        chain, chosen.flattens = with_flattens(sizes, chain, channels=channels)
    if output_size is not None:
        chain = with_output_size(sizes, chain, whole_numbers("output_size", output_size), channels=channels)
    steps = shape(sizes, chain, channels=channels, batch=batch)
    notes = [*chosen.notes, *remarks(steps), *([] if factors is None else factor_remark(factors))]
    if any(isinstance(size, Symbolic) for size in sizes):
        least = least_letter(sizes, chain, channels=channels)
        notes += [] if least is None else [f"for every size of {least} or more in place of a letter"]
    if as_document:
        print_document(as_json(steps, notes))
    else:
        print_steps(steps, notes)


def _sizes(text: str) -> tuple[Size, ...]:
    sizes = parse_symbolic_size(text)
    if sizes is not None:
        return sizes
    if not os.path.isfile(text):  # noqa: PTH113  False for names that are too long
        raise UsageError(
            f"'{text}' is neither a size nor a file",
            "SIZE comes before the layers" if "(" in text else "write 50, 50x100, 10x50x100 or the path of an image",
        )
    from upsample_cli.images.open import probe  # imports Pillow

    info = probe(text)
    return info.height, info.width


def _check_one_way(
    texts: Sequence[str], file: str | None, factor: PerAxis | None, settings: Mapping[str, Any], *, conv: bool
) -> None:
    """Refuse layers that are described in several of the four ways."""
    flags = [option(Setting(name)) for name in settings] + ["--conv"] * conv
    ways = ["layers"] * bool(texts) + ["--file"] * (file is not None) + ["--factor"] * (factor is not None) + flags
    if len(ways) > max(1, len(flags)):
        raise UsageError(f"{' and '.join(ways)} cannot be combined", "describe the layers in one of these ways")


def _described(axes: int, factor: PerAxis | None, settings: Mapping[str, Any], *, conv: bool) -> Sequence[Layer]:
    """The layer that options describe."""
    if factor is not None:
        return [bilinear_layer(axes, factor)]
    if "kernel_size" not in settings:
        raise UsageError(
            "no layer is described", "add --kernel-size N, --factor S, --file PATH, or layers as PyTorch writes them"
        )
    refuse_output_padding(settings, conv=conv)
    return [(Convolution if conv else TransposedConvolution)(axes, **settings)]
