"""The console output of `upsample`: a line when an image ends, a summary, or one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

from upsample_cli.batch.exclude import Exclusion
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.report.summary import (
    DONE_ALREADY,
    KEPT_FAILURES,
    LABEL_CHARACTERS,
    STATUSES,
    Summary,
    counted_formats,
)
from upsample_cli.cli.spelling import error_line, sentence
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure
from upsample_cli.images.streams import NAME

_SCROLLED_LINES = 20
"""Failures are repeated at the end if more than this many lines were printed, because they may have scrolled away."""
_OF_THE_SYSTEM = {"times"}
"""Kinds of losses that the output's file system causes, so that every image has them. The first one is printed."""


@dataclass(slots=True)
class Report:
    """Prints results as they arrive, and keeps only the data for the end of the report.

    Args:
        out: for results.
        messages: for warnings and errors.
        is_single: there is one input; it is reported in one line without a summary.
        is_watch: print a line for every written image, and all warnings about skipped images.
        verbose: print a line for every image.
        quiet: print only errors.
        as_json: print only the document at the end on `out`.
        order: position of each input in the document.
        other_formats: counts images in folders whose format this package does not read, by extension.
        exclusion: counts what was left out of folders on purpose; printed if `verbose`.
        is_resumable: whether there is a record, so that the same command continues a stopped run.
        holds_failures: returns whether the record holds failures that are retried only on request.
    """

    out: Output
    messages: Output
    is_single: bool
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False
    is_watch: bool = False
    order: Mapping[Path, int] = field(default_factory=dict)
    other_formats: Counter[str] = field(default_factory=Counter)
    exclusion: Exclusion = field(default_factory=Exclusion)
    is_resumable: bool = False
    holds_failures: Callable[[], bool] = lambda: False
    summary: Summary = field(default_factory=Summary)
    _records: list[tuple[int, str]] = field(default_factory=list)
    _printed_lines: int = 0
    _said_once: set[str] = field(default_factory=set)
    _first_failure: int | None = None

    def __post_init__(self) -> None:
        self.summary.is_watch = self.is_watch

    @property
    def needs_done(self) -> bool:
        """Whether it does more with the result of an image that was done before than count it."""
        return self.as_json or self.verbose or self.is_watch

    def add(self, result: Result) -> None:
        """Add a result, and print its line, warnings or error."""
        self.summary.add(result)
        if self.as_json:
            import json

            self._records.append((self.order.get(result.input, 0), json.dumps(file_record(result), indent=2)))
        if (error := error_line(result)) is not None:
            self._first_failure = self._printed_lines if self._first_failure is None else self._first_failure
            self.message("error", "bold red", error)
        elif not self.quiet:
            # The summary counts outputs that exist: a resumed run may skip many thousands.
            is_detailed = self.verbose or self.is_single or self.is_watch
            for warning in result.remarks if is_detailed or result.status != "skipped" else ():
                if warning.kind in self._said_once:
                    continue
                self._said_once |= {warning.kind} & _OF_THE_SYSTEM
                prefix = "" if isinstance(warning, Failure) else f"{result.input}: "
                self.message("warning", "yellow", prefix + sentence(warning, detailed=self.verbose))
            if not self.as_json and (self.verbose or (is_detailed and result.status != "skipped")):
                # Lines on a terminal that also shows bars must be printed by the console that draws the bars.
                lines = self.messages if self.out.file.isatty() and self.messages.file.isatty() else self.out
                lines.print(_line(result, self.verbose))
                self._printed_lines += 1

    def close(self, options: Options, device: str, elapsed_s: float, *, left: int | None = None) -> None:
        """Print the end of the report.

        Args:
            options: the options of the run.
            device: name of the device.
            elapsed_s: duration of the run, in seconds.
            left: number of unfinished images when the run was stopped; None if it was not stopped.
        """
        if left is not None and not self.as_json and self.out.file.isatty() and not self.messages.file.isatty():
            self.out.print("")  # after ^C; bars overwrite it
        if self.as_json:
            self._print_document(options, device, is_stopped=left is not None)
        elif self.is_single:
            if left and not self.quiet:
                pipes_image = self.out.file is self.messages.file
                what = "what was written is not whole" if pipes_image else "nothing was written"
                self.messages.print(f"stopped; {what}")
            for what in () if self.quiet else self._left_out():
                self.messages.print(one_line(what))
        elif not self.quiet:
            for line in self._summary_lines(elapsed_s, left):
                self.out.print(line[LABEL_CHARACTERS:], start=line[:LABEL_CHARACTERS], style="bold")
            lines_since = 0 if self._first_failure is None else self._printed_lines - self._first_failure
            if lines_since > _SCROLLED_LINES and self.summary.first_failures:
                self._repeat_failures()

    def _summary_lines(self, elapsed_s: float, left: int | None) -> Iterator[str]:
        if left is not None:
            yield f"stopped: {left:,} not done" + (
                "; run the same command again to continue" if self.is_resumable and left else ""
            )
        failed = self.summary.counts["failed"]
        retry = "--retry-failed tries again what failed" if failed and self.holds_failures() else ""
        yield from self.summary.lines(None if self.is_watch else elapsed_s, retry=retry)
        yield from (f"left out{count:>7,}  {one_line(what)}" for what, count in self._left_out().items())

    def _left_out(self) -> dict[str, int]:
        """What the run left out of folders, with how much that was."""
        others = {counted_formats(self.other_formats): self.other_formats.total()} if self.other_formats else {}
        return others | (self.exclusion.causes if self.verbose else {})

    @property
    def exit_status(self) -> int:
        """0 if no image failed, otherwise 1."""
        return int(self.summary.counts["failed"] > 0)

    def message(self, kind: str, style: str, text: str) -> None:
        """Print a warning or an error on a separate line."""
        self._printed_lines += 1
        self.messages.print(f" {one_line(text)}", start=f"{kind}:", style=style)

    def _print_document(self, options: Options, device: str, *, is_stopped: bool) -> None:
        """Write the same text as `json.dumps(..., indent=2)`, without a second copy of all records."""
        import json

        write = self.out.file.write
        self._records.sort(key=lambda record: record[0])
        document = summary_record(self.summary, options, device)
        document |= self._left_out_record()
        document |= {"stopped": True} if is_stopped else {}
        end = json.dumps(document, indent=2).removeprefix("{")
        write('{\n  "files": [')
        for index, (_, record) in enumerate(self._records):
            write(("," if index else "") + "\n" + indent(record, "    "))
        write(("\n  " if self._records else "") + f"],{end}\n")

    def _left_out_record(self) -> dict[str, Any]:
        excluded, litter = self.exclusion.files + self.exclusion.folders, self.exclusion.litter
        return (
            ({"other_formats": dict(self.other_formats)} if self.other_formats else {})
            | ({"excluded": excluded} if excluded else {})
            | ({"litter": dict(litter)} if litter else {})
        )

    def _repeat_failures(self) -> None:
        failed = self.summary.counts["failed"]
        which = f"the first {KEPT_FAILURES} of {failed:,}" if failed > KEPT_FAILURES else "again"
        self.out.print(f"What failed, {which}:")
        for error in self.summary.first_failures:
            self.out.print(f"  {one_line(error)}")


def file_record(result: Result) -> dict[str, Any]:
    """One image in JSON: an element of `files`, and a line of `--report`."""
    return {
        "input": str(result.input),
        "output": None if result.output is None else str(result.output),
        "status": result.status,
        "width": result.width,
        "height": result.height,
        "output_width": result.output_width,
        "output_height": result.output_height,
        "warnings": [sentence(warning) for warning in result.remarks],
        "warning_kinds": [warning.kind for warning in result.remarks],
        "error": error_line(result),
        "error_kind": None if result.fault is None else result.fault.kind,
        "seconds": round(result.elapsed_s, 3),
        "engine": result.engine,
    }


def summary_record(summary: Summary, options: Options, device: str) -> dict[str, Any]:
    """The JSON document of a run without `files`: counts, and the settings that determine pixels."""
    return {
        "summary": {status: summary.counts[status] for status in STATUSES},
        "factor": options.output_size.number,
        "kernel": options.kernel,
        "border": options.border,
        "device": device,
        **({} if options.model is None else {"model": options.model}),
        **({} if options.print is None else {"print": options.print}),
        **({} if options.dpi is None else {"dpi": options.dpi}),
    }


def _line(result: Result, verbose: bool) -> str:
    source = "standard input" if str(result.input) == NAME else result.input
    target = "standard output" if str(result.output) == NAME else result.output
    names = one_line(f"{source} -> {target}")
    sizes = f"{result.width}x{result.height} -> {result.output_width}x{result.output_height}"
    end = f"{result.elapsed_s:.2f} s" if result.status == "written" else result.status
    if result.status == "skipped" and result.failure is None:
        end += f": {DONE_ALREADY}"
    if verbose and result.engine:
        end += f"  {result.engine}" + (f": {one_line(result.engine_note)}" if result.engine_note else "")
    return f"{names}  {sizes}  {end}"
