"""How a run is told to stop: once, and it cleans up; twice, and it does not wait for anything."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

GRACE_S = 1.0
"""How long a run that is stopped waits for its images to stop at their next band."""

LOOK_S = 0.02
"""How often it looks meanwhile whether it is told again."""

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]  # fmt: skip


class _Received:
    """Which signal came, and how often one did. Plain values: a handler may strike while a lock is held."""

    number: int | None = None
    count = 0


def stop_status() -> int | None:
    """The exit status that says which signal stopped this process (130 for Ctrl-C); None if none did."""
    return None if _Received.number is None else 128 + _Received.number


def is_hurried() -> bool:
    """Whether it was told to stop more than once."""
    return _Received.count > 1


@contextlib.contextmanager
def stop_by_signals() -> Iterator[None]:
    """Make the first signal that ends a process a KeyboardInterrupt, and the next ones haste.

    They never strike into the cleaning up, which asks `is_hurried`. A signal that is ignored stays so: SIGHUP under
    nohup, SIGINT in the background of a shell. Outside the main thread, or under handlers of others, nothing changes.
    """

    def told(number: int, _frame: FrameType | None) -> None:
        _Received.count += 1
        if _Received.count == 1:
            _Received.number = number
            raise KeyboardInterrupt

    before = {}
    _Received.number, _Received.count = None, 0
    if threading.current_thread() is threading.main_thread():
        usual = (signal.SIG_DFL, signal.default_int_handler)
        before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is told:
                signal.signal(number, handler)
