"""Options and settings that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from upsample_cli.version import __version__

APP_SETTINGS: dict[str, Any] = {
    "add_completion": False,  # `cli.program` has options of its own for it, which take the name of a shell
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

AsDocument = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]

# Settings of a layer, for commands that accept them instead of a layer as text.
KernelSize = Annotated[
    str | None, typer.Option(metavar="N", help="Instead of LAYER: one number, or one per axis, like the next four.")
]
ByDefaultOne = Annotated[str | None, typer.Option(metavar="N", help="Default 1.")]
ByDefaultZero = Annotated[str | None, typer.Option(metavar="N", help="Default 0.")]
Groups = Annotated[int | None, typer.Option(metavar="N", help="Of the weights. Default 1, or LAYER's.")]


def version_printer(name: str) -> Callable[[bool], None]:
    """The callback of a program's `--version`."""

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{name} {__version__}")
            raise typer.Exit

    return show
