"""Lines on standard output and standard error. rich, which takes 20 ms to import, is used only on a terminal."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from upsample_cli.atomic.writing_errors import NO_SPACE

if TYPE_CHECKING:
    from rich.console import Console

_LIKE_A_TERMINAL = {"FORCE_COLOR", "TTY_COMPATIBLE"}
"""Environment variables by which rich writes to a file or a pipe as to a terminal."""


class Output:
    """A stream for lines.

    Args:
        file: the stream; None if it is closed.
    """

    def __init__(self, file: TextIO | None) -> None:
        self.file = file if file is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115

    @cached_property
    def console(self) -> Console:
        """The console that writes to a terminal."""
        from rich.console import Console

        return Console(file=self.file, emoji=False)  # "a:x:.png" is a valid file name

    def print(self, text: str, *, start: str = "", style: str = "") -> None:
        """Print a line. If standard error is on a full disk, it is lost: the exit status and the summary remain.

        Args:
            text: its text; see `text.one_line`.
            start: printed before the text.
            style: rich's style of `start` on a terminal.

        Raises:
            OSError: if standard output cannot be written, or nobody reads the stream.
        """
        try:
            self._print(text, start, style)
        except OSError as error:
            if self.file is not sys.stderr or error.errno not in NO_SPACE:
                raise

    def _print(self, text: str, start: str, style: str) -> None:
        if self.file.isatty() or not _LIKE_A_TERMINAL.isdisjoint(os.environ):
            from rich.text import Text

            self.console.print(Text.assemble((start, style), text), soft_wrap=True, highlight=False)
        else:
            self.file.write(f"{start}{text}\n")
            self.file.flush()
