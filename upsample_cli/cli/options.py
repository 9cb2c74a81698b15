"""Options and settings that every command of both programs shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from upsample_cli import __version__

APP_SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def version_printer(name: str) -> Callable[[bool], None]:
    """The callback of a program's `--version`."""

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{name} {__version__}")
            raise typer.Exit

    return show
