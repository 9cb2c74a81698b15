"""Print the output of `tconv` commands: results and notes on stdout, warnings and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence
from upsample_cli.errors import Failure, Loss, Text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_AMPLE_WIDTH = 10_000
"""Columns of output that is not a terminal: wide enough that lines are not wrapped."""
_AFTER_NAME = "(\n"
"""What follows the name of a layer on a narrow terminal."""


def result_console() -> Console:
    """A console for stdout that prints text literally, and wraps lines only on a terminal."""
    from rich.console import Console  # not needed for --json

    console = Console(highlight=False, markup=False, emoji=False)
    if sys.stdout is None or not sys.stdout.isatty():
        console.width = _AMPLE_WIDTH
    return console


def fitted_table(console: Console, table_of: Callable[[Callable[[object], str]], Table]) -> Table:
    """A table with the texts of layers. If the terminal is so narrow that words are cut, names have their own lines.

    Args:
        console: the console.
        table_of: makes the table; it gets the function that writes a layer.
    """
    table = table_of(str)
    if console.measure(table, options=console.options.update(width=2 * _AMPLE_WIDTH)).maximum <= console.width:
        return table
    if _is_cut(console, table):
        table = table_of(lambda layer: str(layer).replace("(", _AFTER_NAME, 1))
    if _is_cut(console, table):
        for column in table.columns:
            cells = [str(cell) for cell in column.cells]
            if any(_AFTER_NAME in cell for cell in cells):
                column.width = max(len(word) for cell in cells for word in cell.split())
    return table


def _is_cut(console: Console, table: Table) -> bool:
    """Whether rich would cut words of a table, where it writes an ellipsis."""
    return any("…" in segment.text for line in console.render_lines(table) for segment in line)


def print_document(document: dict[str, Any]) -> None:
    """Print a JSON document on one line."""
    print(json.dumps(document))


def print_facts(console: Console, subject: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns, below what they are about."""
    longest = max(len(name) for name, _ in facts)
    console.print(one_line(subject), style="bold")
    for name, value in facts:
        console.print(f"{one_line(name):<{longest}}  ", style="bold", end="")
        console.print(one_line(value), soft_wrap=True)


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print a line for each note."""
    for note in notes:
        console.print(f"note: {note}", style="yellow")


def print_rows(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Print a table without borders, its header first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        console.print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_written(*paths: Path | None, verb: str = "written") -> None:
    """Print a line for each written file."""
    for path in paths:
        if path is not None:
            print(f"{verb}: {one_line(str(path))}")


def warn(fact: Failure | Loss | Text) -> None:
    """Print a warning. The command goes on if standard error is on a full disk."""
    Output(sys.stderr).print(f"warning: {one_line(sentence(fact))}")


@contextmanager
def progress_shown(description: str, total: float) -> Iterator[Callable[[float], None]]:
    """Show a progress bar if stderr is a terminal. Yields a function that advances it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # is_terminal is also true under FORCE_COLOR
    with Progress(console=console, transient=True, disable=not console.file.isatty()) as progress:
        task = progress.add_task(description, total=total)
        yield lambda share: progress.advance(task, share)
