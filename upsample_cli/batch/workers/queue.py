"""A worker process as the run sees it: the pipe to it, and the images assigned to it."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from upsample_cli.batch.memory import work as work_of
from upsample_cli.batch.record.identity import Stamp
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.enlarge.job import Job, Result


@dataclass(frozen=True, slots=True)
class Order:
    """An image, the future of its result, and the stamp of the file that had the output's name before."""

    job: Job
    future: Future[Result]
    before: Stamp | None


@dataclass(slots=True)
class Worker:
    """One process and the images assigned to it, in order. It is working on the first."""

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
