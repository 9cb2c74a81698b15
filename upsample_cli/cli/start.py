"""Entry points of both programs: Ctrl-C ends them without a traceback, even during imports."""

from __future__ import annotations

import importlib
import os
import sys

from upsample_cli.current_folder import distrust_current_folder

INTERRUPTED_STATUS = 130

_TAKE_FILES = {"-o", "--output", "--kernel", "--report", "--gallery", "--state"}
_WITHOUT_ENGINE = {"-n", "--dry-run", "--cluster", "--version", "-h", "--help"}


def upsample() -> None:
    """Entry point of `upsample`."""
    _start("upsample_cli.cli.upsample", enlarges_file=_enlarges_file(sys.argv[1:]))


def tconv() -> None:
    """Entry point of `tconv`."""
    _start("upsample_cli.cli.tconv")


def _enlarges_file(arguments: list[str]) -> bool:
    """Whether this process probably enlarges one image itself: a guess, before the command line is parsed.

    >>> _enlarges_file([__file__, "-o", __file__]), _enlarges_file([__file__, "-n"]), _enlarges_file([__file__] * 2)
    (True, False, False)
    """
    before = ["", *arguments]
    named = [argument for argument, option in zip(arguments, before, strict=False) if option not in _TAKE_FILES]
    files = [argument for argument in named if os.path.isfile(argument)]  # noqa: PTH113  pathlib is not imported yet
    return len(files) == 1 and not _WITHOUT_ENGINE & set(arguments)


def _start(module: str, *, enlarges_file: bool = False) -> None:
    try:
        with distrust_current_folder():
            if enlarges_file:
                from upsample_cli.engine.library import begin_loading

                begin_loading()
            importlib.import_module(module).main()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED_STATUS)
