"""Worker processes as the run sees them: how they are started, also before there is work, and what they work on."""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upsample_cli import signals
from upsample_cli.batch.memory import work as work_of
from upsample_cli.current_folder import check_child_flags, distrust_current_folder
from upsample_cli.enlarge.job import Job, Result

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from upsample_cli.batch.record.identity import Stamp
    from upsample_cli.batch.workers.worker import Assignment


@dataclass(frozen=True, slots=True)
class Order:
    """An image, the future of its result, and the stamp of the file that had the output's name before."""

    job: Job
    future: Future[Result]
    before: Stamp | None


@dataclass(slots=True)
class Worker:
    """A worker process, the run's end of the pipe to it, and the images assigned to it. It works on the first."""

    process: BaseProcess
    connection: Connection[Any, Any]
    assigned: deque[Order] = field(default_factory=deque)
    is_ready: bool = False
    is_old: bool = False
    begun_s: float = 0.0
    base_bytes: int = 0

    def assigned_work(self) -> float:
        """How much work is assigned to it; see `memory.work`."""
        return sum(work_of(order.job) for order in self.assigned)

    def send(self, what: Assignment | list[Job] | None) -> None:
        """Send it its assignment, images, or None to stop."""
        with contextlib.suppress(OSError):  # it has exited: the end of its pipe will show that
            self.connection.send(what)


def started_worker() -> Worker:
    """Start a worker process. It waits for its `worker.Assignment`, and imports torch meanwhile.

    Raises:
        UsageError: if it would import modules from the current folder.
    """
    check_child_flags()
    with distrust_current_folder():
        import multiprocessing  # here: a run of one image starts no worker

        from upsample_cli.batch.workers.worker import work

        context = multiprocessing.get_context("spawn")  # a fork would copy locks of torch while they are held
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs,), name="upsample-worker", daemon=True)
        with _signals_blocked():
            process.start()
    theirs.close()  # so that the pipe ends with the worker
    return Worker(process, ours)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Workers inherit the blocked signals. A terminal sends Ctrl-C to all processes; only the run answers it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started later, it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PrestartedWorkers:
    """Workers that a run will need, started as its images are planned; a context manager.

    A single image needs no worker, so the first ones start with the second image. The `with` block ends those that
    were not taken.

    Args:
        most: how many to start at most; called once, when the second image is planned.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._limit: int | None = None
        self._planned = self._begun = 0
        self._waiting: deque[Worker] = deque()

    def planned(self, _job: Job) -> None:
        """One more image will be enlarged."""
        self._planned += 1
        if self._planned == 1:
            return
        if self._limit is None:
            self._limit = self._most()
        while self._begun < min(self._planned, self._limit):
            self._begun += 1
            self._waiting.append(started_worker())

    def take(self) -> Worker | None:
        """A waiting worker, which the caller owns from then on; None if there is none."""
        return self._waiting.popleft() if self._waiting else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._waiting:
            worker.process.kill()
            worker.connection.close()
        self._waiting.clear()
