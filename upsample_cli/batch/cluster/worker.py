"""Code that runs on a Dask worker: it gives images to its own worker processes, as a run on one machine does.

So an image that crashes, hangs or exhausts memory fails alone here too, and the Dask worker survives.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upsample_cli.atomic.temporaries import worker_token
from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.cluster.wire import sent
from upsample_cli.batch.memory import Admission, budget_bytes, shared_out
from upsample_cli.batch.workers.processes import ProcessExecutor
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Interrupted
from upsample_cli.version import __version__

IDLE_S = 60.0
"""After this time without an image, the processes of a run end, because the run may have been killed.

If it was not, they start again with its next image.
"""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The settings for all images of a run.

    Args:
        options, token: options and token of the run.
        carrier: see `workers.worker.Assignment`.
        timeout_s: see `workers.processes.ProcessExecutor`.
    """

    options: Options
    token: str
    carrier: Carrier
    timeout_s: float | None = None

    @property
    def topic(self) -> str:
        """The topic of the events that tell the run which image has started."""
        return f"upsample-{self.token}"


@dataclass(frozen=True, slots=True)
class StorageProbe:
    """Files that a worker can see if it shares storage with the run.

    Args:
        input, input_bytes: an image, and its size.
        folder: a folder of outputs.
        mark: a file in it that was made just now.
    """

    input: Path
    input_bytes: int
    folder: Path
    mark: Path | None


def version_and_fault(probes: Sequence[StorageProbe]) -> tuple[str, str]:
    """The version of this package, and what is missing here for a run, or "". Called on every Dask worker."""
    return __version__, next(filter(None, map(_missing, probes)), "")


def _missing(probe: StorageProbe) -> str:
    try:
        if os.stat(probe.input).st_size != probe.input_bytes:  # noqa: PTH116
            return f"sees another file at {probe.input}"
    except OSError:
        return f"cannot see {probe.input}"
    if not os.access(probe.folder, os.W_OK | os.X_OK):
        return f"cannot write to {probe.folder}"
    if probe.mark is not None and not probe.mark.exists():
        return f"sees another folder at {probe.folder}"
    return ""


def enlarge(job: Job, spec: RunSpec, number: int) -> dict[str, Any]:
    """Enlarge one image, as a task of Dask. Returns its result in the form of `wire.sent`.

    Args:
        number: tells the run which of its images this is.

    Raises:
        Interrupted: if the run has ended.
    """
    from distributed import get_worker

    worker = get_worker()
    worker.log_event(spec.topic, number)
    run = _run_of(spec, slots=worker.state.nthreads)
    try:
        return sent(*run.carry_out(job))
    finally:
        run.leave()


def end(token: str) -> None:
    """End the run of that token here: stop its images and remove their files. Called on every Dask worker."""
    with _lock:
        run, _runs[token] = _runs.get(token), None  # a task that arrives later is refused
    if run is not None:
        run.close()


class _RunOnWorker:
    """The worker processes of one run on one Dask worker. Its memory bounds how many images run at once."""

    def __init__(self, spec: RunSpec, slots: int) -> None:
        # A Dask worker that lost its connection continues to write while another worker has its images. Their tokens
        # differ, so they do not write to the same file.
        token = worker_token(spec.token)
        options = shared_out(spec.options, slots)
        assignment = Assignment(options, token, spec.carrier, cores=slots)
        self._executor = ProcessExecutor(assignment, slots=slots, watcher=_NullWatcher(), timeout_s=spec.timeout_s)
        self._admission = Admission(slots, budget_bytes(spec.options))
        self._changed = threading.Condition()
        self._is_closed = False
        self.active_count = 0
        self.idle_since_s = time.monotonic()

    def carry_out(self, job: Job) -> tuple[Result, str | None]:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._admission.takes(job))
            if self._is_closed:
                raise Interrupted
            future = self._executor.submit(job)
        try:
            return future.result(), self._executor.device
        finally:
            with self._changed:
                self._admission.leave(job)
                self._changed.notify_all()

    def leave(self) -> None:
        with _lock:
            self.active_count -= 1
            self.idle_since_s = time.monotonic()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._executor.close()


class _NullWatcher:
    """An `interfaces.Watcher` that ignores everything."""

    def started(self, job: Job) -> None:
        """See `interfaces.Watcher`."""

    def advanced(self, job: Job, rows: int) -> None:
        """See `interfaces.Watcher`."""

    def ended(self, job: Job) -> None:
        """See `interfaces.Watcher`."""


_runs: dict[str, _RunOnWorker | None] = {}
_lock = threading.Lock()


def _run_of(spec: RunSpec, slots: int) -> _RunOnWorker:
    """The `_RunOnWorker` of a run, created if it is missing. Counts one more active image."""
    with _lock:
        if spec.token not in _runs:
            _runs[spec.token] = _RunOnWorker(spec, slots)
            threading.Thread(target=_end_if_idle, args=(spec.token,), daemon=True).start()
        run = _runs[spec.token]
        if run is None:
            raise Interrupted
        run.active_count += 1
        return run


def _end_if_idle(token: str) -> None:
    while True:
        time.sleep(IDLE_S / 4)
        with _lock:
            run = _runs[token]
            if run is None:
                return
            if not run.active_count and time.monotonic() > run.idle_since_s + IDLE_S:
                del _runs[token]
                break
    run.close()
