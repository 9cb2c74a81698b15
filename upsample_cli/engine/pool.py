"""The computing threads: one per core. Each runs the operators of ATen in itself only."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

from upsample_cli.engine import aten, cores
from upsample_cli.forks import held_at_forks

Item = TypeVar("Item")
Made = TypeVar("Made")

_KEPT_BYTES = 31 * 2**20
"""After a block of this size has been allocated and freed once, glibc keeps freed blocks up to this size. Otherwise it
returns the blocks of each tile to the system, and the page faults of new ones take half of the time of a float tile.
glibc's limit for this is 32 MiB. Source: mallopt(3), M_MMAP_THRESHOLD.
"""


def compute_pool() -> ThreadPoolExecutor:
    """The pool of computing threads, one per core that this process may use. The first call starts it."""
    with _pool_lock:
        return _started_pool()


def layer_pool() -> ThreadPoolExecutor:
    """The same pool, after loading ATen's operators and limiting them to one thread each."""
    pool = compute_pool()
    operators: Any = aten.operators()
    with _layer_lock:
        _settled(operators, pool)
    return pool


@functools.cache
def _started_pool() -> ThreadPoolExecutor:
    np.empty(_KEPT_BYTES, np.uint8)  # allocated and freed
    return ThreadPoolExecutor(cores.core_count(), thread_name_prefix="upsample-compute")


@functools.cache
def _settled(operators: Any, pool: ThreadPoolExecutor) -> None:
    # Setting the number in one thread also sets the default of threads started later, so it is restored below.
    before = operators.threads()
    operators.set_threads(before)  # after a fork, the first call starts libtorch's own pool again; two threads must not
    count = cores.core_count()
    barrier = Barrier(count)

    def settle() -> None:
        operators.set_threads(1)
        operators.threads()  # a thread's first call copies the default, so it must come while the default is one
        barrier.wait()

    try:
        for settled in [pool.submit(settle) for _ in range(count)]:
            settled.result()
    except BaseException:  # a thread did not start; the others would wait for it, and the exit for them
        barrier.abort()
        raise
    operators.set_threads(before)


_pool_lock, _layer_lock = held_at_forks(), held_at_forks()


def _forget_pool() -> None:
    _started_pool.cache_clear()
    _settled.cache_clear()


if hasattr(os, "register_at_fork"):  # a forked process, for example a DataLoader worker, does not inherit threads
    os.register_at_fork(after_in_child=_forget_pool)


def computed_together(work: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Call a function for each item, in the computing threads and in this one, which does not wait for them to wake up.

    The function must not use ATen's operators: they would take all cores in this thread.
    """
    waiting = deque(items)

    def take() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:  # another thread has taken the last one
                return
            work(item)

    helpers = [compute_pool().submit(take) for _ in range(min(cores.core_count(), len(waiting)) - 1)]
    try:
        take()
    finally:
        waiting.clear()
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def computed_ahead(make: Callable[[Item], Made], items: Iterable[Item], *, count: int | None = None) -> Iterator[Made]:
    """Like `map`, in the computing threads and in order. Items are taken from `items` in the iterating thread.

    Args:
        make: the function to call in the computing threads.
        items: its arguments.
        count: the most items to compute ahead; by default enough to keep the threads busy.
    """
    count = cores.core_count() + 1 if count is None else count
    pending: deque[Future[Made]] = deque()
    try:
        for item in items:
            pending.append(compute_pool().submit(make, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
