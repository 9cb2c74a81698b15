"""The executor that runs images on a Dask cluster. The plan, the record and the report stay where the command runs.

Dask distributes the images, and gives the images of a lost worker to another. `worker.py` runs on the workers.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from upsample_cli import signals
from upsample_cli.atomic.temporaries import remove_temporaries
from upsample_cli.batch.cluster.scheduler import connection_lost
from upsample_cli.batch.cluster.wire import received
from upsample_cli.batch.cluster.worker import RunSpec, end, enlarge
from upsample_cli.batch.interfaces import Watcher
from upsample_cli.batch.record.resume import is_whole
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.resolve import KernelChoice
from upsample_cli.errors import Failure, Interrupted, Setting, Text, UpsampleError, joined
from upsample_cli.kernels.kernel import KERNEL_NAMES

_CLOSING_S = 5.0
_WITHOUT_S = 10.0
_AHEAD = 2  # images submitted for each thread of a worker, so that no thread waits for its next image


@dataclass(frozen=True, slots=True)
class _Sent:
    """A submitted image: the job as it was planned, the job as it was sent, and the future of its result."""

    job: Job
    sent: Job
    future: Future[Result]


class ClusterExecutor:
    """An `interfaces.Executor` that uses a Dask cluster.

    Args:
        client: the client from `connected`; closed with this executor.
        address: address of the scheduler, as typed.
        spec: the settings for all images.
        watcher: follows the images; called from Dask's threads.
        warn: called with one line, from another thread, whenever all workers are lost.
        debug: raise unexpected errors.
    """

    def __init__(
        self, client: Any, address: str, spec: RunSpec,
        *, watcher: Watcher, warn: Callable[[str], None], debug: bool = False,
    ) -> None:  # fmt: skip
        self.device: str | None = None
        self.slots = _AHEAD * max(1, sum(client.nthreads().values()))
        self._client, self._address, self._watcher, self._debug = client, address, watcher, debug
        self._spec = replace(spec, options=replace(spec.options, kernel=_absolute(spec.options.kernel)))
        self._count = 0
        self._out: dict[int, _Sent] = {}
        self._tasks: dict[int, Any] = {}
        self._begun = Counter[int]()
        self._workers = frozenset(client.nthreads())
        self._doubtful: set[Path] = set()  # a lost worker may have left temporary files of them
        self._closed = threading.Event()
        client.subscribe_topic(spec.topic, self._handle_event)
        threading.Thread(target=self._watch_workers, args=(warn,), name="upsample-workers", daemon=True).start()

    def submit(self, job: Job) -> Future[Result]:
        """See `interfaces.Executor`."""
        place = None if job.place is None else job.place.absolute()
        kernel = KernelChoice(_absolute(job.resolved.kernel.text), job.resolved.kernel.factor)
        resolved = job.resolved._replace(kernel=kernel)
        sent = replace(job, input=job.input.absolute(), output=job.output.absolute(), place=place, resolved=resolved)
        future: Future[Result] = Future()
        self._count += 1
        number = self._count
        self._out[number] = _Sent(job, sent, future)
        task = self._client.submit(enlarge, sent, self._spec, number, key=f"{self._spec.topic}-{number}")
        self._tasks[number] = task
        task.add_done_callback(partial(self._settle, number))
        return future

    def close(self) -> None:
        """See `interfaces.Executor`. Images that are running on the cluster are stopped and their files removed."""
        if self._closed.is_set():
            return
        self._closed.set()
        left = [sent for number in list(self._out) if (sent := self._out.pop(number, None))]
        leaving = threading.Thread(target=self._leave, name="upsample-leaving", daemon=True)
        leaving.start()
        end_s = time.monotonic() + _CLOSING_S
        while leaving.is_alive() and not signals.is_hurried() and time.monotonic() < end_s:
            leaving.join(signals.POLL_S)
        for sent in left:
            self._doubtful.add(sent.job.output)
            sent.future.set_exception(Interrupted())
        remove_temporaries((output, self._spec.token) for output in list(self._doubtful))

    def _leave(self) -> None:
        with suppress(Exception):  # the scheduler may be gone, and workers too
            if self._tasks:
                self._client.cancel(list(self._tasks.values()), force=True)
            self._client.run(end, self._spec.token, on_error="ignore")
            self._client.unsubscribe_topic(self._spec.topic)
        with suppress(Exception):
            self._client.close(timeout=_CLOSING_S)

    def _watch_workers(self, warn: Callable[[str], None]) -> None:
        """Warn if there is no worker for `_WITHOUT_S`, longer than a nanny takes to restart one. Dask only waits."""
        missing = 0
        while not self._closed.wait(_WITHOUT_S / 2):
            with suppress(Exception):  # a lost connection ends the run
                missing = 0 if self._client.nthreads() else missing + 1
                if missing == 2:
                    warn(f"the cluster at {self._address} has lost all its workers; the run waits until one is back")

    def _handle_event(self, event: tuple[float, object]) -> None:
        """A worker has started an image. If that worker is lost, another one starts the image again."""
        number = event[1]
        if isinstance(number, int) and (out := self._out.get(number)):
            self._begun[number] += 1
            self._watcher.started(out.job)

    def _settle(self, number: int, task: Any) -> None:
        out = self._out.get(number)
        if out is None:  # closed
            return
        found: Result | Exception
        try:
            found = self._result(number, out, task)
        except Exception as error:
            found = error
        if self._out.pop(number, None) is None:  # closed in the meantime; the thread that removes it sets its future
            return
        del self._tasks[number]
        if isinstance(found, Exception):
            out.future.set_exception(found)
        else:
            self._watcher.ended(out.job)
            out.future.set_result(found)

    def _result(self, number: int, out: _Sent, task: Any) -> Result:
        """The result of a task.

        Raises:
            UpsampleError: if the failure does not concern this image alone.
        """
        from distributed.comm import CommClosedError

        try:
            answer = task.result()  # if it was lost with its worker, Dask computes it again
            result, device = received(answer, out.job)
        except Exception as error:
            if isinstance(error, CancelledError | CommClosedError) or self._client.status != "running":
                raise connection_lost(self._address) from error
            self._doubtful.add(out.job.output)
            return self._failed(out.job, error)
        self.device = device or self.device
        is_written = result.status == "written"
        if self._begun.pop(number, 0) > 1 or (not is_written and self._has_lost_worker()):
            self._doubtful.add(out.job.output)
            if not is_written and self._is_there(out.job, result):
                return Result.planned(out.job).ended("written")  # by the lost worker, which could not report it
        return _as_named(result, out)

    def _has_lost_worker(self) -> bool:
        """Whether a worker of the start is lost. The event that it started an image may be lost with it."""
        return not self._workers <= self._client.nthreads().keys()

    def _is_there(self, job: Job, result: Result) -> bool:
        """Whether the output exists and is whole. Without `overwrite` it did not exist when the run was planned."""
        options, size = self._spec.options, (result.output_height or 0, result.output_width or 0)
        return not options.overwrite and is_whole(job.output, job.format, size, options)

    def _failed(self, job: Job, error: BaseException) -> Result:
        """The result of an image that the cluster failed to enlarge."""
        from distributed.scheduler import KilledWorker

        if self._debug or isinstance(error, UpsampleError):
            raise error
        if isinstance(error, KilledWorker):
            cause = f"{error.allowed_failures + 1} Dask workers were lost while they had it"
            next_step = "look at their logs"
        else:
            cause = f"failed on the cluster: {type(error).__name__}: {' '.join(str(error).split())}"
            next_step = ""
        return Result.planned(job).ended("failed", Failure("cluster", cause, next_step, str(job.input)))


def _absolute(kernel: str) -> str:
    """The name of a kernel, or the absolute path of its file."""
    return kernel if kernel in KERNEL_NAMES else os.path.join(os.getcwd(), kernel)  # noqa: PTH109, PTH118


def _as_named(result: Result, out: _Sent) -> Result:
    """A result with paths as they were typed, also in its texts."""
    names = {str(out.sent.input): str(out.job.input), str(out.sent.output): str(out.job.output)}

    def renamed(text: Text) -> Text:
        return tuple(part if isinstance(part, Setting) else _replaced(part, names) for part in joined(text))

    losses = tuple(replace(loss, text=renamed(loss.text)) for loss in result.losses)
    failure = result.failure
    if failure is not None:
        path = _replaced(failure.path, names)
        failure = replace(failure, path=path, cause=renamed(failure.cause), next_step=renamed(failure.next_step))
    return replace(result, losses=losses, failure=failure)


def _replaced(text: str, names: dict[str, str]) -> str:
    for sent, typed in names.items():
        text = text.replace(sent, typed)
    return text
