"""Entry points of both programs: Ctrl-C ends them without a traceback, even during imports."""

from __future__ import annotations

import importlib
import os

from upsample_cli.current_folder import distrust_current_folder

INTERRUPTED_STATUS = 130


def upsample() -> None:
    """Entry point of `upsample`."""
    _start("upsample_cli.cli.upsample")


def tconv() -> None:
    """Entry point of `tconv`."""
    _start("upsample_cli.cli.tconv")


def _start(module: str) -> None:
    try:
        with distrust_current_folder():
            importlib.import_module(module).main()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED_STATUS)
