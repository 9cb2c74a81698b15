"""Locks in a process that forks: a forked process does not inherit the threads that would release them."""

from __future__ import annotations

import os
from threading import Lock, RLock
from typing import TypeVar

AnyLock = TypeVar("AnyLock", Lock, RLock)

_forking = Lock()
_locks: list[Lock | RLock] = []
_held: list[Lock | RLock] = []


def held_at_forks(lock: AnyLock) -> AnyLock:
    """The same lock. From now on a fork waits until no other thread holds it, so that it is free in the forked process.

    If a thread may wait for `lock` while it holds a second one, call this for `lock` first: the fork takes the locks in
    the reverse order.
    """
    _locks.append(lock)
    return lock


def _hold() -> None:
    for lock in (_forking, *reversed(_locks)):
        lock.acquire()
        _held.append(lock)


def _release() -> None:
    while _held:  # it may be empty: this module may have been imported while another thread was forking
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)

importing = held_at_forks(RLock())
"""Held while this package imports numpy and torch. If two threads import numpy at the same time, one gets an incomplete
module; and a forked process would wait for the thread that imports."""
