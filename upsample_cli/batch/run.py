"""Carries out the jobs of a run, several pictures at once, and gives one result each as they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from threading import Event
from typing import Protocol

from upsample_cli.batch.jobs import Entry, existing
from upsample_cli.errors import Interrupted, OutputExistsError, UpsampleError
from upsample_cli.job import Job, Options, Result
from upsample_cli.pictures.files import remove_unfinished

_GRACE_S = 1.0
"""How long an interrupted run waits for its pictures to stop at their next band."""


class Watcher(Protocol):
    """Is told what happens while it happens, from several threads."""

    def started(self, job: Job) -> None:
        """A picture is being enlarged."""

    def advanced(self, job: Job, rows: int) -> None:
        """That many more of its rows are enlarged."""

    def ended(self, job: Job) -> None:
        """The picture is done, well or badly."""


def run_entries(
    entries: Sequence[Entry], options: Options, *, workers: int, watcher: Watcher, debug: bool = False
) -> Generator[Result]:
    """Yield every entry's result: first those known already, then the jobs' as they end.

    A picture that fails is one failed result; the others go on. Close the iterator to stop early (Ctrl-C): finished
    outputs stay, unfinished ones are removed.

    Args:
        workers: pictures in flight at once.
        debug: let unexpected errors through instead of making them a failed result.
    """
    yield from (entry.result for entry in entries if entry.job is None)
    stop = Event()
    may_skip = len(entries) > 1
    jobs = (entry.job for entry in entries if entry.job is not None)
    pending: set[Future[Result]] = set()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="upsample-picture")
    run: Callable[[Job], Result] = lambda job: _result(job, options, stop, watcher, may_skip, debug)  # noqa: E731
    try:
        while True:
            pending |= {pool.submit(run, job) for job in islice(jobs, 2 * workers - len(pending))}
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        if pending:
            wait(pending, timeout=_GRACE_S)
            remove_unfinished()


def _result(job: Job, options: Options, stop: Event, watcher: Watcher, may_skip: bool, debug: bool) -> Result:
    from upsample_cli.pipeline import enlarge_picture  # torch comes with the first picture

    planned = Result.planned(job, options.factor)
    start_s = time.perf_counter()
    watcher.started(job)
    try:
        return enlarge_picture(job, options, stop=stop, on_rows=lambda rows: watcher.advanced(job, rows))
    except OutputExistsError as error:
        return existing(job.input, error, may_skip)
    except Interrupted:
        raise
    except UpsampleError as error:
        return planned.ended("failed", error=str(error), elapsed_s=time.perf_counter() - start_s)
    except MemoryError:
        message = f"{job.input}: not enough memory to hold the picture; give --workers 1, or enlarge it elsewhere"
        return planned.ended("failed", error=message, elapsed_s=time.perf_counter() - start_s)
    except Exception as error:
        if debug:
            raise
        message = f"{job.input}: {type(error).__name__}: {error}; this should not happen: --debug shows where"
        return planned.ended("failed", error=message, elapsed_s=time.perf_counter() - start_s)
    finally:
        watcher.ended(job)
