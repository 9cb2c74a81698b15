"""Bars and counts on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich import progress
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.table import Column, Table
from rich.text import Text

from upsample_cli.cli.report.counts import Progress
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.printable import one_line

Item = TypeVar("Item")

_WINDOW_S = 30.0
_PATIENCE_S = 0.3
_REFRESHES_PER_S = 8
_WAITING_REFRESHES_PER_S = 2  # a watch may run for days
_NARROW_COLUMNS = 60
_SHOWN_IN_FLIGHT = 4
_CTRL_C_COLUMNS = 2  # a terminal prints ^C into the last line of the bars; it is erased with this line


class Bars(Progress):
    """A `Progress` that draws bars; a context manager, which erases the bars at its end.

    Args:
        messages: a terminal.
        waits_for_more: see `Progress`.
    """

    def __init__(self, messages: Output, *, waits_for_more: bool = False) -> None:
        super().__init__(messages, prints_lines=False, waits_for_more=waits_for_more, window_s=_WINDOW_S)
        console = messages.console
        left = TextColumn("{task.fields[left]}", style="progress.remaining", markup=False, table_column=Column())
        self._run_bar, self._image_bar = _Bar(console, left), _Bar(console)
        self._live = _live(console, _WAITING_REFRESHES_PER_S if waits_for_more else _REFRESHES_PER_S, self)

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A bar for the run, and one for each of the oldest unfinished images."""
        with self._lock:
            lines = list(self._lines(is_narrow=options.max_width < _NARROW_COLUMNS))
        yield Constrain(Group(*lines), max(1, options.max_width - _CTRL_C_COLUMNS))

    def _lines(self, *, is_narrow: bool) -> Iterator[RenderableType]:
        self._measure()
        if is_narrow:
            yield Text(self._title(), no_wrap=True, overflow="ellipsis")
        title, pixels = "" if is_narrow else self._title(), self._pixels
        yield self._run_bar.line(title, pixels.done, pixels.total, time_left=pixels.time_left())
        yield self._facts()
        for job, rows in list(self._rows.items())[:_SHOWN_IN_FLIGHT]:
            name = _shortened(one_line(job.input.name), 18 if is_narrow else 40)
            yield self._image_bar.line(name, rows, job.height)

    def _facts(self) -> Text:
        facts = Text(no_wrap=True, overflow="ellipsis")
        for failures in self._failures():
            facts.append(failures, style="bold red")
            facts.append(", ")
        is_starting = not (self._rows or self._ended)
        numbers = ["starting"] if is_starting else [*self._rates(), f"{len(self._rows)} in flight"]
        return facts.append(", ".join(numbers), style="cyan")


class _Bar:
    """A bar to draw as a part of another renderable, with a title and a percentage."""

    def __init__(self, console: Console, *ends: ProgressColumn) -> None:
        title = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        bar = BarColumn(bar_width=None, table_column=Column(ratio=1))
        share = TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True))
        self._bars = progress.Progress(title, bar, share, *ends, console=console, expand=True, auto_refresh=False)
        self._task = self._bars.add_task("")  # one for all lines, because columns keep a text for each task

    def line(self, title: str, done: float, total: float, time_left: str = "") -> Table:
        """The bar for an amount."""
        self._bars.update(self._task, description=title, completed=done, total=total, left=time_left)
        return self._bars.make_tasks_table(self._bars.tasks)


def counted_on_terminal(items: Iterable[Item], what: str, console: Console) -> Iterator[Item]:
    """See `counted`."""
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


def _shortened(name: str, columns: int) -> str:
    """Shorten a name in its middle, because its end identifies the file.

    >>> _shortened("a name of more than forty characters, which is cut.png", 40)
    'a name of more than fort…hich is cut.png'
    """
    if len(name) <= columns:
        return name
    end = (columns - 1) * 2 // 5
    return f"{name[: columns - 1 - end]}…{name[-end:]}"
