"""The one place where errors become one line on stderr and an exit status, for both commands.

typer handles Ctrl-C (130) and a reader that has gone away (1) while a command runs; what it lets through, its own
errors about a command line that it cannot read among them (2), and what happens after it, ends here.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from upsample_cli.cli.program import DEBUG
from upsample_cli.cli.report.printable import one_line, only_printable, traceback_of
from upsample_cli.cli.start import INTERRUPTED_STATUS
from upsample_cli.current_folder import distrust_current_folder
from upsample_cli.errors import UpsampleError
from upsample_cli.signals import stop_by_signals, stop_status

if TYPE_CHECKING:
    import typer

_MESSAGE_ENDS = 2500
"""Characters at each end of a message: the longest path, 4,096 characters, is shown whole."""


def run(app: typer.Typer, name: str) -> None:
    """Run a command line to its end, and exit the process.

    Exit statuses: an UpsampleError's own, 130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that was closed, 2 for a
    command line that cannot be understood, 1 for anything unexpected. `--debug` prints the traceback before the
    line.

    Args:
        app: the command line.
        name: of the command, as people type it; begins every line.
    """
    DEBUG.is_on = False
    for stream in (sys.stdout, sys.stderr):
        # A file name, or a sign the terminal's encoding lacks, is shown escaped; it must not end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with distrust_current_folder(), only_printable(), stop_by_signals():
        status = _close_output(_status(app, name), name)
        if status == INTERRUPTED_STATUS:
            status = stop_status() or status
    if stop_status() or "torch" in sys.modules:
        # All is written and closed. An encoder in another thread cannot be told to stop, and taking torch down in good
        # order costs about a fifth of what importing it does.
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _status(app: typer.Typer, name: str) -> int:
    try:
        status = app(prog_name=name, standalone_mode=False)  # else typer frames its errors, and needs a dozen lines
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    except UpsampleError as error:
        return _report(name, error, str(error), error.exit_status)
    except BaseException as error:  # a panic of a library in Rust is not an Exception
        if isinstance(error, OSError) and stop_status() is not None:
            return INTERRUPTED_STATUS  # a terminal that was closed cannot be told what came of the run
        misread = hasattr(error, "format_message")  # typer's own, under no name that all its versions share
        return _misread(name, error) if misread else _unexpected(name, error)
    return status if isinstance(status, int) else 0


def _misread(name: str, error: Any) -> int:
    """Typer could not make sense of the command line; where there was none, it has shown the help already."""
    cause = error.format_message().rstrip(".")
    if not cause:
        return int(error.exit_code)
    command = error.ctx.command_path if getattr(error, "ctx", None) else name
    return _report(name, error, f"{cause[0].lower()}{cause[1:]}; see {command} --help", error.exit_code)


def _close_output(status: int, name: str) -> int:
    """Write out what stdout still holds; afterwards nothing can fail in the interpreter's own last flush."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return _report(name, error, f"standard output cannot be written: {error.strerror}", status or 1)
        return status or 1
    return status


def _report(name: str, error: BaseException, message: str, status: int) -> int:
    with suppress(OSError):  # nobody is there to be told, and the status still says so
        if DEBUG.is_on:
            print(traceback_of(error), file=sys.stderr)
        print(f"{name}: {one_line(_shortened(message))}", file=sys.stderr)
    return status


def _unexpected(name: str, error: BaseException) -> int:
    text = " ".join(str(error).split())
    cause = f"unexpected {type(error).__name__}" + (f": {text}" if text else "")
    return _report(name, error, f"{cause}; add --debug to see the traceback", 1)


def _shortened(message: str) -> str:
    """A message that repeats what somebody wrote, without the middle if that is very long."""
    if len(message) <= 2 * _MESSAGE_ENDS:
        return message
    return f"{message[:_MESSAGE_ENDS]} ... {message[-_MESSAGE_ENDS:]}"
