"""`tconv shape`: compute sizes. It does not import torch, and reads only the header of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from upsample_cli.cli.tconv import layer_options, options
from upsample_cli.cli.tconv.formula_text import formula_notes, letter_notes, print_formulas, print_general
from upsample_cli.cli.tconv.layer_options import chosen_layers
from upsample_cli.cli.tconv.onnx_argument import onnx_argument
from upsample_cli.cli.tconv.options import settings_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document
from upsample_cli.cli.tconv.shape_input import (
    any_size,
    channel_pair,
    check_one_way,
    described,
    size_and_layers,
    sizes_of,
)
from upsample_cli.cli.tconv.shape_tables import print_steps
from upsample_cli.errors import UsageError
from upsample_cli.tconv.chain_input import split_size, with_flattens
from upsample_cli.tconv.formula import as_json as formulas_json
from upsample_cli.tconv.formula import chain_formula
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.symbolic import Symbolic
from upsample_cli.tconv.shape import Step, shape, size_text, with_output_size
from upsample_cli.tconv.shape_report import as_json, factor_remark, remarks
from upsample_cli.tconv.shape_text import Form, answer

InputSize = Annotated[
    str | None,
    typer.Argument(
        metavar="SIZE",
        help="50, 50x100 or 10x50x100, height before width; n for any size; or the path of an image. With channels in "
        "the layer, channels or batch and channels may come first: 20x16x50. Not needed with --formula.",
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
    options.kernel_size_option(help="Size of the kernel. This and the next four: one number, or one per axis (3,2,2)."),
]
Stride = Annotated[
    str | None,
    options.stride_option(
        help="Distance in the output between neighbouring input samples; with --conv the step of the kernel. Default 1."
    ),
]
Padding = Annotated[
    str | None,
    options.padding_option(
        help="Samples to crop from each end of the output; with --conv samples to add to each end of the input, or "
        "'same' or 'valid'. Default 0."
    ),
]
OutputPadding = Annotated[
    str | None, options.setting_option(help="More samples to compute at the bottom and the right. Default 0.")
]
Dilation = Annotated[
    str | None, options.dilation_option(help="Distance between neighbouring taps of the kernel. Default 1.")
]
Factor = Annotated[
    str | None,
    options.factor_option(metavar="S", help="Use the settings of the bilinear layer that enlarges S times."),
]
Conv = Annotated[bool, typer.Option("--conv", help="Take the settings as those of an ordinary convolution.")]
Channels = Annotated[
    str | None,
    typer.Option(metavar="IN,OUT", help="Channels of the layer that options describe, such as 16,33; SIZE has IN."),
]
OutputSize = Annotated[
    str | None,
    options.number_option(
        help="Size after the last layer, one number or one per axis (101x201). The layer gets the output_padding for "
        "it, as with PyTorch's output_size=."
    ),
]
Terse = Annotated[bool, typer.Option("--terse", help="Print only the final size, or with --formula its formula.")]
Formula = Annotated[
    bool, typer.Option("--formula", help="Print the formulas in the letters k, s, p, d and op instead of the table.")
]


def shape_command(
    size: InputSize = None,
    layers: Layers = None,
    *,
    kernel_size: KernelSize = None,
    stride: Stride = None,
    padding: Padding = None,
    output_padding: OutputPadding = None,
    dilation: Dilation = None,
    channels: Channels = None,
    factor: Factor = None,
    conv: Conv = False,
    file: layer_options.File = None,
    part: layer_options.Part = None,
    in_order: layer_options.InOrder = False,
    let: layer_options.Let = None,
    output_size: OutputSize = None,
    formula: Formula = False,
    terse: Terse = False,
    as_document: options.AsDocument = False,
) -> None:
    """Compute sizes after transposed or ordinary convolutions, and show the arithmetic.

    \b
    Examples:
      tconv shape 50 -k 3 -s 2 -p 1
      tconv shape 50x100 --kernel-size 3,5 --stride 2 --padding 1,2
      tconv shape 224x224 --conv -k 7 -s 2 -p 3 --terse
      tconv shape photo.jpg --factor 2 --json
      tconv shape 20x16x50 "ConvTranspose1d(16, 33, 3, stride=2, padding=1)"
      tconv shape 50x100 "ConvTranspose2d(16, 33, 3, 2)" "Conv2d(33, 8, 3)"
      tconv shape n "Conv1d(1, 8, 3, 2, 1)" "Upsample(scale_factor=2)"
      tconv shape 50x100 -k 3 -s 2 --output-size 101x202
      tconv shape --formula -k 4 -s 2 -p 1
      tconv shape 8x3x224x224 --file model.txt
      tconv shape 3x224x224 --file model.txt --part features.0:5
      tconv shape 3x250x330 unet.onnx
    """
    if terse and as_document:
        raise UsageError("--terse and --json cannot be combined", "leave one out")
    if (model := onnx_argument(locals(), "size", "terse")) is not None:
        from upsample_cli.cli.tconv.graph_shape import print_graph

        print_graph(model, size, as_document=as_document, terse=terse)
        return
    settings = settings_given(locals(), words=True)
    size, texts = size_and_layers(size, layers or [], with_size=not formula)
    factors = None if factor is None else whole_numbers("factor", factor)
    whole_size = None if size is None else sizes_of(size)
    check_one_way(texts, file, factors, settings, conv=conv)
    chosen = chosen_layers(texts, file, part=part, in_order=in_order, let=let)
    if formula and not (size or chosen.layers or factors or "kernel_size" in settings):
        print_general(settings, conv=conv, as_document=as_document)
        return
    both_channels = None if channels is None else channel_pair(channels, described=not chosen.layers)
    chain: Sequence[Layer] = chosen.layers or [described(whole_size, factors, settings, both_channels, conv=conv)]
    whole_size = any_size(chain) if whole_size is None else whole_size
    batch, channels_in, sizes = split_size(whole_size, chain)
    if formula and not sizes:
        raise UsageError("the input has no axes, so there is no size formula", "leave out --formula")
    form = Form.of(whole_size, batch, len(sizes))
    if chosen.assumed:
        chain, chosen.flattens = with_flattens(sizes, chain, channels=channels_in)
    if output_size is not None:
        wanted = whole_numbers("output_size", output_size)
        chain = with_output_size(sizes, chain, wanted, channels=channels_in, batch=form.batch)
    steps = shape(sizes, chain, channels=channels_in, batch=batch)
    notes = [*chosen.notes, *remarks(steps), *([] if factors is None else factor_remark(factors))]
    if formula:
        formulas = chain_formula(chain, len(sizes), channels=channels_in)
        notes += formula_notes(formulas, chain, len(sizes))
        if as_document:
            print_document(as_json(steps, notes, form) | {"formula": formulas_json(formulas)})
        else:
            print_formulas(formulas, None if size is None else answer(steps, form), notes, terse=terse)
        return
    if any(isinstance(one, Symbolic) for one in sizes):
        notes += letter_notes(sizes, chain, channels_in)
    _print_sizes(steps, notes, form, terse=terse, as_document=as_document)


def _print_sizes(steps: Sequence[Step], notes: Sequence[str], form: Form, *, terse: bool, as_document: bool) -> None:
    if as_document:
        print_document(as_json(steps, notes, form))
    elif terse:
        print(size_text(form.shape(steps[-1].channels, steps[-1].output)))
    else:
        print_steps(steps, notes, form)
