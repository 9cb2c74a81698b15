"""Show the progress of a run: bars on a terminal, otherwise an occasional line."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import TypeVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.printable import one_line
from upsample_cli.enlarge.job import Job, Result

Item = TypeVar("Item")

LINE_EVERY_S = 600.0
"""Seconds between lines without a terminal: the log of a long run shows progress, and a short run prints no line."""
_WINDOW_S = 30.0
_PATIENCE_S = 0.3
_REFRESHES_PER_S = 8
_WAITING_REFRESHES_PER_S = 2  # a watch may run for days
_NARROW_COLUMNS = 60
_SHOWN_IN_FLIGHT = 4
_CTRL_C_COLUMNS = 2  # a terminal prints ^C into the last line of the bars; it is erased with this line


class Bars:
    """A `Watcher` that draws bars; a context manager, which erases the bars at its end.

    Args:
        console: the console. If it is not a terminal, a line is printed every `LINE_EVERY_S`, and no bars are drawn.
        is_shown: whether to print anything.
        waits_for_more: the run does not end when all known images are done.
    """

    def __init__(self, console: Console, *, is_shown: bool, waits_for_more: bool = False) -> None:
        self._console, self._is_shown, self._waits_for_more = console, is_shown, waits_for_more
        is_terminal = console.file.isatty()  # console.is_terminal is also true under FORCE_COLOR
        self._total = _progress(console, TimeRemainingColumn(), window_s=_WINDOW_S if is_terminal else 2 * LINE_EVERY_S)
        self._pixels = self._total.add_task("", total=0)  # of outputs
        self._images = self._total.add_task("", total=0)
        self._in_flight = _progress(console)
        self._rows: dict[Job, int] = {}  # of the images in flight, in the order in which they started
        self._settled = self._ended = self._ended_pixels = 0
        self._failed: set[Path] = set()
        self._lock = Lock()
        self._said_s = time.monotonic()
        per_s = _WAITING_REFRESHES_PER_S if waits_for_more else _REFRESHES_PER_S
        self._live = _live(console, per_s, self) if is_shown and is_terminal else None

    def expect(self, jobs: Iterable[Job], *, settled: int = 0) -> None:
        """Add jobs to the total.

        Args:
            jobs: the jobs to add.
            settled: number of images that already have a result.
        """
        self._settled += settled
        pixels = [math.prod(job.size) for job in jobs]
        self._total.update(self._pixels, total=sum(pixels, start=self._total.tasks[0].total or 0))
        self._total.update(self._images, total=len(pixels) + (self._total.tasks[1].total or 0))

    def __enter__(self) -> Bars:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            if not self._ended and not self._rows:  # do not count the import of torch
                self._total.reset(self._pixels)
                self._total.reset(self._images)
                self._measure()
            self._rows[job] = 0

    def advanced(self, job: Job, rows: int) -> None:
        """See `Watcher`."""
        with self._lock:
            if job in self._rows:  # a worker's message may arrive after its result
                self._rows[job] += rows
        self._say_line()

    def ended(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            self._rows.pop(job, None)
            self._ended += 1
            self._ended_pixels += math.prod(job.size)  # a failed image is also done

    def result(self, result: Result) -> None:
        """Add a result."""
        if result.status == "failed":
            self._failed.add(result.input)
        elif self._failed:  # an input of a watch can appear again
            self._failed.discard(result.input)
        self._say_line()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A bar for the run, and one for each of the oldest unfinished images."""
        lines = self._lines(is_narrow=options.max_width < _NARROW_COLUMNS)
        yield Constrain(Group(*lines), max(1, options.max_width - _CTRL_C_COLUMNS))

    def _lines(self, *, is_narrow: bool) -> Iterator[RenderableType]:
        with self._lock:
            in_flight = list(self._rows.items())
            self._measure()
        if is_narrow:
            yield Text(self._title(), no_wrap=True, overflow="ellipsis")
        self._total.update(self._pixels, description="" if is_narrow else self._title())
        yield self._total.make_tasks_table(self._total.tasks[:1])
        yield self._facts(len(in_flight))
        for job, rows in in_flight[:_SHOWN_IN_FLIGHT]:
            name = _shortened(one_line(job.input.name), 18 if is_narrow else 40)
            bar = self._in_flight.add_task(name, total=job.height, completed=rows)
            yield self._in_flight.make_tasks_table(self._in_flight.tasks)
            self._in_flight.remove_task(bar)

    def _measure(self) -> tuple[Task, Task]:
        """Update the totals. rich derives the speed from the amounts at these times."""
        begun = sum(rows / job.height * math.prod(job.size) for job, rows in self._rows.items())
        pixels, images = self._total.tasks
        self._total.advance(self._pixels, self._ended_pixels + begun - pixels.completed)
        self._total.advance(self._images, self._ended - images.completed)
        return pixels, images

    def _title(self) -> str:
        images = self._total.tasks[1]
        count = int(images.total or 0)
        title = f"{self._ended + self._settled:,} of {count + self._settled:,} images"
        return f"{title}; waiting for more" if self._waits_for_more and self._ended == count else title

    def _facts(self, in_flight: int) -> Text:
        facts = Text(no_wrap=True, overflow="ellipsis")
        if self._failed:
            facts.append(f"{len(self._failed):,} failed", style="bold red")
            facts.append(", ")
        is_starting = not (in_flight or self._ended)
        facts.append("starting" if is_starting else ", ".join([*self._rates(), f"{in_flight} in flight"]), style="cyan")
        return facts

    def _rates(self) -> list[str]:
        pixels, images = (task.speed for task in self._total.tasks)
        rates = [f"{figure(images)} images/s"] if images else []
        return [*rates, f"{figure(pixels / 1e6)} MP/s"] if pixels else rates

    def _say_line(self) -> None:
        if not self._is_shown or self._live is not None:
            return
        with self._lock:
            if time.monotonic() - self._said_s < LINE_EVERY_S:
                return
            self._said_s = time.monotonic()
            pixels, _ = self._measure()
        failed = [f"{len(self._failed):,} failed"] if self._failed else []
        left = TimeRemainingColumn().render(pixels)
        line = ", ".join([self._title(), *failed, *self._rates(), f"{left} left"])
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def counted(items: Iterable[Item], what: str, console: Console, *, is_shown: bool) -> Iterator[Item]:
    """Yield the items. If this takes long, a line on the terminal counts them: "12,345 images found"."""
    if not (is_shown and console.file.isatty()):
        yield from items
        return
    count = 0
    start_s = time.monotonic()
    live = _live(console, _REFRESHES_PER_S)
    try:
        for item in items:
            count += 1
            live.update(Text(f"{count:,} {what}", style="cyan"))
            if not live.is_started and time.monotonic() - start_s > _PATIENCE_S:
                live.start()
            yield item
    finally:
        live.stop()


def _live(console: Console, refreshes_per_s: float, shown: RenderableType | None = None) -> Live:
    # Do not redirect stdout: results in a pipe must not appear on the terminal.
    return Live(
        shown, console=console, transient=True, redirect_stdout=False, refresh_per_second=refreshes_per_s,
        vertical_overflow="crop",
    )  # fmt: skip


def _progress(console: Console, *ends: ProgressColumn, window_s: float = _WINDOW_S) -> Progress:
    """Bars to draw as a part of another renderable, each with a title and a percentage."""
    title = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    bar = BarColumn(bar_width=None, table_column=Column(ratio=1))
    share = TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True))
    return Progress(
        title, bar, share, *ends, console=console, expand=True, auto_refresh=False,
        speed_estimate_period=window_s, get_time=time.monotonic,
    )  # fmt: skip


def _shortened(name: str, columns: int) -> str:
    """Shorten a name in its middle, because its end identifies the file.

    >>> _shortened("a name of more than forty characters, which is cut.png", 40)
    'a name of more than fort…hich is cut.png'
    """
    if len(name) <= columns:
        return name
    end = (columns - 1) * 2 // 5
    return f"{name[: columns - 1 - end]}…{name[-end:]}"
