"""What the `upsample` command does with its options: plan, run, report."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.find import find_inputs
from upsample_cli.batch.jobs import Entry, plan_run
from upsample_cli.batch.memory import budget_bytes
from upsample_cli.batch.run import NoJournal, run_entries
from upsample_cli.batch.streams import is_output_streamed, is_streamed, plan_stream
from upsample_cli.batch.target import target_of
from upsample_cli.cli.progress import Bars, counted
from upsample_cli.cli.report import Report
from upsample_cli.errors import UsageError
from upsample_cli.job import Options
from upsample_cli.pictures.streams import picture_pipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the command: what is asked of the run as a whole.

    Args:
        inputs: as typed.
        output: `--output` as typed.
        options: what holds for every picture.
        recursive: take the subfolders of folders.
        workers: pictures in flight at once; None for one per core.
        dry_run: plan only.
        as_json: one document in place of lines.
        quiet: errors only.
        verbose: a line for every picture.
        debug: let unexpected errors through.
        timeout_s: seconds a picture may take; None for any number.

    Raises:
        UsageError: if they cannot be carried out together.
    """

    inputs: Sequence[str]
    output: str | None
    options: Options
    recursive: bool = False
    workers: int | None = None
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers do nothing", "give --workers 1 or more")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise UsageError(f"--timeout {self.timeout_s:g} leaves no time", "give it seconds, more than 0")
        if self.output == "":
            raise UsageError("--output has no name", "give it a file or a folder, or leave it out")
        if self.pipes_picture and self.as_json:
            raise UsageError("--json and the picture would both be written to standard output", "give --output a file")

    @property
    def pipes_picture(self) -> bool:
        """Whether a picture goes to standard output."""
        return is_output_streamed(self.inputs, self.output) and not self.dry_run


def run_upsample(request: Request) -> int:
    """Plan, run, report. Returns the exit status."""
    start_s = time.perf_counter()
    # "a:x:.png" is a name
    out, messages = (Console(stderr=is_stderr, emoji=False) for is_stderr in (request.pipes_picture, True))
    entries = _planned(request, messages)
    report = Report(
        out,
        messages,
        is_single=len(entries) == 1,
        verbose=request.verbose,
        quiet=request.quiet,
        as_json=request.as_json,
        order={entry.result.input: index for index, entry in enumerate(entries)} if request.as_json else {},
    )
    device = request.options.device
    try:
        if request.dry_run:
            for entry in entries:
                report.add(entry.result)
        else:
            device = _run(entries, request, report)
    except KeyboardInterrupt:
        report.close(request.options, device, time.perf_counter() - start_s)
        raise
    report.close(request.options, device, time.perf_counter() - start_s)
    return report.exit_status


def _planned(request: Request, messages: Console) -> list[Entry]:
    inputs, output, options = request.inputs, request.output, request.options
    if is_streamed(inputs, output):
        stdout: BinaryIO | None = picture_pipe(sys.stdout) if request.pipes_picture else None
        return plan_stream(inputs, output, options, stdin=sys.stdin, stdout=stdout)
    walk = find_inputs(inputs, recursive=request.recursive, exclude=Path(output) if output else None)
    found = list(counted(walk, "pictures found", messages, is_shown=not request.quiet))
    if not found:
        deeper = "" if request.recursive else ", or -r to look in their subfolders"
        raise UsageError(f"no pictures in {', '.join(inputs)}", f"name pictures or folders that hold some{deeper}")
    return plan_run(found, target_of(output, found), options)


def _run(entries: list[Entry], request: Request, report: Report) -> str:
    """Carry out what is planned. Returns the name of the device."""
    options = request.options
    jobs = [entry.job for entry in entries if entry.job is not None]
    bars = Bars(report.messages, factor=options.factor, is_shown=not report.quiet)
    bars.expect(jobs)
    journal = NoJournal()
    executor = executor_for(
        jobs,
        options,
        token=journal.token,
        watcher=bars,
        workers=request.workers,
        timeout_s=request.timeout_s,
        is_alone=any(entry.is_alone for entry in entries),
        debug=request.debug,
    )
    results = run_entries(entries, options, executor=executor, journal=journal, budget_bytes=budget_bytes(options))
    with bars, contextlib.closing(results):
        for result in results:
            report.add(result)
            bars.result(result)
    return executor.device or options.device
