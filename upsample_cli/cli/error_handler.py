"""Turn errors of both commands into one line on stderr and an exit status.

typer handles Ctrl-C (130) and a closed pipe (1) while a command runs. This module handles all other errors, including
typer's own about the command line (2), and errors after the command has returned.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from upsample_cli.cli.program import DEBUG
from upsample_cli.cli.report.printable import one_line, only_printable, traceback_of
from upsample_cli.cli.spelling import OFFERED, advised, sentence
from upsample_cli.current_folder import distrust_current_folder
from upsample_cli.errors import UpsampleError
from upsample_cli.signals import stop_by_signals, stop_status

if TYPE_CHECKING:
    import typer

_INTERRUPTED_STATUS = 130

_MAY_LOAD_TORCH = {"torch", "upsample_cli.engine.library", "upsample_cli.batch.executors"}
"""If one of these modules is imported, torch or its library is loaded, or another thread may be loading it."""

_OF_THE_SYSTEM: dict[type[BaseException], tuple[str, str]] = {
    MemoryError: ("there is not enough memory", "free some, or ask for less"),
    ImportError: ("a library cannot be imported", "free some memory, or install it again"),
}
"""Cause and next step for errors that need no fault of this package."""

_MESSAGE_ENDS = 2500
"""Characters to show at each end of a long message. The longest path, 4,096 characters, is shown in full."""


def run(app: typer.Typer, name: str) -> None:
    """Run a command line to its end, and exit the process.

    Exit statuses: that of an UpsampleError, 130 for Ctrl-C, 143 for SIGTERM, 129 if the terminal was closed, 2 for a
    command line that cannot be parsed, and 1 for an unexpected error. With `--debug`, a traceback is printed before the
    message.

    Args:
        app: the application.
        name: name of the program; every message starts with it.
    """
    DEBUG.is_on = False
    OFFERED.set(None)
    for stream in (sys.stdout, sys.stderr):
        # Characters outside the terminal's encoding are escaped; otherwise they would end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = _INTERRUPTED_STATUS
    with suppress(KeyboardInterrupt), distrust_current_folder(), only_printable(), stop_by_signals():
        status = _close_output(_status(app, name), name)
    if status == _INTERRUPTED_STATUS:
        status = stop_status() or status
    if stop_status() or not _MAY_LOAD_TORCH.isdisjoint(sys.modules):
        # All files are closed, so the process can end at once. An encoder in another thread cannot be stopped; torch's
        # orderly shutdown takes about a fifth of the time of its import; a normal exit waits until libtorch is loaded.
        if (server := sys.modules.get("upsample_cli.batch.workers.fork_server")) is not None:
            server.remove_sockets_of_killed()
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _status(app: typer.Typer, name: str) -> int:
    try:
        status = app(prog_name=name, standalone_mode=False)  # in standalone mode, typer's errors take a dozen lines
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        return _INTERRUPTED_STATUS
    except UpsampleError as error:
        return _report(name, error, sentence(advised(error.failure)), error.exit_status)
    except BaseException as error:  # a panic of a Rust library is not an Exception
        if stop_status() is not None:
            # The terminal was closed, so nobody can read a message; or Python turned the interrupt into another error,
            # as before 3.12 while a class is made.
            return _INTERRUPTED_STATUS
        is_typers = hasattr(error, "format_message")  # the name of the class differs between versions of typer
        return _misread(name, error) if is_typers else _unexpected(name, error)
    return status if isinstance(status, int) else 0


def _misread(name: str, error: Any) -> int:
    """Report that typer could not parse the command line. For an empty one, typer has already shown the help."""
    cause = error.format_message().rstrip(".")
    if not cause:
        return int(error.exit_code)
    command = error.ctx.command_path if getattr(error, "ctx", None) else name
    return _report(name, error, f"{cause[0].lower()}{cause[1:]}; see {command} --help", error.exit_code)


def _close_output(status: int, name: str) -> int:
    """Flush stdout now, so that the interpreter's flush at exit cannot fail."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _give_up_output(name, error, status or 1)
    return status


def _give_up_output(name: str, error: OSError, status: int) -> int:
    """Report that stdout cannot be written. A closed pipe is not reported: its reader has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return status
    cause = f"standard output cannot be written: {error.strerror}"
    return _report(name, error, f"{cause}; free some space, or redirect it to another disk", status)


def _is_output_lost() -> bool:
    """Whether standard output cannot be written. It writes an empty line, because an error does not name its stream."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _report(name: str, error: BaseException, message: str, status: int) -> int:
    with suppress(OSError):  # stderr is closed; the exit status still reports the error
        if DEBUG.is_on:
            print(traceback_of(error), file=sys.stderr)
        print(f"{name}: {one_line(_shortened(message))}", file=sys.stderr)
    return status


def _unexpected(name: str, error: BaseException) -> int:
    if isinstance(error, OSError) and error.filename is None and _is_output_lost():
        return _give_up_output(name, error, 1)
    text = " ".join(str(error).split())
    unknown = (f"unexpected {type(error).__name__}", "add --debug to see the traceback")
    cause, next_step = next((known for kind, known in _OF_THE_SYSTEM.items() if isinstance(error, kind)), unknown)
    return _report(name, error, f"{cause}{f': {text}' if text else ''}; {next_step}", 1)


def _shortened(message: str) -> str:
    """A message without its middle part, if it is very long because it quotes a text."""
    if len(message) <= 2 * _MESSAGE_ENDS:
        return message
    return f"{message[:_MESSAGE_ENDS]} ... {message[-_MESSAGE_ENDS:]}"
