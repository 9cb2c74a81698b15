"""Print the table of each case when it is done, and save all tables to benchmarks/results/."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Row, milliseconds
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"


def measure(found: Iterable[Iterable[list[Row]]], rounds: int, save: str) -> None:
    """Print the table of each case when it is done. If a name is given, save all of them."""
    rows: list[Row] = []
    about = machine()
    console = Console()
    console.print(", ".join(f"{key}: {value}" for key, value in about.items()), highlight=False)
    for table in itertools.chain.from_iterable(found):
        console.print(_table(table))
        rows += table
    if save:
        RESULTS.mkdir(exist_ok=True)
        date = datetime.datetime.now(tz=datetime.UTC).date()
        document = {"date": str(date), "machine": about, "rounds": rounds, "rows": [asdict(row) for row in rows]}
        (RESULTS / f"{date}-{save}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _table(rows: list[Row]) -> Table:
    table = Table("", "median", "fastest", "slowest", "ratio", "", title=rows[0].case, title_justify="left")
    for row in rows:
        figures = (f"{milliseconds(seconds)} ms" for seconds in (row.median_s, row.low_s, row.high_s))
        table.add_row(row.contender, *figures, f"{row.ratio:.2f}", row.note)
    return table
