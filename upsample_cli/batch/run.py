"""Carries out the jobs of a run, several pictures at once, and gives one result each as they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from threading import Event
from typing import Protocol

from upsample_cli.batch.jobs import Entry, existing
from upsample_cli.errors import Interrupted, OutputExistsError, PictureError, UpsampleError, UsageError
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

    Raises:
        UsageError: if an option cannot be carried out for the only picture asked for; in a batch its result is failed.
    """
    yield from (entry.result for entry in entries if entry.job is None)
    stop = Event()
    waiting = ((entry, entry.job) for entry in entries if entry.job is not None)
    pending: set[Future[Result]] = set()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="upsample-picture")
    run: Callable[[Entry, Job], Result] = partial(_result, options=options, stop=stop, watcher=watcher, debug=debug)
    try:
        while True:
            pending |= {pool.submit(run, *each) for each in islice(waiting, 2 * workers - len(pending))}
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        stop.set()
        running = [future for future in pending if not future.cancel()]
        pool.shutdown(wait=False)
        if running:
            try:
                wait(running, timeout=_GRACE_S)
            finally:  # a second Ctrl-C ends the wait, not the cleaning up
                remove_unfinished()


def _result(entry: Entry, job: Job, *, options: Options, stop: Event, watcher: Watcher, debug: bool) -> Result:
    from upsample_cli.pipeline import enlarge_picture  # torch comes with the first picture

    start_s = time.perf_counter()

    def failed(message: str) -> Result:
        return entry.result.ended("failed", error=message, elapsed_s=time.perf_counter() - start_s)

    watcher.started(job)
    try:
        return enlarge_picture(job, options, stop=stop, on_rows=lambda rows: watcher.advanced(job, rows))
    except OutputExistsError as error:
        return existing(entry, error)
    except (Interrupted, BrokenPipeError):  # the second: whoever read the picture from stdout has gone away
        raise
    except PictureError as error:
        return failed(str(error))
    except UpsampleError as error:
        if entry.is_alone and isinstance(error, UsageError):
            raise
        return failed(f"{job.input}: {error}")
    except MemoryError:
        return failed(f"{job.input}: not enough memory to hold the picture; give --workers 1, or enlarge it elsewhere")
    except Exception as error:
        if debug:
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return failed(f"{job.input}: {text}; this should not happen: --debug shows where")
    finally:
        watcher.ended(job)
