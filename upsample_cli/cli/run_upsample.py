"""What the `upsample` command does with its options: plan, run, report."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rich.console import Console

from upsample_cli.batch.find import find_inputs
from upsample_cli.batch.jobs import Entry, plan_run
from upsample_cli.batch.run import run_entries
from upsample_cli.batch.streams import is_output_streamed, is_streamed, plan_stream
from upsample_cli.batch.target import target_of
from upsample_cli.cli.progress import Bars, counted
from upsample_cli.cli.report import Report
from upsample_cli.cli.tally import Tally
from upsample_cli.cores import core_count
from upsample_cli.errors import UsageError
from upsample_cli.job import Options
from upsample_cli.pictures.streams import picture_pipe

if TYPE_CHECKING:
    from upsample_cli.engine import Settings


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

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers do nothing", "give --workers 1 or more")
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
    if request.dry_run:
        for entry in entries:
            report.add(entry.result)
    else:
        _run(entries, request, report)
    report.close(request.options, _device_name(request.options, report.tally), time.perf_counter() - start_s)
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


def _run(entries: list[Entry], request: Request, report: Report) -> None:
    options = request.options
    jobs = [entry.job for entry in entries if entry.job is not None]
    if jobs:
        # Importing torch takes longer than decoding a picture: start it now, so that both go on at once.
        threading.Thread(target=importlib.import_module, args=("upsample_cli.engine",), daemon=True).start()
        if options.device not in ("auto", "cpu"):
            _settings(options)  # a device that is not there ends the run before its first picture
    bars = Bars(report.messages, factor=options.factor, is_shown=not report.quiet)
    bars.expect(jobs)
    results = run_entries(entries, options, workers=request.workers or core_count(), watcher=bars, debug=request.debug)
    with bars, contextlib.closing(results):
        for result in results:
            report.add(result)
            bars.result(result)


def _device_name(options: Options, tally: Tally) -> str:
    """The device the run used: "auto" is resolved only if a picture was enlarged, as it takes torch to know."""
    return str(_settings(options).device) if tally.counts["written"] else options.device


def _settings(options: Options) -> Settings:
    from upsample_cli.pipeline import engine_settings  # it takes torch

    return engine_settings(options)
