"""Progress of a run: bars on a terminal, elsewhere an occasional line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TypeVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.printable import one_line
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options

Item = TypeVar("Item")

LINE_EVERY_S = 600.0
"""Between lines without a terminal: the log of a long run shows that it is alive, a short run prints none."""
_WINDOW_S = 30.0
_PATIENCE_S = 0.3
_REFRESHES_PER_S = 8
_WAITING_REFRESHES_PER_S = 2  # a watch may run for days
_NARROW_COLUMNS = 60
_SHOWN_IN_FLIGHT = 4
_CTRL_C_COLUMNS = 2  # the ^C that a terminal prints stays in the last line of the bars, and is erased with it


@dataclass(slots=True)
class _InFlight:
    name: str
    height: int
    row_pixels: float
    rows: int = 0


class Bars:
    """A `Watcher` that draws bars; a context manager. Its end erases them.

    Args:
        console: where to draw. Without a terminal there are no bars, but a line every `LINE_EVERY_S`.
        options: of the run; they determine the sizes of outputs.
        is_shown: whether to print anything.
        waits_for_more: the run does not end when all known images are done.
    """

    def __init__(self, console: Console, options: Options, *, is_shown: bool, waits_for_more: bool = False) -> None:
        self._options = options
        self._waits_for_more = waits_for_more
        self._in_flight: dict[Job, _InFlight] = {}
        self._lock = Lock()
        self._count = self._done = self._settled = 0
        self._failed: set[Path] = set()
        self._pixels = self._done_pixels = 0.0  # of outputs
        self._samples: deque[tuple[float, int, float]] = deque([(time.monotonic(), 0, 0.0)])
        self._said_s = time.monotonic()
        self._console = console
        self._is_shown = is_shown
        is_terminal = console.file.isatty()  # console.is_terminal is also true under FORCE_COLOR
        per_s = _WAITING_REFRESHES_PER_S if waits_for_more else _REFRESHES_PER_S
        self._live = _live(console, self, per_s) if is_shown and is_terminal else None

    def expect(self, jobs: Iterable[Job], *, settled: int = 0) -> None:
        """Add jobs to the total.

        Args:
            settled: number of images that already have a result.
        """
        self._settled += settled
        for job in jobs:
            self._count += 1
            self._pixels += self._row_pixels(job) * job.height

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
            if not self._done_pixels and not self._in_flight:  # the import of torch does not count
                self._samples[0] = (time.monotonic(), 0, 0.0)
            self._in_flight[job] = _InFlight(one_line(job.input.name), job.height, self._row_pixels(job))

    def advanced(self, job: Job, rows: int) -> None:
        """See `Watcher`."""
        with self._lock:
            if (image := self._in_flight.get(job)) is not None:  # a worker's message may arrive after its result
                image.rows += rows
                self._done_pixels += rows * image.row_pixels
        self._say_line()

    def ended(self, job: Job) -> None:
        """See `Watcher`."""
        with self._lock:
            image = self._in_flight.pop(job, None) or _InFlight("", job.height, self._row_pixels(job))
            self._done_pixels += (image.height - image.rows) * image.row_pixels  # a failed image is done too
            self._done += 1

    def result(self, result: Result) -> None:
        """Add a result."""
        if result.status == "failed":
            self._failed.add(result.input)
        else:  # an input of a watch may return
            self._failed.discard(result.input)
        self._say_line()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A bar for the run, and one for each of the oldest images in flight."""
        lines = self._lines(is_narrow=options.max_width < _NARROW_COLUMNS)
        yield Constrain(Group(*lines), max(1, options.max_width - _CTRL_C_COLUMNS))

    def _lines(self, *, is_narrow: bool) -> Iterator[RenderableType]:
        with self._lock:
            in_flight = list(self._in_flight.values())
        if is_narrow:
            yield Text(self._title(), no_wrap=True, overflow="ellipsis")
        share = self._done_pixels / self._pixels if self._pixels else 0.0
        yield _bar_line("" if is_narrow else self._title(), share, self._time_left())
        yield self._facts(len(in_flight))
        for image in in_flight[:_SHOWN_IN_FLIGHT]:
            yield _bar_line(_shortened(image.name, 18 if is_narrow else 40), image.rows / image.height)

    def _row_pixels(self, job: Job) -> float:
        """Pixels of the output for each row of the input."""
        planned = Result.planned(job)
        return (planned.output_height or 0) * (planned.output_width or 0) / job.height

    def _title(self) -> str:
        title = f"{self._done + self._settled:,} of {self._count + self._settled:,} images"
        return f"{title}; waiting for more" if self._waits_for_more and self._done == self._count else title

    def _facts(self, in_flight: int) -> Text:
        facts = Text(no_wrap=True, overflow="ellipsis")
        if self._failed:
            facts.append(f"{len(self._failed):,} failed", style="bold red")
            facts.append(", ")
        is_starting = not (in_flight or self._done)
        facts.append("starting" if is_starting else ", ".join([*self._rates(), f"{in_flight} in flight"]), style="cyan")
        return facts

    def _speed(self) -> tuple[float, float]:
        """(images, pixels) per second, over the last `_WINDOW_S`."""
        now_s = time.monotonic()
        with self._lock:
            samples = self._samples
            samples.append((now_s, self._done, self._done_pixels))
            while len(samples) > 2 and samples[1][0] < now_s - _WINDOW_S:
                samples.popleft()
            start_s, done, pixels = samples[0]
            elapsed_s = max(now_s - start_s, 1e-3)
            return (self._done - done) / elapsed_s, (self._done_pixels - pixels) / elapsed_s

    def _rates(self) -> list[str]:
        images, pixels = self._speed()
        rates = [f"{figure(images)} images/s"] if images else []
        return [*rates, f"{figure(pixels / 1e6)} MP/s"] if pixels else rates

    def _time_left(self) -> str:
        pixels = self._speed()[1]
        left_s = (self._pixels - self._done_pixels) / pixels if pixels else None
        return "-:--:--" if left_s is None else str(timedelta(seconds=round(left_s)))

    def _say_line(self) -> None:
        if not self._is_shown or self._live is not None:
            return
        with self._lock:
            if time.monotonic() - self._said_s < LINE_EVERY_S:
                return
            self._said_s = time.monotonic()
        failed = [f"{len(self._failed):,} failed"] if self._failed else []
        line = ", ".join([self._title(), *failed, *self._rates(), f"{self._time_left()} left"])
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def counted(items: Iterable[Item], what: str, console: Console, *, is_shown: bool) -> Iterator[Item]:
    """Yield the items; if that takes long, count them in a line on the terminal: "12,345 images found"."""
    if not (is_shown and console.file.isatty()):
        yield from items
        return
    count = 0
    start_s = time.monotonic()
    live = Live(
        get_renderable=lambda: Text(f"{count:,} {what}", style="cyan"),
        console=console,
        transient=True,
        redirect_stdout=False,
        refresh_per_second=_REFRESHES_PER_S,
    )
    try:
        for item in items:
            count += 1
            if not live.is_started and time.monotonic() - start_s > _PATIENCE_S:
                live.start()
            yield item
    finally:
        live.stop()


def _live(console: Console, shown: RenderableType, refreshes_per_s: float) -> Live:
    # stdout is not redirected: results in a pipe must not appear on the terminal.
    return Live(
        shown, console=console, transient=True, redirect_stdout=False, refresh_per_second=refreshes_per_s,
        vertical_overflow="crop",
    )  # fmt: skip


def _bar_line(title: str, share: float, *ends: str) -> Table:
    line = Table.grid(expand=True, padding=(0, 1))
    cells: list[RenderableType] = [ProgressBar(total=1.0, completed=min(share, 1.0)), f"{share:>4.0%}", *ends]
    if title:
        line.add_column(no_wrap=True, overflow="ellipsis")
        cells.insert(0, Text(title))
    line.add_column(ratio=1)
    for _ in range(len(cells) - len(line.columns)):
        line.add_column(no_wrap=True, justify="right")
    line.add_row(*cells)
    return line


def _shortened(name: str, columns: int) -> str:
    """A name without its middle; the end identifies the file.

    >>> _shortened("a name of more than forty characters, which is cut.png", 40)
    'a name of more than fort…hich is cut.png'
    """
    if len(name) <= columns:
        return name
    end = (columns - 1) * 2 // 5
    return f"{name[: columns - 1 - end]}…{name[-end:]}"
