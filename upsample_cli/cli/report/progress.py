"""How a run is going, while it goes: bars on a terminal, and now and then a line where there is none."""

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

Each = TypeVar("Each")

LINE_EVERY_S = 600.0
"""Between lines where there is no terminal: a night's log shows that the run is alive, and a short run says nothing."""
_WINDOW_S = 30.0
_PATIENCE_S = 0.3
_REFRESHES_PER_S = 8
_WAITING_REFRESHES_PER_S = 2  # for days, maybe
_NARROW_COLUMNS = 60
_SHOWN_IN_FLIGHT = 4
_CTRL_C_COLUMNS = 2  # what a terminal shows of it stays in the last line of the bars, and goes with it


@dataclass(slots=True)
class _InFlight:
    name: str
    height: int
    row_pixels: float
    rows: int = 0


class Bars:
    """A `batch.run.Watcher` that draws; a context manager. Nothing of it stays on the terminal.

    Args:
        console: where. If it is no terminal there are no bars, but a line every `LINE_EVERY_S`.
        options: of the run, which say how large outputs are.
        is_shown: whether to say anything at all.
        waits_for_more: all that is known being done is not the end.
    """

    def __init__(self, console: Console, options: Options, *, is_shown: bool, waits_for_more: bool = False) -> None:
        self._options = options
        self._waits_for_more = waits_for_more
        self._flying: dict[Job, _InFlight] = {}
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
        """Take in what is to be done; the bars measure themselves by it.

        Args:
            settled: so many more images have had their result from the plan.
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
        """See `batch.run.Watcher`."""
        with self._lock:
            if not self._done_pixels and not self._flying:  # the time that torch takes is none of the images'
                self._samples[0] = (time.monotonic(), 0, 0.0)
            self._flying[job] = _InFlight(one_line(job.input.name), job.height, self._row_pixels(job))

    def advanced(self, job: Job, rows: int) -> None:
        """See `batch.run.Watcher`."""
        with self._lock:
            if (flying := self._flying.get(job)) is not None:  # word from a worker may come after its result
                flying.rows += rows
                self._done_pixels += rows * flying.row_pixels
        self._say_line()

    def ended(self, job: Job) -> None:
        """See `batch.run.Watcher`."""
        with self._lock:
            flying = self._flying.pop(job, None) or _InFlight("", job.height, self._row_pixels(job))
            self._done_pixels += (flying.height - flying.rows) * flying.row_pixels  # failed ones are done with too
            self._done += 1

    def result(self, result: Result) -> None:
        """Take in what came of an image."""
        if result.status == "failed":
            self._failed.add(result.input)
        else:  # in a watch an input may come again
            self._failed.discard(result.input)
        self._say_line()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The whole run, and the longest in flight."""
        lines = self._lines(is_narrow=options.max_width < _NARROW_COLUMNS)
        yield Constrain(Group(*lines), max(1, options.max_width - _CTRL_C_COLUMNS))

    def _lines(self, *, is_narrow: bool) -> Iterator[RenderableType]:
        with self._lock:
            flying = list(self._flying.values())
        if is_narrow:
            yield Text(self._title(), no_wrap=True, overflow="ellipsis")
        share = self._done_pixels / self._pixels if self._pixels else 0.0
        yield _bar_line("" if is_narrow else self._title(), share, self._time_left())
        yield self._facts(len(flying))
        for each in flying[:_SHOWN_IN_FLIGHT]:
            yield _bar_line(_shortened(each.name, 18 if is_narrow else 40), each.rows / each.height)

    def _row_pixels(self, job: Job) -> float:
        """Pixels of the output for each row of the input."""
        planned = Result.planned(job)
        return (planned.output_height or 0) * (planned.output_width or 0) / job.height

    def _title(self) -> str:
        title = f"{self._done + self._settled:,} of {self._count + self._settled:,} images"
        return f"{title}; waiting for more" if self._waits_for_more and self._done == self._count else title

    def _facts(self, flying: int) -> Text:
        facts = Text(no_wrap=True, overflow="ellipsis")
        if self._failed:
            facts.append(f"{len(self._failed):,} failed", style="bold red")
            facts.append(", ")
        is_starting = not (flying or self._done)
        facts.append("starting" if is_starting else ", ".join([*self._rates(), f"{flying} in flight"]), style="cyan")
        return facts

    def _speed(self) -> tuple[float, float]:
        """(images, pixels) a second, lately."""
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


def counted(each: Iterable[Each], what: str, console: Console, *, is_shown: bool) -> Iterator[Each]:
    """Pass on what comes; where that takes its time, a line on the terminal counts it: "12,345 images found"."""
    if not (is_shown and console.file.isatty()):
        yield from each
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
        for one in each:
            count += 1
            if not live.is_started and time.monotonic() - start_s > _PATIENCE_S:
                live.start()
            yield one
    finally:
        live.stop()


def _live(console: Console, shown: RenderableType, refreshes_per_s: float) -> Live:
    # stdout is not redirected: results that are piped elsewhere must not end up on the terminal.
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
    """A name cut in its middle, so that its end still tells what it is.

    >>> _shortened("a name of more than forty characters, which is cut.png", 40)
    'a name of more than fort…hich is cut.png'
    """
    if len(name) <= columns:
        return name
    end = (columns - 1) * 2 // 5
    return f"{name[: columns - 1 - end]}…{name[-end:]}"
