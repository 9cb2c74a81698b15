"""`python -m benchmarks.report RESULTS.json[=CASE,...]...`: puts saved runs' tables into docs/performance.md.

With `=png,process` only cases whose names begin with one of these: a later run may have measured the others again.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import milliseconds

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_START, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def tables(document: dict[str, Any]) -> str:
    """A saved run as Markdown: the machine, then a table for each case."""
    about = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    lines = [f"Read on {document['date']}, {document['rounds']} rounds in turn: {about}.", ""]
    for case, rows in itertools.groupby(document["rows"], key=lambda row: row["case"]):
        lines += [f"**{case}**", "", "| | median | fastest to slowest | ratio | |", "|---|---|---|---|---|"]
        for row in rows:
            median, low, high = (milliseconds(row[key]) for key in ("median_s", "low_s", "high_s"))
            figures = f"{median} ms | {low} to {high} ms | {row['ratio']:.2f}"
            lines.append(f"| {row['contender']} | {figures} | {row['note']} |")
        lines.append("")
    return "\n".join(lines)


def _chosen(result: str) -> dict[str, Any]:
    name, _, cases = result.partition("=")
    document: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    document["rows"] = [row for row in document["rows"] if row["case"].startswith(tuple(cases.split(",")))]
    return document


def main(*results: str) -> None:
    """Replace the figures of the page by those of saved runs."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(_START)
    _, after = rest.split(_END)
    figures = "\n".join(tables(_chosen(result)) for result in results)
    PAGE.write_text(before + _START + "\n" + figures + "\n" + _END + after, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
