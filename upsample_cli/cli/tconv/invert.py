"""`tconv invert`: find the layers that restore a size. It does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from upsample_cli.cli.tconv import layer_options, options
from upsample_cli.cli.tconv.layer_options import required_layers
from upsample_cli.cli.tconv.onnx_argument import onnx_argument
from upsample_cli.cli.tconv.printing import fitted_table, print_document, print_notes, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.given_back import sizes_given_back
from upsample_cli.tconv.invert import (
    Inversion,
    as_json,
    code,
    invert,
    padding_multiple,
    same_settings_reverse,
)
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.symbolic import parse_size
from upsample_cli.tconv.shape import size_text
from upsample_cli.tconv.shape_report import reach_remarks
from upsample_cli.tconv.size_pattern import AxisFit, fits_text, padding_text

if TYPE_CHECKING:
    from rich.table import Table

Layers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LAYERS",
        help='One or more layers as PyTorch writes them: "Conv2d(3, 16, 3, 2, 1)"; or an ONNX file without branches.',
    ),
]
InputSizes = Annotated[
    str,
    typer.Option(
        metavar="SIZES", help="Sizes of the input of the layers: 224, or several: 224,225 or 224x320,225x321."
    ),
]


def invert_command(
    layers: Layers = None,
    *,
    size: InputSizes,
    file: layer_options.File = None,
    part: layer_options.Part = None,
    in_order: layer_options.InOrder = False,
    let: layer_options.Let = None,
    as_document: options.AsDocument = False,
) -> None:
    """Find the transposed layers that give back the size before a convolution or an encoder.

    \b
    Examples:
      tconv invert "Conv2d(3, 16, 3, stride=2, padding=1)" --size 224,225
      tconv invert "Conv1d(1, 8, 4, padding='same')" --size 50
      tconv invert "Conv2d(3, 8, 3, 2, 1)" "ReLU()" "MaxPool2d(2)" --size 224x320
      tconv invert --file model.txt --part features.0:5 --size 224
      tconv invert encoder.onnx --size 225x320
    """
    chain: Sequence[Layer]
    if (model := onnx_argument(locals(), "size")) is not None:
        from upsample_cli.tconv.graphs.chain import chain_of

        chain, remark = chain_of(model, _sizes(size, 1)[0])
        remarks = [remark] if remark else []
    else:
        chosen = required_layers(layers, file, part=part, in_order=in_order, let=let)
        chain, remarks = chosen.layers, list(chosen.notes)
    axes = next((layer.axes for layer in chain if layer.axes is not None), 1)
    inversions = [invert(chain, one) for one in _sizes(size, axes)]
    multiple = padding_multiple(chain)
    given_back = [sizes_given_back(chain, inversion) for inversion in inversions]
    if as_document:
        print_document(as_json(inversions, multiple, remarks, given_back))
    else:
        notes = [*_notes(chain, inversions, multiple), *_same_size_notes(inversions, given_back)]
        _print_inversions(inversions, [*remarks, *notes])


def _sizes(text: str, axes: int) -> list[tuple[int, ...]]:
    sizes = [parse_size(part.strip()) for part in text.split(",")]
    known = [size * axes if len(size) == 1 else size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise UsageError(f"--size {text} is not a size", "write 224, or several with commas: 224,225x320")
    return known


def _print_inversions(inversions: Sequence[Inversion], notes: Sequence[str]) -> None:
    console = result_console()
    for inversion in inversions:
        table = fitted_table(console, partial(_table, inversion))
        console.print(f"{size_text(inversion.smallest)} -> {size_text(inversion.sizes)}", style="bold")
        console.print(table)
        console.print(*code(inversion), sep="\n")
    print_notes(console, notes)


def _table(inversion: Inversion, text: Callable[[object], str]) -> Table:
    from rich.table import Table

    table = Table("inverts", "with", "gives back")
    for one in inversion.decoder:
        crop = f", then crop {size_text(one.crop)} at the end" if any(one.crop) else ""
        table.add_row(text(one.of), f"{text(one.layer)}{crop}", size_text(one.sizes))
    return table


def _same_size_notes(inversions: Sequence[Inversion], given_back: Sequence[Sequence[AxisFit] | None]) -> Iterator[str]:
    """Which sizes come back through each decoder, and to what the other sizes that were asked for must be padded."""
    seen = set()
    for inversion, fits in zip(inversions, given_back, strict=True):
        if fits is None or inversion.output_paddings in seen or all(fit.pattern.period == 1 for fit in fits):
            continue
        seen.add(inversion.output_paddings)
        yield f"the decoder for {size_text(inversion.sizes)} gives back its input's size: {fits_text(fits)}"
        for other in inversions:
            wanted = [replace(fit, size=size) for fit, size in zip(fits, other.sizes, strict=True)]
            if any(fit.padded != fit.size for fit in wanted):
                yield f"for that decoder, pad {size_text(other.sizes)} to {padding_text(wanted)}"


def _notes(chain: Sequence[Layer], inversions: Sequence[Inversion], multiple: Sequence[int] | None) -> list[str]:
    notes = []
    if len({inversion.output_paddings for inversion in inversions}) > 1:
        notes.append("no single output_padding serves all these sizes: give output_size= when you call the layer")
    if len(chain) == 1 and isinstance(chain[0], Convolution):
        answers = [(size_text(one.sizes), same_settings_reverse(chain[0], one.sizes)) for one in inversions]
        verdict = ", ".join(f"{size} {'yes' if reverses else 'no'}" for size, reverses in answers)
        notes.append(
            "the same settings alone give a size back only if (size + 2*padding - dilation*(kernel_size-1) - 1) "
            f"% stride == 0: {verdict}"
        )
    if any(getattr(layer, "padding_mode", "zeros") != "zeros" for layer in chain):
        notes.append("transposed convolutions know padding_mode 'zeros' only; sizes come back, borders do not")
    for one in dict.fromkeys(one.layer for inversion in inversions for one in inversion.decoder):
        if isinstance(one, TransposedConvolution):
            remarks = dict.fromkeys(remark for axis in one.each_axis for remark in reach_remarks(axis))
            notes += [f"{one}: {remark}" for remark in remarks]
    if multiple is not None and any(stride > 1 for stride in multiple):
        notes.append(f"inputs padded to a multiple of {size_text(multiple)} are all served by one decoder")
    return notes
