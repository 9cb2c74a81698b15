"""`tconv shape`: nothing here imports torch; of a picture, only the header is read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from upsample_cli.axes import axis_names
from upsample_cli.cli.options import Debug
from upsample_cli.errors import UsageError
from upsample_cli.tconv.constructors import parse_layer
from upsample_cli.tconv.layers import Convolution, Layer, TransposedConvolution, bilinear_layer
from upsample_cli.tconv.shape import Step, as_json, parse_size, shape, size_text

_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]{1,99}")
_AMPLE_WIDTH = 10_000
"""Columns of output that is not a terminal: wide enough for every line to stay whole."""
_BORDERS, _LEAST_WIDTH = 7, 17
"""Columns of the table's own lines and spaces, and what a layer's text needs at least ("ConvTranspose2d(")."""


def shape_command(
    size: Annotated[
        str, typer.Argument(metavar="SIZE", help="50, 50x100, 10x50x100 (height before width), or a picture's path.")
    ],
    layers: Annotated[
        list[str] | None,
        typer.Argument(metavar="LAYERS", help='Layers as PyTorch writes them, chained: "Conv2d(3, 16, 3)".'),
    ] = None,
    *,
    kernel_size: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Taps of the kernel. This and the next four: one number, or one per axis (3,2,2)."
        ),
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Output samples from one input sample to the next; the other way round with --conv. Default 1.",
        ),
    ] = None,
    padding: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Samples cropped at each end; with --conv added, where 'same' and 'valid' are known too. Default 0.",
        ),
    ] = None,
    output_padding: Annotated[
        str | None, typer.Option(metavar="N", help="Samples computed beyond the bottom and the right end. Default 0.")
    ] = None,
    dilation: Annotated[
        str | None, typer.Option(metavar="N", help="Samples from one tap of the kernel to the next. Default 1.")
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(metavar="S", help="Instead of settings: those of the bilinear layer that enlarges S times."),
    ] = None,
    conv: Annotated[bool, typer.Option("--conv", help="An ordinary convolution.")] = False,
    as_document: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    debug: Debug = False,  # noqa: ARG001  the door looks for it: an error can come before this
) -> None:
    """Sizes after transposed (or ordinary) convolutions, with the arithmetic spelled out.

    \b
    Examples:
      tconv shape 50 --kernel-size 3 --stride 2 --padding 1
      tconv shape 50x100 --kernel-size 3,5 --stride 2 --padding 1,2
      tconv shape 224x224 --conv --kernel-size 7 --stride 2 --padding 3
      tconv shape photo.jpg --factor 2 --json
      tconv shape 50x100 "ConvTranspose2d(16, 33, 3, stride=2)" "Conv2d(33, 8, 3)"
    """
    sizes = _sizes(size)
    given = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "dilation": dilation,
    }
    settings = {name: text for name, text in given.items() if text is not None}
    steps = shape(sizes, _chain(len(sizes), layers or [], factor, settings, conv=conv))
    if as_document:
        print(json.dumps(as_json(steps)))
    else:
        _print_steps(steps)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = parse_size(text)
    if sizes is not None:
        return sizes
    if not _is_file(text):
        raise UsageError(
            f"'{text}' is neither a size nor a file",
            "SIZE comes before the layers" if "(" in text else "write 50, 50x100, 10x50x100 or the path of a picture",
        )
    from upsample_cli.pictures.source import probe  # here: it brings Pillow

    info = probe(text)
    return info.height, info.width


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name too long to be one
        return False


def _chain(axes: int, texts: Sequence[str], factor: str | None, settings: dict[str, str], *, conv: bool) -> list[Layer]:
    """The layers that the command line describes, in one of three ways."""
    flags = [f"--{name.replace('_', '-')}" for name in settings] + ["--conv"] * conv
    ways = ["layers"] * bool(texts) + ["--factor"] * (factor is not None) + flags
    if len(ways) > max(1, len(flags)):
        raise UsageError(f"{' and '.join(ways)} cannot be combined", "describe the layers in one of these ways")
    if texts:
        return [parse_layer(text) for text in texts]
    if factor is not None:
        return [bilinear_layer(axes, _numbers("factor", factor))]
    if "kernel_size" not in settings:
        raise UsageError("no layer is described", "add --kernel-size N, --factor S, or layers as PyTorch writes them")
    if conv and "output_padding" in settings:
        raise UsageError("an ordinary convolution has no output_padding", "leave out --conv or --output-padding")
    build = Convolution if conv else TransposedConvolution
    return [build(axes, **{name: _numbers(name, text) for name, text in settings.items()})]


def _numbers(name: str, text: str) -> Any:
    """One number, or one per axis; a word stays a word, for the layer to judge."""
    parts = [part.strip() for part in text.split(",")]
    if all(_LIKE_A_NUMBER.fullmatch(part) for part in parts):
        numbers = tuple(int(part) for part in parts)
        return numbers if len(numbers) > 1 else numbers[0]
    if name == "padding" and text.isalpha():
        return text
    option = name.replace("_", "-")
    raise UsageError(f"--{option} {text} is not a number", f"write --{option} 3, or one number per axis: 3,2,2")


def _print_steps(steps: Sequence[Step]) -> None:
    """A table with one row per layer, and the result below it."""
    from rich.console import Console  # here: --json needs no rich
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(highlight=False)
    if sys.stdout is None or not sys.stdout.isatty():
        console.width = _AMPLE_WIDTH
    # On a terminal too narrow for both, the layer's own text is broken before the formulas are.
    names = axis_names(len(steps[0].input))
    formulas = max(len(name) for name in names) + 1 + max(len(text) for step in steps for text in step.formulas)
    rest = console.width - _BORDERS - formulas
    table = Table()
    table.add_column("layer", max_width=rest if rest >= _LEAST_WIDTH else None, overflow="fold")
    table.add_column("size after the layer")
    for step in steps:
        lines = Table.grid("", Column(overflow="fold"), padding=(0, 1))
        for line in zip(names, step.formulas, strict=True):
            lines.add_row(*line)
        table.add_row(Text(str(step.layer)), lines, end_section=True)
    console.print(table)
    result = f"{size_text(steps[0].input)} -> {size_text(steps[-1].output)}"
    channels = steps[-1].channels
    console.print(Text(result + (f", {channels} channels" if channels is not None else ""), style="bold"))
