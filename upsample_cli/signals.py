"""Stopping a run by signals: after the first signal the run cleans up, after the second it stops waiting."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

GRACE_S = 1.0
"""How long a stopped run waits for its images to stop at their next band, in seconds."""

POLL_S = 0.02
"""How often a stopped run checks for another signal while it waits, in seconds."""

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]  # fmt: skip


class _Received:
    """The first signal, and the number of signals. No lock: a handler may run while the same thread holds it."""

    number: int | None = None
    count = 0
    deferrals = 0
    is_due = False
    is_lost = False


def stop_status() -> int | None:
    """The exit status for the signal that stopped this process (130 for Ctrl-C); None without a signal."""
    return None if _Received.number is None else 128 + _Received.number


def is_hurried() -> bool:
    """Whether more than one signal has arrived."""
    return _Received.count > 1


@contextlib.contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Let the first signal interrupt at the end of the block instead, for a block that takes a lock and does not wait.

    Signals of `stop_by_signals` only, which interrupt the main thread; in other threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Received.deferrals += 1
    try:
        yield
    finally:
        _Received.deferrals -= 1
    if _Received.is_due and not _Received.deferrals:
        _Received.is_due = False
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal that would end the process; count the next ones.

    The next signals do not interrupt the cleanup, which can check `is_hurried`. Ignored signals stay ignored: SIGHUP
    under nohup, SIGINT in the background of a shell. Outside the main thread, and for signals that have another
    handler, nothing changes.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        is_again, _Received.is_lost = _Received.is_lost, False
        _Received.count += not is_again
        if _Received.count == 1 or is_again:
            _Received.number = number
            if _Received.deferrals:
                _Received.is_due = True
            else:
                raise KeyboardInterrupt

    def send_again(ignored: sys.UnraisableHookArgs) -> None:
        """Python ignores an interrupt in a callback or a finalizer. Another thread sends its signal after that."""
        number = _Received.number
        if not issubclass(ignored.exc_type, KeyboardInterrupt) or number is None:
            hook(ignored)
            return
        _Received.is_lost = True
        threading.Timer(POLL_S, signal.raise_signal, [number]).start()

    before = {}
    hook = sys.unraisablehook
    _Received.number, _Received.count, _Received.is_due, _Received.is_lost = None, 0, False, False
    if threading.current_thread() is threading.main_thread():
        usual = (signal.SIG_DFL, signal.default_int_handler)
        before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, handle)
    if before:
        sys.unraisablehook = send_again
    try:
        yield
    finally:
        if sys.unraisablehook is send_again:
            sys.unraisablehook = hook
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
