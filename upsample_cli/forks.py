"""Locks in a process that forks: a forked process does not inherit the threads that would release them."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  its lock and that of `logging` are held at forks, too: see `_hold`
import os
from threading import RLock, local

_locks: list[RLock] = []


class _Held(local):
    """The locks that a thread has taken for its fork."""

    def __init__(self) -> None:
        self.locks: list[RLock] = []


_held = _Held()


def held_at_forks() -> RLock:
    """A lock. A fork waits until no other thread holds it, so that it is free in the forked process.

    If a thread may wait for one lock while it holds a second one, make the first one before: the fork takes the locks
    in the reverse order.
    """
    _locks.append(lock := RLock())
    return lock


def _hold() -> None:
    # Python calls these functions in the reverse order of their registration. Threads that hold our locks wait for
    # those of the modules imported above, so a fork must take ours first.
    for lock in tuple(reversed(_locks)):
        lock.acquire()
        _held.locks.append(lock)


def _release() -> None:
    while _held.locks:  # it may be empty: this module may have been imported while its thread was forking
        _held.locks.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)

importing = held_at_forks()
"""Held while this package imports numpy and torch. If two threads import numpy at the same time, one gets an incomplete
module; and a forked process would wait for the thread that imports."""
