"""Worker processes that start before there is work: they import torch while the run is still being planned."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from upsample_cli import signals
from upsample_cli.current_folder import check_child_flags, distrust_current_folder
from upsample_cli.enlarge.job import Job

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

Started: TypeAlias = "tuple[BaseProcess, Connection[Any, Any]]"
"""A worker process, and the run's end of the pipe to it."""


def started_worker() -> Started:
    """Start a worker process. It waits for its `worker.Assignment`, and imports torch meanwhile.

    Raises:
        UsageError: if it would import modules from the current folder.
    """
    check_child_flags()
    with distrust_current_folder():
        import multiprocessing  # here: a run of one image starts none

        from upsample_cli.batch.workers.worker import work

        context = multiprocessing.get_context("spawn")  # a fork would copy torch's locks in the middle of things
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs,), name="upsample-worker", daemon=True)
        with _signals_kept_away():
            process.start()
    theirs.close()  # so that the pipe ends with the worker
    return process, ours


@contextmanager
def _signals_kept_away() -> Iterator[None]:
    """Workers inherit this: a Ctrl-C, which the terminal sends to all, is for the run to answer, when this is over."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would undo what follows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PrestartedWorkers:
    """Workers that a run will need, started as its images are planned; a context manager.

    None is started for a single image, which needs none. Those that nobody took end with the `with` block.

    Args:
        most: how many at the most; asked for once, when the second image is planned.
        start: starts one.
    """

    def __init__(self, most: Callable[[], int], start: Callable[[], Started] = started_worker) -> None:
        self._most, self._start = most, start
        self._limit: int | None = None
        self._planned = self._begun = 0
        self._waiting: deque[Started] = deque()

    def planned(self, _job: Job) -> None:
        """One more image will be enlarged."""
        self._planned += 1
        if self._planned == 1:
            return
        if self._limit is None:
            self._limit = self._most()
        while self._begun < min(self._planned, self._limit):
            self._begun += 1
            self._waiting.append(self._start())

    def take(self) -> Started | None:
        """A worker that waits; None if there is none. It is the caller's from then on."""
        return self._waiting.popleft() if self._waiting else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, connection in self._waiting:
            process.kill()
            connection.close()
        self._waiting.clear()
