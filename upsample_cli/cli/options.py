"""Settings of typer that both programs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from upsample_cli.version import __version__

APP_SETTINGS: dict[str, Any] = {
    "add_completion": False,  # `cli.program` declares its own options, which accept the name of a shell
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def version_printer(name: str) -> Callable[[bool], None]:
    """The callback of a program's `--version`."""

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{name} {__version__}")
            raise typer.Exit

    return show
