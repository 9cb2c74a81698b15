"""Bars on a terminal: the whole run, and each picture in flight."""

from __future__ import annotations

from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from upsample_cli.cli.door import one_line
from upsample_cli.job import Job, Options


class _Rate(ProgressColumn):
    """Output megapixels a second of the whole run."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed / 1e6:.0f} MP/s" if task.speed and task.fields["is_total"] else "", style="cyan")


class Bars:
    """A `batch.run.Watcher` that draws; a context manager.

    Args:
        console: where; nothing is drawn if it is no terminal.
        jobs: all that will be done, to know how much there is.
        is_shown: whether to draw at all.
    """

    def __init__(self, console: Console, jobs: list[Job], options: Options, *, is_shown: bool) -> None:
        self._scale = options.factor**2
        self._tasks: dict[Job, TaskID] = {}
        self._lock = Lock()
        self._done = 0
        self._count = len(jobs)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # results that are piped elsewhere must not end up on the terminal
            disable=not (is_shown and console.file.isatty()),  # is_terminal is also true under FORCE_COLOR
        )
        pixels = sum(job.height * job.width for job in jobs) * self._scale
        self._total = self._progress.add_task(self._title(), total=pixels, is_total=True)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def started(self, job: Job) -> None:
        """See `batch.run.Watcher`."""
        name = one_line(job.input.name)
        task = self._progress.add_task(
            name if len(name) <= 40 else f"{name[:24]}…{name[-15:]}", total=job.height, is_total=False
        )
        with self._lock:
            self._tasks[job] = task

    def advanced(self, job: Job, rows: int) -> None:
        """See `batch.run.Watcher`."""
        self._progress.advance(self._tasks[job], rows)
        self._progress.advance(self._total, rows * job.width * self._scale)

    def ended(self, job: Job) -> None:
        """See `batch.run.Watcher`."""
        with self._lock:
            self._done += 1
            self._progress.remove_task(self._tasks.pop(job))
        self._progress.update(self._total, description=self._title())

    def _title(self) -> str:
        return f"{self._done} of {self._count} pictures"
