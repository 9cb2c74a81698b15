"""`python -m benchmarks.report [RESULTS.json[=CASE,...]...]`: write the tables of saved runs to docs/performance.md.

`=png,process` selects the cases whose names start with one of these, if another run has measured the other cases.
Without arguments, the runs that the page names are used again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import milliseconds
from benchmarks.tables import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_FIGURES = re.compile(r"<!-- figures: (.*?) -->\n.*?<!-- end of figures -->\n", flags=re.DOTALL)

_FAMILIES = {
    "engine": "The layer alone",
    "scaling": "Larger and larger images",
    "process: start": "Start of a command",
    "process": "Whole processes",
    "16-bit": "16-bit PNG",
    "memory": "Memory",
    "TIFF": "Larger than memory",
    "batch": "Folders",
    "PNG": "PNG encoders",
    "decoder": "PNG decoders, CPU time",
    "resizer": "Resizers, with their distance from the exact value",
}
"""The title of a matrix, by the start of the names of its cases."""

Row = dict[str, Any]


def _family(case: str) -> str:
    return next(title for start, title in _FAMILIES.items() if case.startswith(start))


def _short(name: str) -> str:
    """The name of a case without the words that all cases of its matrix have."""
    return re.sub(r"^(engine |(process|scaling|batch|memory|decoder|resizer): )", "", name)


def _cell(row: Row | None) -> str:
    """Median and ratio, then the spread, then the note."""
    if row is None:
        return ""
    median, low, high = (milliseconds(row[key]) for key in ("median_s", "low_s", "high_s"))
    return "<br>".join(filter(None, (f"{median} ms, {row['ratio']:.2f}", f"{low} to {high}", row["note"])))


def _matrix(rows: list[Row]) -> Iterator[str]:
    """A table of contenders and cases. There are rows for the more numerous of them, and columns for the other."""
    cells = {(row["contender"], row["case"]): row for row in rows}
    contenders, cases = (list(dict.fromkeys(row[key] for row in rows)) for key in ("contender", "case"))
    cases_down = len(cases) > len(contenders)
    down, across = (cases, contenders) if cases_down else (contenders, cases)
    yield f"| | {' | '.join(map(_short, across))} |"
    yield "|---" * (len(across) + 1) + "|"
    for one in down:
        keys = ((other, one) if cases_down else (one, other) for other in across)
        yield f"| {_short(one)} | {' | '.join(_cell(cells.get(key)) for key in keys)} |"


def tables(name: str, document: dict[str, Any]) -> str:
    """A saved run as Markdown: the machine, then a matrix for each family of cases."""
    about = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    source = f"[{name}](../benchmarks/results/{name})"
    lines = [f"Read on {document['date']}, {document['rounds']} rounds in turn: {about}. All of it: {source}.", ""]
    families: dict[str, list[Row]] = {}
    for row in document["rows"]:
        families.setdefault(_family(row["case"]), []).append(row)
    for title, rows in families.items():
        lines += [f"**{title}**", "", *_matrix(rows), ""]
    return "\n".join(lines)


def _chosen(result: str) -> str:
    name, _, cases = result.partition("=")
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    document["rows"] = [row for row in document["rows"] if row["case"].startswith(tuple(cases.split(",")))]
    return tables(name, document)


def with_figures(page: str, results: list[str]) -> str:
    """The page with the figures of these saved runs, or of the runs that it names."""
    named = _FIGURES.search(page)
    if named is None:
        raise ValueError(f"{PAGE.name} has no line '<!-- figures: RESULTS.json -->'; add one, and one for their end")
    results = results or named[1].split()
    figures = "\n".join(_chosen(result) for result in results)
    block = f"<!-- figures: {' '.join(results)} -->\n\n{figures}\n<!-- end of figures -->\n"
    return page[: named.start()] + block + page[named.end() :]


def main(*results: str) -> None:
    """Replace the figures of the page by the figures of saved runs."""
    names = [Path(result).name for result in results]
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), names), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
