"""Escape text from files, names and other programs, because a terminal would execute escape sequences in it."""

from __future__ import annotations

import logging
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from upsample_cli.text import one_line

__all__ = ["lines", "one_line", "only_printable", "traceback_of"]


def lines(text: str) -> str:
    r"""Like `one_line`, but line feeds are kept.

    >>> print(lines("a\nb\x1b[31m"))
    a
    b\x1b[31m
    """
    return "\n".join(map(one_line, text.split("\n")))


def traceback_of(error: BaseException) -> str:
    """A traceback, escaped because it may quote a file."""
    return lines("".join(traceback.format_exception(error)).rstrip("\n"))


@contextmanager
def only_printable() -> Iterator[None]:
    """Also escape what Python writes to stderr: warnings, logs, and errors that end a thread."""
    record, warning, thread = logging.getLogRecordFactory(), warnings.formatwarning, threading.excepthook
    logging.setLogRecordFactory(_Record)
    warnings.formatwarning = lambda *args, **named: lines(warning(*args, **named))
    threading.excepthook = _log_end_of_thread
    try:
        yield
    finally:
        logging.setLogRecordFactory(record)
        warnings.formatwarning, threading.excepthook = warning, thread


class _Record(logging.LogRecord):
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = traceback_of(self.exc_info[1])  # formatters use this text if it is set

    def getMessage(self) -> str:  # noqa: N802  overrides a method of logging
        return lines(super().getMessage())


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        logging.getLogger(__name__).error("a thread ended early", exc_info=ended.exc_value)
