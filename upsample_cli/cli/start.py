"""Entry points of both programs. Until a run handles signals (`signals.stop_by_signals`), Ctrl-C ends the process.

Nothing is written before. An exception would be raised anywhere in an import, where Python may discard it, keep a lock
for ever or leave an incomplete module to other threads.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys

_TAKE_FILES = {"-o", "--output", "--kernel", "--report", "--gallery", "--state"}
_WITHOUT_ENGINE = {"-n", "--dry-run", "--cluster", "--version", "-h", "--help"}


def upsample() -> None:
    """Entry point of `upsample`."""
    gc.disable()  # imports and plans create no garbage; `Session.enlarge` enables it again
    _start("upsample_cli.cli.upsample", images=_images(sys.argv[1:]))


def tconv() -> None:
    """Entry point of `tconv`."""
    _start("upsample_cli.cli.tconv")


def _images(arguments: list[str]) -> int:
    """Guess from unparsed arguments how many images this machine will enlarge. A folder counts as two.

    >>> _images([__file__, "-o", __file__]), _images([__file__, "-n"]), _images([__file__, "."]), _images([])
    (1, 0, 3, 0)
    """
    if _WITHOUT_ENGINE & set(arguments):
        return 0
    before = ["", *arguments]
    named = [argument for argument, option in zip(arguments, before, strict=False) if option not in _TAKE_FILES]
    return sum(2 if os.path.isdir(name) else os.path.isfile(name) for name in named)  # noqa: PTH112, PTH113  pathlib is not imported yet


def _start(module: str, *, images: int = 0) -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from upsample_cli.current_folder import distrust_current_folder

    _open_closed_streams()
    with distrust_current_folder():
        if images == 1:
            from upsample_cli.engine.library import begin_loading

            begin_loading(sys.argv[1:])
        elif images:
            from upsample_cli.batch.workers.fork_server import begin_fork_server

            begin_fork_server()
        importlib.import_module(module).main()


def _open_closed_streams() -> None:
    """Open the null device in place of each standard stream that is closed.

    Otherwise the next file would get its number, and what a library prints would be written into that file; and
    `print(file=sys.stderr)` would write to standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  open until the process ends
