"""Worker processes on the side of the run: how they are started, and which images are assigned to them."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upsample_cli.batch.workers.fork_server import starting_processes, worker_context
from upsample_cli.batch.workers.no_main import without_main_module
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.errors import Setting, UpsampleError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from upsample_cli.batch.record.identity import Stamp
    from upsample_cli.batch.workers.worker import Assignment

_NAME = "upsample-worker"
_TRIES, _PAUSE_S = 5, 0.1
_FREE_MEMORY = "free some memory"


@dataclass(frozen=True, slots=True)
class Order:
    """An image that waits for a worker or is assigned to one.

    Args:
        job: the image.
        future: of its result.
        before: the stamp of the file that was at the output's path before; None if there was none.
        work: how much of a worker it takes; see `memory.work`.
    """

    job: Job
    future: Future[Result]
    before: Stamp | None
    work: float


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
        return sum([order.work for order in self.assigned])

    def send(self, what: Assignment | list[Job] | None) -> None:
        """Send it its assignment, images, or None to stop."""
        with contextlib.suppress(OSError):  # it has exited: the end of its pipe will show that
            self.connection.send(what)


def started_worker() -> Worker:
    """Start a worker process. It waits for its `worker.Assignment`.

    Raises:
        UsageError: if it would import modules from the current folder, or it does not exist.
        UpsampleError: if the system does not start it.
    """
    try:
        return _started_worker()
    except (EOFError, OSError) as error:
        why, number = getattr(error, "strerror", None), getattr(error, "errno", None)
        has_too_many = number in (errno.EMFILE, errno.ENFILE)
        missing = "raise the limit of open files" if has_too_many else _FREE_MEMORY
        raise not_started(why or "their server has ended", missing) from error


def not_started(why: str, missing: str = _FREE_MEMORY) -> UpsampleError:
    """The error if worker processes do not start."""
    fewer = (f"{missing}, or give fewer ", Setting("workers"))
    return UpsampleError(f"worker processes do not start: {why}", fewer)


@contextlib.contextmanager
def _as_parent(process: BaseProcess) -> Iterator[None]:
    """Let a daemon, such as a worker of Dask or of `multiprocessing.Pool`, have children: ours end with their pipe."""
    before, process.daemon = process.daemon, False
    try:
        yield
    finally:
        process.daemon = before


def _started_worker() -> Worker:
    with starting_processes(), without_main_module(_NAME), _as_parent(multiprocessing.current_process()):
        from upsample_cli.batch.workers.worker import work

        context = worker_context()
        ours, theirs = context.Pipe()
        for left in reversed(range(_TRIES)):
            process: Any = context.Process(target=work, args=(theirs,), name=_NAME, daemon=True)  # type: ignore[attr-defined]
            try:
                process.start()
                break
            except (EOFError, ConnectionError):  # the fork server is ending; when it has ended, another one is started
                if not left:
                    raise
                time.sleep(_PAUSE_S)
    theirs.close()  # so that the pipe ends with the worker
    return Worker(process, ours)
