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


_IMPORT_SYSTEM = "<frozen importlib"
"""Start of the file names of Python's import system."""

_HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows


class _Received:
    """The first signal, and the number of signals. No lock: a handler may run while the same thread holds it.

    `imports` is the number of frames of Python's import system that were there when signals began to be handled.
    """

    number: int | None = None
    count = 0
    deferrals = 0
    is_due = False
    imports = 0


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

    During an import it is raised soon after: Python could discard it there, keep a lock for ever, or leave an
    incomplete module to other threads. It is raised again if Python discards it in a callback or a finalizer.

    The next signals do not interrupt the cleanup, which can check `is_hurried`. Ignored signals stay ignored: SIGHUP
    under nohup, SIGINT in the background of a shell. Outside the main thread, and for signals that have another
    handler, nothing changes.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        _Received.count += 1
        if _Received.count == 1:
            _Received.number = number
            _interrupt(number, frame)

    def raise_again(ignored: sys.UnraisableHookArgs) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt) and _Received.count and _HAS_TIMER:
            _interrupt_soon()
        else:
            hook(ignored)

    before, hook = {}, sys.unraisablehook
    _Received.number, _Received.count, _Received.is_due = None, 0, False
    _Received.imports = _import_frames(sys._getframe())
    if threading.current_thread() is threading.main_thread():
        usual = (signal.SIG_DFL, signal.default_int_handler)
        before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, handle)
    if before:
        sys.unraisablehook = raise_again
    try:
        yield
    finally:
        if sys.unraisablehook is raise_again:
            sys.unraisablehook = hook
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
        if _Received.count and _HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt now or, where that is not safe, later. A handler of signals.

    Args:
        frame: what the signal has interrupted.
    """
    if _Received.deferrals:
        _Received.is_due = True
    elif _import_frames(frame) > _Received.imports and _HAS_TIMER:
        _interrupt_soon()
    else:
        raise KeyboardInterrupt


def _interrupt_soon() -> None:
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, POLL_S)


def _import_frames(frame: FrameType | None) -> int:
    """How many of a frame and its callers belong to Python's import system."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith(_IMPORT_SYSTEM)
        frame = frame.f_back
    return count
