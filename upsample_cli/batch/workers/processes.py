"""The executor of worker processes: an image that crashes, hangs or exhausts memory fails alone.

One thread, the supervisor, starts and ends all workers and reads and writes their pipes. Each worker has its own pipe
and nothing is shared, so a worker can exit at any moment without harming the others.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from upsample_cli import signals
from upsample_cli.atomic.temporaries import temporary_path
from upsample_cli.batch.interfaces import Watcher
from upsample_cli.batch.memory import work as work_of
from upsample_cli.batch.record.identity import stamp_of
from upsample_cli.batch.workers.exits import failure_of_exit, how_ended, last_result
from upsample_cli.batch.workers.started import Order, Worker, not_started, started_worker
from upsample_cli.batch.workers.worker import Assignment
from upsample_cli.enlarge.job import Job, Outcome, Result
from upsample_cli.errors import Failure, Interrupted
from upsample_cli.images.metered import timeout_error

_ASSIGNED_WORK = 1.0  # a worker is assigned small images up to this much work, and more when half of it is done
_MANY, _GROUP_S = 4, 0.006
"""With this many images assigned to a worker, messages of so many seconds are handled together."""
_EXIT_S = 10.0  # from the end of the pipe to the exit of the process: the system may write a core dump
_GROWTH_BYTES = 2**29  # a worker that has grown by this much since its first image is replaced


class ProcessExecutor:
    """An `interfaces.Executor` of worker processes, all started at once.

    Args:
        assignment: what each worker receives when it starts.
        slots: number of workers.
        watcher: follows the images; called from the supervisor's thread.
        timeout_s: an image that takes longer fails, and its worker is killed; None for no limit.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        slots: int,
        watcher: Watcher,
        timeout_s: float | None = None,
    ) -> None:
        self.slots = slots
        self.device: str | None = None
        self._assignment, self._watcher, self._timeout_s = assignment, watcher, timeout_s
        self._queue: deque[Order] = deque()
        self._workers: list[Worker] = []
        self._started = 0
        self._error: BaseException | None = None
        self._ending = threading.Lock()
        self._has_ended = False
        self._closing_s: float | None = None
        self._wakeup_reader, self._wakeup_writer = multiprocessing.Pipe(duplex=False)
        self._is_woken = False
        self._supervisor = threading.Thread(target=self._supervise, name="upsample-supervisor", daemon=True)
        self._supervisor.start()

    def submit(self, job: Job) -> Future[Result]:
        """See `interfaces.Executor`."""
        order = Order(job, Future(), stamp_of(job.output), work_of(job))
        with self._ending:
            self._queue.append(order)
            if self._has_ended:
                self._give_up(self._queue)
        self._wake_up()
        return order.future

    def close(self) -> None:
        """See `interfaces.Executor`. A worker that does not stop in time is killed, and its file removed."""
        if self._closing_s is None:
            self._closing_s = time.monotonic()
            self._wake_up()
        self._supervisor.join()

    def _wake_up(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(OSError):  # the supervisor has ended
                self._wakeup_writer.send_bytes(b"!")

    def _supervise(self) -> None:
        try:
            for _ in range(self.slots):
                self._start_worker()
            while self._closing_s is None or self._still_closing(self._closing_s):
                self._assign()
                connections = [worker.connection for worker in self._workers]
                readable = wait([self._wakeup_reader, *connections], self._wait_s())
                if max((len(worker.assigned) for worker in self._workers), default=0) > _MANY:
                    time.sleep(_GROUP_S)  # more messages arrive
                self._handle_messages(readable)
                self._end_timed_out()
        except Exception as error:  # raised from the futures, as in a thread pool
            self._error = error
        for worker in list(self._workers):
            worker.process.kill()
            self._remove(worker)
        with self._ending:
            self._has_ended = True
            self._give_up(self._queue)
        self._wakeup_reader.close()

    def _still_closing(self, since_s: float) -> bool:
        self._give_up(self._queue)
        for worker in self._workers:
            if not worker.is_old:
                worker.is_old = True
                worker.send(None)
        return bool(self._workers) and not signals.is_hurried() and time.monotonic() < since_s + signals.GRACE_S

    def _start_worker(self) -> None:
        self._workers.append(started_worker())
        self._workers[-1].send(replace(self._assignment, index=self._started))
        self._started += 1

    def _assign(self) -> None:
        """Assign queued images to workers that can take more: one large image, or several small ones."""
        if self._error is not None:
            self._give_up(self._queue)
        share = math.ceil(len(self._queue) / max(1, len(self._workers)))
        for worker in sorted(self._workers, key=lambda worker: len(worker.assigned)):
            held = worker.assigned_work()
            if not worker.is_ready or worker.is_old or held > _ASSIGNED_WORK / 2:
                continue
            given: list[Order] = []
            while self._queue and len(given) < share:
                held += self._queue[0].work
                if (worker.assigned or given) and held > _ASSIGNED_WORK:
                    break
                given.append(self._queue.popleft())
            if given:
                worker.assigned.extend(given)
                if len(worker.assigned) == len(given):
                    self._begin(worker)
                worker.send([order.job for order in given])

    def _begin(self, worker: Worker) -> None:
        worker.begun_s = time.monotonic()
        self._watcher.started(worker.assigned[0].job)

    def _handle_messages(self, readable: Sequence[Any]) -> None:
        if self._wakeup_reader in readable:
            self._wakeup_reader.recv_bytes()
            self._is_woken = False
        for worker in [worker for worker in self._workers if worker.connection in readable]:
            try:
                while worker.connection.poll():
                    kind, what = worker.connection.recv()
                    _HANDLERS[kind](self, worker, what)
            except (EOFError, OSError):
                self._remove(worker)

    def _handle_ready(self, worker: Worker, device: str) -> None:
        worker.is_ready = True
        self.device = device

    def _handle_rows(self, worker: Worker, rows: int) -> None:
        self._watcher.advanced(worker.assigned[0].job, rows)

    def _handle_ended(self, worker: Worker, what: tuple[Outcome, int]) -> None:
        outcome, held_bytes = what
        self._end_first(worker, Result.of(worker.assigned[0].job, outcome))
        worker.base_bytes = worker.base_bytes or held_bytes
        if held_bytes > worker.base_bytes + _GROWTH_BYTES and not worker.is_old:
            worker.is_old = True
            self._start_worker()
        if worker.assigned:
            self._begin(worker)
        elif worker.is_old:
            worker.send(None)

    def _handle_raised(self, _worker: Worker, error: BaseException) -> None:
        self._error = error
        for worker in self._workers:
            self._give_up(worker.assigned)

    def _end_first(self, worker: Worker, result: Result) -> None:
        order = worker.assigned.popleft()
        self._watcher.ended(order.job)
        order.future.set_result(result)

    def _give_up(self, orders: deque[Order]) -> None:
        """End the futures of images that will not have a result, because the run ends."""
        while orders:
            orders.popleft().future.set_exception(self._error or Interrupted())

    def _wait_s(self) -> float | None:
        """How long to wait for messages before the next timeout; None to wait without a limit."""
        if self._closing_s is not None:
            return signals.POLL_S
        begun_s = [worker.begun_s for worker in self._workers if worker.assigned]
        if self._timeout_s is None or not begun_s:
            return None
        return max(0.0, min(begun_s) + self._timeout_s - time.monotonic())

    def _end_timed_out(self) -> None:
        for worker in list(self._workers):
            if self._timeout_s is not None and worker.assigned and time.monotonic() >= worker.begun_s + self._timeout_s:
                worker.process.kill()
                self._remove(worker, timeout_error(worker.assigned[0].job.input, self._timeout_s).failure)

    def _remove(self, worker: Worker, failure: Failure | None = None) -> None:
        """Handle the exit of a worker: its current image has probably failed, and its other images are queued again."""
        is_stopping = self._closing_s is not None or self._error is not None
        worker.process.join(_EXIT_S)
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        if worker.assigned:
            temporary = temporary_path(worker.assigned[0].job.output, self._assignment.token)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if is_stopping:
            self._give_up(worker.assigned)
        elif worker.assigned:
            order, elapsed_s = worker.assigned[0], time.monotonic() - worker.begun_s
            failure = failure or failure_of_exit(worker.process.exitcode)
            self._end_first(worker, last_result(order, failure, self._assignment.options, elapsed_s))
            self._queue.extendleft(reversed(worker.assigned))
            self._start_worker()
        elif not self._workers:
            self._error = not_started(f"the last one ended by {how_ended(worker.process.exitcode)}")


_HANDLERS: dict[str, Callable[[ProcessExecutor, Worker, Any], None]] = {
    "ready": ProcessExecutor._handle_ready,
    "rows": ProcessExecutor._handle_rows,
    "ended": ProcessExecutor._handle_ended,
    "raised": ProcessExecutor._handle_raised,
}
