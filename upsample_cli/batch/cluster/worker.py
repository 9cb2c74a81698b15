"""What a Dask worker does with an image: it hands it to worker processes of its own, as a run on one machine does.

So an image that crashes, hangs or eats memory fails alone here too, and takes no Dask worker with it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upsample_cli.atomic.files import worker_token
from upsample_cli.batch.carry import prepare
from upsample_cli.batch.cluster.wire import sent
from upsample_cli.batch.interfaces import Carry
from upsample_cli.batch.memory import Admission, budget_bytes, shared_out
from upsample_cli.batch.workers.processes import ProcessExecutor
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Interrupted
from upsample_cli.version import __version__

IDLE_S = 60.0
"""A run that sends no image for so long has its processes ended here: it may have been killed. They start again."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What holds for all images of a run.

    Args:
        options, token: of the run.
        carry, prepare: see `worker.Assignment`.
        timeout_s: see `workers.ProcessExecutor`.
    """

    options: Options
    token: str
    carry: Carry
    timeout_s: float | None = None
    prepare: Callable[[Options, int], tuple[Options, str]] = prepare

    @property
    def topic(self) -> str:
        """Of the events that tell the run which of its images is begun."""
        return f"upsample-{self.token}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a worker is asked to see, to show that it shares storage with the run.

    Args:
        input, input_bytes: an image, and its size.
        folder: of outputs.
        mark: a file in it that was made just now.
    """

    input: Path
    input_bytes: int
    folder: Path
    mark: Path | None


def misfit(sight: Sight | None) -> tuple[str, str]:
    """(version of this package, what is missing here for a run; empty if nothing is). Called on every Dask worker."""
    if sight is None:
        return __version__, ""
    try:
        if os.stat(sight.input).st_size != sight.input_bytes:  # noqa: PTH116
            return __version__, f"sees another file at {sight.input}"
    except OSError:
        return __version__, f"cannot see {sight.input}"
    if not os.access(sight.folder, os.W_OK | os.X_OK):
        return __version__, f"cannot write to {sight.folder}"
    if sight.mark is not None and not sight.mark.exists():
        return __version__, f"sees another folder at {sight.folder}"
    return __version__, ""


def enlarge(job: Job, errand: Errand, number: int) -> dict[str, Any]:
    """One image: a task of Dask's. Returns its result as `wire.sent` writes it.

    Args:
        number: tells the run which of its images this is.

    Raises:
        Interrupted: if the run has ended.
    """
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(errand.topic, number)
    site = _site_of(errand, slots=worker.state.nthreads)
    try:
        return sent(*site.carry_out(job))
    finally:
        site.leave()


def end(token: str) -> None:
    """The run of that token is over here: stop what is at work, leave nothing of it. Called on every Dask worker."""
    with _lock:
        site, _sites[token] = _sites.get(token), None  # what still comes of it comes too late
    if site is not None:
        site.close()


class _Site:
    """The worker processes of one run on one Dask worker; its memory bounds how many images are in work at once."""

    def __init__(self, errand: Errand, slots: int) -> None:
        if multiprocessing.current_process().daemon:
            # So Dask's nanny starts its workers, and daemons may have no children. Ours end when their pipe does.
            multiprocessing.current_process().daemon = False
        # A Dask worker that is only cut off goes on writing while another has its images: never the same file.
        token = worker_token(errand.token)
        options = shared_out(errand.options, slots)
        assignment = Assignment(options, token, errand.carry, cores=slots, prepare=errand.prepare)
        self._executor = ProcessExecutor(assignment, slots=slots, watcher=_Nobody(), timeout_s=errand.timeout_s)
        self._admission = Admission(slots, budget_bytes(errand.options))
        self._room = threading.Condition()
        self._is_closed = False
        self.guests = 0
        self.left_s = time.monotonic()

    def carry_out(self, job: Job) -> tuple[Result, str | None]:
        with self._room:
            self._room.wait_for(lambda: self._is_closed or self._admission.takes(job))
            if self._is_closed:
                raise Interrupted
            future = self._executor.submit(job)
        try:
            return future.result(), self._executor.device
        finally:
            with self._room:
                self._admission.leave(job)
                self._room.notify_all()

    def leave(self) -> None:
        with _lock:
            self.guests -= 1
            self.left_s = time.monotonic()

    def close(self) -> None:
        with self._room:
            self._is_closed = True
            self._room.notify_all()
        self._executor.close()


class _Nobody:
    """A watcher for where nobody watches."""

    def started(self, job: Job) -> None:
        """See `interfaces.Watcher`."""

    def advanced(self, job: Job, rows: int) -> None:
        """See `interfaces.Watcher`."""

    def ended(self, job: Job) -> None:
        """See `interfaces.Watcher`."""


_sites: dict[str, _Site | None] = {}
_lock = threading.Lock()


def _site_of(errand: Errand, slots: int) -> _Site:
    """The site of a run, made if there is none, with one guest more."""
    with _lock:
        if errand.token not in _sites:
            _sites[errand.token] = _Site(errand, slots)
            threading.Thread(target=_end_if_idle, args=(errand.token,), daemon=True).start()
        site = _sites[errand.token]
        if site is None:
            raise Interrupted
        site.guests += 1
        return site


def _end_if_idle(token: str) -> None:
    while True:
        time.sleep(IDLE_S / 4)
        with _lock:
            site = _sites[token]
            if site is None:
                return
            if not site.guests and time.monotonic() > site.left_s + IDLE_S:
                del _sites[token]
                break
    site.close()
