"""The options with which commands take layers from texts or a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from upsample_cli.errors import UsageError
from upsample_cli.special_files import refuse_special
from upsample_cli.tconv.layers.chosen import Choice, Chosen

File = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="A text file with the layers: one per line, nn.Sequential(...), or the output of print(model). - is "
        "standard input.",
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        metavar="LABELS", help="Take a part of a printed model: features, layer1.0, or some children: features.0:10."
    ),
]
InOrder = Annotated[
    bool,
    typer.Option(
        "--in-order", help="Take the parts of every class in printed order. A printed model does not show its graph."
    ),
]
Let = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=NUMBER", help="Value of a name in the layers, such as ngf=64 for ngf * 8. Repeatable."),
]

_VALUE = re.compile(r"([A-Za-z_]\w{0,99})=([0-9]{1,19})", re.ASCII)


def chosen_layers(
    texts: Sequence[str],
    file: str | None,
    *,
    part: str | None,
    in_order: bool,
    let: Sequence[str] | None,
) -> Chosen:
    """The layers that texts or a file describe; empty if neither is given.

    Raises:
        UsageError: an option is malformed or does not apply, or the file cannot be read.
        GeometryError: see `choose`.
    """
    choice = Choice(part, in_order, dict(map(_value, let or [])))
    if file is not None and texts:
        raise UsageError("layers and --file cannot be combined", "describe the layers in one of these ways")
    if file is not None or texts:
        from upsample_cli.tconv.layers.model_text import choose, choose_from  # the parsers of all layers

        return choose_from(texts, choice) if file is None else choose(_read(file), choice)
    if choice != Choice():
        given = ["--part"] * (part is not None) + ["--in-order"] * in_order + ["--let"] * bool(let)
        raise UsageError(f"{' and '.join(given)} without layers", "add --file PATH, or layers as PyTorch writes them")
    return Chosen()


def required_layers(
    texts: Sequence[str] | None, file: str | None, *, part: str | None, in_order: bool, let: Sequence[str] | None
) -> Chosen:
    """As `chosen_layers`, for a command that needs layers.

    Raises:
        UsageError: also if neither texts nor a file are given.
    """
    chosen = chosen_layers(texts or [], file, part=part, in_order=in_order, let=let)
    if not chosen.layers:
        raise UsageError("no layer is described", "add --file PATH, or layers as PyTorch writes them")
    return chosen


def _value(text: str) -> tuple[str, int]:
    found = _VALUE.fullmatch(text)
    if found is None:
        raise UsageError(f"--let {text} is not a name with a whole number", "write for example --let ngf=64")
    return found[1], int(found[2])


def _read(file: str) -> str:
    from upsample_cli.tconv.layers.model_tree import LONGEST_MODEL

    if file == "-" and (sys.stdin is None or sys.stdin.closed):
        raise UsageError("--file -: standard input is closed", "pipe a text with layers in, or give its path")
    try:
        if file == "-":
            return sys.stdin.read(LONGEST_MODEL + 1)
        refuse_special(Path(file))
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(LONGEST_MODEL + 1)
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"--file {file}: {cause}", "give a text with layers, or - for standard input") from error
