"""A worker process as its run sees it: the pipe to it, and the images in its hand."""

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
    """An image, who waits for it, and the stamp of what was under its output's name before."""

    job: Job
    future: Future[Result]
    before: Stamp | None


@dataclass(slots=True)
class Worker:
    """One process, and the images it has been handed, in order: it is at work on the first."""

    process: BaseProcess
    connection: Connection[Any, Any]
    hand: deque[Order] = field(default_factory=deque)
    is_ready: bool = False
    is_old: bool = False
    begun_s: float = 0.0
    base_bytes: int = 0

    def in_hand(self) -> float:
        """How much work it has; see `memory.work`."""
        return sum(work_of(each.job) for each in self.hand)

    def send(self, what: Assignment | list[Job] | None) -> None:
        """Tell it its assignment, hand it images, or tell it to stop."""
        with contextlib.suppress(OSError):  # it is dead: the end of its pipe will say so
            self.connection.send(what)
