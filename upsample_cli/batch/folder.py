"""`upsample_folder`: many images from Python, with a result for each as it ends."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from threading import Event, Lock
from types import TracebackType
from typing import Any, Self

from upsample_cli import arguments
from upsample_cli.atomic.folders import make_bases
from upsample_cli.batch.entry import AnyEntry
from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.interfaces import MAX_TIMEOUT_S
from upsample_cli.batch.memory import budget_bytes
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.run import OnProgress
from upsample_cli.errors import Setting, UsageError

PathName = str | os.PathLike[str]


def upsample_folder(
    sources: PathName | Iterable[PathName],
    target: PathName | None = None,
    factor: int | float | Fraction | str | None = None,
    *,
    recursive: bool = False,
    workers: int | None = None,
    timeout_s: float | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> FolderRun:
    """Enlarge the images of a folder, several at once, as the command does. It keeps no record of the run.

    The run is planned here. No pixel is decoded and no output is written before the first result is taken.

    Args:
        sources: a folder, a file or a pattern such as "*.png", or several of these.
        target: the folder of the outputs; by default `FOLDER_xFACTOR` next to the folder, and for files their own
            folder.
        factor: see `upsample_file`.
        recursive: include subfolders, mirrored in the target.
        workers: how many images are enlarged at the same time; by default as many as cores and memory allow.
        timeout_s: seconds that an image may take; by default there is no limit.
        on_progress: called with the share of all output pixels that are done, above 0 and rising, at the end 1.0. It is
            called in the thread that takes the results, a few times a second while it waits. If it raises an exception,
            the run ends and the exception is passed on.
        options: see `upsample_file`.

    Returns:
        The results; see `FolderRun`.

    Raises:
        UsageError: if an option is out of range, or two outputs would have the same name.
    """
    if workers is not None and (workers := arguments.whole(workers, "workers")) < 1:
        raise UsageError(f"{workers} workers do nothing", ("give ", Setting("workers", 1), " or more"))
    recursive = arguments.flag(recursive, "recursive")
    if timeout_s is not None and not 0 < (timeout_s := arguments.number(timeout_s, "timeout_s")) <= MAX_TIMEOUT_S:
        timeout = Setting("timeout_s", f"{timeout_s:g}")
        raise UsageError((timeout, " is out of range"), f"give more than 0, {MAX_TIMEOUT_S:,} at the most")
    if on_progress is not None:
        arguments.function(on_progress, "on_progress")
    chosen = Options(factor, **options)
    names = arguments.texts(sources, "sources")
    output = None if target is None else arguments.text(target, "target")
    exclude = None if output is None else arguments.path(output, "target")
    found = list(find_inputs(names, recursive=recursive, exclude=exclude))
    entries = plan_run(found, outputs_of(output, found), chosen, timeout_s=timeout_s)
    pixels = _Pixels(job for entry in entries if (job := entry.job) is not None)

    def start(jobs: Sequence[Job], token: str) -> Any:
        return executor_for(jobs, chosen, token=token, watcher=pixels, workers=workers, timeout_s=timeout_s)

    tell = (lambda _share: None) if on_progress is None else on_progress
    stop = Event()
    return FolderRun(entries, _results(entries, start, budget_bytes(chosen), _Meter(pixels, tell, stop)), stop)


class FolderRun(Iterator[Result]):
    """The results of `upsample_folder`, each as soon as its image has ended; `len()` is the number of all images.

    Results that are known without enlarging come first: outputs that exist already are "skipped", and inputs that
    cannot be read are "failed". A failed image is a result with an `error`; the others go on.

    Use it in a `with` statement, or call `close`, if the loop may end early: running images are stopped, and no worker
    process and no temporary file is left. Finished outputs stay. Ctrl-C while it waits for a result does the same.

    Raises:
        UsageError: by the first result, if an option cannot be carried out here, for example if the device is missing.
        UpsampleError: if worker processes do not start.
    """

    def __init__(self, entries: Sequence[AnyEntry], results: Generator[Result], stop: Event) -> None:
        self._count, self._results, self._stop = len(entries), results, stop

    def __len__(self) -> int:
        return self._count

    def __next__(self) -> Result:
        return next(self._results)

    def close(self) -> None:
        """Stop the run. If another thread waits for a result, its loop ends a moment later without one."""
        self._stop.set()
        with contextlib.suppress(ValueError):  # the generator runs in another thread, and ends there
            self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _results(
    entries: Sequence[AnyEntry], start: Callable[[Sequence[Job], str], Any], budget: int | None, meter: _Meter
) -> Generator[Result]:
    jobs = [entry.job for entry in entries if entry.job is not None]
    make_bases(job.place for job in jobs if job.place is not None)
    journal = NullJournal()
    executor = start(jobs, journal.token)
    atexit.register(executor.close)  # a program that ends during a run would wait for its workers
    try:
        results = run_entries(entries, executor=executor, journal=journal, budget_bytes=budget, on_wait=meter.report)
        with contextlib.closing(results):
            for number, result in enumerate(results, start=1):
                meter.report(is_end=number == len(entries))
                yield result
    except _StoppedError:
        return
    finally:
        executor.close()
        atexit.unregister(executor.close)


class _Pixels:
    """A `Watcher` that counts the pixels of outputs."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._total = sum(math.prod(job.size) for job in jobs)
        self._ended = 0
        self._rows: dict[Job, int] = {}
        self._lock = Lock()

    def share(self) -> float:
        """The share of the pixels that are done, 0 to 1. Pixels of a failed image count as done."""
        with self._lock:
            begun = sum(math.prod(job.size) * min(1.0, rows / job.height) for job, rows in self._rows.items())
            return (self._ended + begun) / self._total if self._total else 0.0

    def started(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            self._rows[job] = 0

    def advanced(self, job: Job, rows: int) -> None:
        """See `Watcher`."""
        with self._lock:
            if job in self._rows:  # a worker's message may arrive after its result
                self._rows[job] += rows

    def ended(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            self._rows.pop(job, None)
            self._ended += math.prod(job.size)


class _StoppedError(Exception):
    """Another thread has closed the run."""


class _Meter:
    """Reports a rising share, and 1.0 once, at the end. Raises `_StoppedError` if `stop` is set."""

    def __init__(self, pixels: _Pixels, on_progress: OnProgress, stop: Event) -> None:
        self._pixels, self._on_progress, self._stop = pixels, on_progress, stop
        self._told = 0.0

    def report(self, *, is_end: bool = False) -> None:
        if self._stop.is_set():
            raise _StoppedError
        share = 1.0 if is_end else self._pixels.share()
        if is_end or self._told < share < 1:
            self._told = share
            self._on_progress(share)
