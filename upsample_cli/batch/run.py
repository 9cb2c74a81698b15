"""Runs the jobs of a batch, several images at once, and yields each result as its image ends."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

from upsample_cli.atomic.temporaries import new_token
from upsample_cli.batch.entry import AnyEntry, DoneEntry
from upsample_cli.batch.interfaces import Executor, Journal
from upsample_cli.batch.memory import Admission
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.signals import interrupt_deferred


class NullJournal:
    """A `Journal` that records nothing."""

    def __init__(self) -> None:
        self.token = new_token()

    def together(self) -> contextlib.AbstractContextManager[None]:
        """See `Journal`."""
        return contextlib.nullcontext()

    def started(self, job: Job) -> None:
        """See `Journal`."""

    def ended(self, job: Job, result: Result) -> None:
        """See `Journal`."""


_POLL_S = 0.1
"""How often a waiting thread wakes up, in seconds. It runs signal handlers only then."""

_MANY, _GROUP_S = 8, 0.02
"""With this many images in flight for each slot, the results of so many seconds are recorded together."""

InFlight = dict[Job, Future[Result]]


def run_entries(
    entries: Sequence[AnyEntry],
    *,
    executor: Executor,
    journal: Journal,
    budget_bytes: int | None = None,
    on_wait: Callable[[], None] = lambda: None,
    on_done: Callable[[], None] | None = None,
) -> Generator[Result]:
    """Yield every entry's result: first the results that are already known, then those of the jobs as they end.

    Large images start first. If an image fails, its result is failed and the other images continue. Close the iterator
    to stop early; after Ctrl-C it first yields the results that have arrived. Finished outputs stay, unfinished ones
    are removed, and the executor is closed.

    Args:
        budget_bytes: memory for all images in flight, see `memory.Admission`; None for no limit.
        on_wait: called several times a second while no image ends. An exception that it raises ends the run.
        on_done: called for each `DoneEntry` instead of yielding its result; None to yield it.

    Raises:
        UsageError: if an option cannot be applied to the only image, or the device does not exist.
    """
    ended: SimpleQueue[_Ended] = SimpleQueue()
    in_flight: InFlight = {}  # images without a result, or whose result has not been yielded yet
    try:
        yield from _known(entries, on_done)
        jobs = (entry.job for entry in entries if entry.job is not None)
        waiting = deque(sorted(jobs, key=lambda job: job.height * job.width, reverse=True))
        admission = Admission(executor.slots, budget_bytes)
        while waiting or admission.in_flight:
            starting = list(iter(partial(_next, waiting, admission), None))
            with journal.together():
                for job in starting:
                    journal.started(job)
            with interrupt_deferred():
                for job in starting:
                    in_flight[job] = executor.submit(job)
                    in_flight[job].add_done_callback(partial(_put, ended, job))
            group = _ended_together(ended, admission, on_wait)
            with journal.together():
                for one in group:
                    if one.result is not None:
                        journal.ended(one.job, one.result)
            for one in group:
                if one.result is not None:
                    del in_flight[one.job]
                    yield one.result
            for one in group:
                if one.error is not None:
                    raise one.error  # it ends the run
    except KeyboardInterrupt:
        executor.close()
        yield from _left(in_flight, journal)
        raise
    finally:
        executor.close()
        for _ in _left(in_flight, journal):
            pass


def _known(entries: Sequence[AnyEntry], on_done: Callable[[], None] | None) -> Iterator[Result]:
    for entry in entries:
        if on_done is not None and isinstance(entry, DoneEntry):
            on_done()
        elif entry.job is None:
            yield entry.result


def _next(waiting: deque[Job], admission: Admission) -> Job | None:
    """The largest waiting image, so that it does not run alone at the end; the smallest if the largest does not fit."""
    if waiting and admission.takes(waiting[0]):
        return waiting.popleft()
    return waiting.pop() if waiting and admission.takes(waiting[-1]) else None


class _Ended(NamedTuple):
    """A job that has ended, with its result or an exception that ends the run."""

    job: Job
    result: Result | None
    error: BaseException | None


def _put(ended: SimpleQueue[_Ended], job: Job, future: Future[Result]) -> None:
    """Read the future in the thread that set it.

    An interrupt in the run's own thread could leave the lock of the future taken, for which the executor then waits.
    """
    try:
        ended.put(_Ended(job, future.result(), None))
    except CancelledError:
        pass
    except BaseException as error:
        ended.put(_Ended(job, None, error))


def _ended_together(ended: SimpleQueue[_Ended], admission: Admission, on_wait: Callable[[], None]) -> list[_Ended]:
    """Wait for the next image that ends. If many small ones are in flight, take all that end in a short time."""
    group = [_first(ended, on_wait)]
    if admission.in_flight > _MANY * admission.slots:
        time.sleep(_GROUP_S)
        with contextlib.suppress(Empty):
            while True:
                group.append(ended.get_nowait())
    for one in group:
        admission.leave(one.job)
    return group


def _first(ended: SimpleQueue[_Ended], on_wait: Callable[[], None]) -> _Ended:
    while True:
        with contextlib.suppress(Empty):
            return ended.get(timeout=_POLL_S)
        on_wait()


def _left(in_flight: InFlight, journal: Journal) -> Generator[Result]:
    """Yield the results that have arrived and have not been yielded yet. Stopped images do not have a result."""
    for job, future in list(in_flight.items()):
        if future.done() and not future.cancelled() and future.exception() is None:
            journal.ended(job, future.result())
            del in_flight[job]
            yield future.result()
