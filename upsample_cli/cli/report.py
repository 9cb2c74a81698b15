"""What the `upsample` command says: lines as pictures end, a summary, or one JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from upsample_cli.cli.door import one_line
from upsample_cli.job import Options, Result, Status

STATUSES: tuple[Status, ...] = ("written", "skipped", "failed", "planned")


@dataclass(slots=True)
class Report:
    """Collects results and tells of them as they come.

    Args:
        out: for results.
        messages: for warnings and errors.
        total: number of inputs; one is reported in a line, more in a table.
        verbose: a line for every picture, however many.
        quiet: errors only.
        as_json: nothing on `out` but the document at the end.
    """

    out: Console
    messages: Console
    total: int
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False
    results: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Take a result and say what must be said at once."""
        self.results.append(result)
        if result.error is not None:
            self._message("error", "bold red", result.error)
        elif not self.quiet:
            # That outputs exist is in the summary; a resumed run of many thousands needs no line for each.
            said = result.warnings if self.verbose or self.total == 1 or result.status != "skipped" else ()
            for warning in said:
                prefix = "" if warning.startswith(f"{result.output}: ") else f"{result.input}: "
                self._message("warning", "yellow", prefix + warning)
            if not self.as_json and (self.verbose or (self.total == 1 and result.status != "skipped")):
                # While bars are drawn on the same terminal, lines must go past them.
                lines = self.messages if self.out.file.isatty() and self.messages.file.isatty() else self.out
                lines.print(_line(result), soft_wrap=True, highlight=False)

    def close(self, options: Options, device: str, elapsed_s: float) -> None:
        """Say what came of the whole run."""
        if self.as_json:
            self.out.print(json.dumps(document(self.results, options, device), indent=2), soft_wrap=True, markup=False,
                           highlight=False)  # fmt: skip
        elif self.total != 1 and not self.quiet:
            self.out.print(summary_table(self.results, elapsed_s))

    @property
    def exit_status(self) -> int:
        """0 if nothing failed, else 1."""
        return int(any(result.status == "failed" for result in self.results))

    def _message(self, kind: str, style: str, text: str) -> None:
        self.messages.print(f"[{style}]{kind}:[/] {escape(one_line(text))}", soft_wrap=True, highlight=False)


def document(results: Sequence[Result], options: Options, device: str) -> dict[str, Any]:
    """The JSON document of a run: `files`, `summary` and the settings that shaped the pixels."""
    counts = Counter(result.status for result in results)
    return {
        "files": [
            {
                "input": str(result.input),
                "output": None if result.output is None else str(result.output),
                "status": result.status,
                "width": result.width,
                "height": result.height,
                "output_width": result.output_width,
                "output_height": result.output_height,
                "warnings": list(result.warnings),
                "error": result.error,
                "seconds": round(result.elapsed_s, 3),
            }
            for result in results
        ],
        "summary": {status: counts[status] for status in STATUSES},
        "factor": options.factor,
        "kernel": options.kernel,
        "border": options.border,
        "device": device,
    }


def summary_table(results: Sequence[Result], elapsed_s: float) -> Table:
    """How many pictures came to which end, and how fast."""
    table = Table(title=None, box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    counts = Counter(result.status for result in results)
    for status in STATUSES:
        if counts[status] or (status == "written" and not counts["planned"]):
            table.add_row(status, str(counts[status]), _detail(status, results, elapsed_s))
    return table


def _detail(status: Status, results: Sequence[Result], elapsed_s: float) -> str:
    if status == "skipped":
        return "the output exists already; --overwrite replaces it"
    if status == "failed":
        return "see the lines above"
    if status == "planned":
        return "nothing was written"
    megapixels = sum((r.output_width or 0) * (r.output_height or 0) for r in results if r.status == "written") / 1e6
    return f"{megapixels:.1f} MP in {elapsed_s:.1f} s" + (f", {megapixels / elapsed_s:.0f} MP/s" if elapsed_s else "")


def _line(result: Result) -> str:
    names = escape(one_line(f"{result.input} -> {result.output}"))
    sizes = f"{result.width}x{result.height} -> {result.output_width}x{result.output_height}"
    end = f"{result.elapsed_s:.2f} s" if result.status == "written" else result.status
    return f"{names}  {sizes}  {end}"
