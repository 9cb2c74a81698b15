"""Runs a single image in a thread of this process. It does not need to be isolated from other images."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

from upsample_cli import signals
from upsample_cli.atomic.files import remove_unfinished
from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.interfaces import Watcher
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options


class ThreadExecutor:
    """An `interfaces.Executor` with one thread.

    Args:
        carrier: enlarges the images.
        options: the options of the run.
        watcher: follows the images.
        token: the token of the run.
    """

    slots = 1

    def __init__(self, carrier: Carrier, options: Options, *, watcher: Watcher, token: str) -> None:
        self.device: str | None = None
        self._carrier, self._options, self._watcher, self._token = carrier, options, watcher, token
        self._stop = Event()
        self._pool = ThreadPoolExecutor(self.slots, thread_name_prefix="upsample-image")
        self._running: set[Future[Result]] = set()

    def submit(self, job: Job) -> Future[Result]:
        """See `interfaces.Executor`."""
        future = self._pool.submit(self._run, job)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def _run(self, job: Job) -> Result:
        self._watcher.started(job)
        try:
            result = self._carrier.carry_out(
                job,
                self._options,
                token=self._token,
                stop=self._stop,
                on_rows=lambda rows: self._watcher.advanced(job, rows),
            )
            self.device = result.device or self.device
            return result
        finally:
            self._watcher.ended(job)

    def close(self) -> None:
        """See `interfaces.Executor`. A thread that does not stop in time continues, but its file is removed."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        end_s = time.monotonic() + signals.GRACE_S
        while (running := list(self._running)) and not signals.is_hurried() and time.monotonic() < end_s:
            wait(running, timeout=signals.POLL_S)
        if running:
            remove_unfinished()
