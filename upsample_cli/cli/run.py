"""What the `upsample` command does with its options: plan, run, report."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from upsample_cli.atomic.folders import make_bases
from upsample_cli.batch.collisions import check_own_files
from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.memory import budget_bytes, worker_count
from upsample_cli.batch.outputs import target_of
from upsample_cli.batch.plan import Entry, plan_run
from upsample_cli.batch.record.resume import Resume, open_resume
from upsample_cli.batch.run import Journal, NoJournal, run_entries
from upsample_cli.batch.streams import is_output_streamed, is_streamed, plan_stream
from upsample_cli.batch.workers.prestarted import Spares
from upsample_cli.cli.report.console import Report
from upsample_cli.cli.report.json_lines import make_folder
from upsample_cli.cli.report.progress import Bars, counted
from upsample_cli.cli.report.reporters import Outlets, opened
from upsample_cli.enlarge.job import Options
from upsample_cli.errors import UsageError
from upsample_cli.images.streams import image_pipe

_MAX_TIMEOUT_S = 1_000_000
"""Eleven days. The system takes no more than twice as many for a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the command: what is asked of the run as a whole.

    Args:
        inputs: as typed.
        output: `--output` as typed.
        options: what holds for every image.
        recursive: take the subfolders of folders.
        workers: images in flight at once; None for one per core.
        dry_run: plan only.
        as_json: one document in place of lines.
        quiet: errors only.
        verbose: a line for every image.
        debug: let unexpected errors through.
        timeout_s: seconds an image may take; None for any number.
        state: where the record of the run is to be, as typed; None for the folder of the outputs.
        no_state: keep no record, and look at none.
        check_content: know inputs by their content.
        retry_failed: try again what failed in an earlier run.
        report: a file that gets a line for every image; as typed.
        gallery: a page that shows them; as typed.
        cluster: address of a Dask scheduler; None for this machine.

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
    state: str | None = None
    no_state: bool = False
    check_content: bool = False
    retry_failed: bool = False
    report: str | None = None
    gallery: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.no_state and (self.state is not None or self.check_content or self.retry_failed):
            raise UsageError(
                "--no-state means no record, and --state, --check-content and --retry-failed take one", "leave one out"
            )
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose are opposites", "leave one out")
        if self.state is not None and is_streamed(self.inputs, self.output):
            raise UsageError("--state does not go with -", "leave it out: an image from or to a pipe has no record")
        if self.cluster is not None:
            self._check_cluster()
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers do nothing", "give --workers 1 or more")
        if self.timeout_s is not None and not 0 < self.timeout_s <= _MAX_TIMEOUT_S:
            cause = "leaves no time" if self.timeout_s <= 0 else "cannot be waited for"
            bounds = f"more than 0, {_MAX_TIMEOUT_S:,} at the most"
            raise UsageError(f"--timeout {self.timeout_s:g} {cause}", f"give it seconds, {bounds}")
        if self.output == "":
            raise UsageError("--output has no name", "give it a file or a folder, or leave it out")
        if self.pipes_image and self.as_json:
            raise UsageError("--json and the image would both be written to standard output", "give --output a file")
        for option, name in (("--report", self.report), ("--gallery", self.gallery)):
            if name is not None:
                self._check_file(option, name)

    def _check_file(self, option: str, name: str) -> None:
        if name in {"", "-"}:
            raise UsageError(f"{option} {name!r} is no name of a file", "give it one")
        if self.dry_run:
            raise UsageError(f"{option} writes a file, and --dry-run writes nothing", "use --json")
        if option == "--gallery" and is_streamed(self.inputs, self.output):
            raise UsageError("--gallery shows files, and - is none", "name files")

    def _check_cluster(self) -> None:
        if not self.cluster:
            raise UsageError("--cluster has no address", "give the scheduler's, such as tcp://host:8786")
        if self.workers is not None:
            raise UsageError("--workers does not go with --cluster", "its workers and their threads are what there is")
        if is_streamed(self.inputs, self.output):
            raise UsageError("--cluster does not go with -", "name files that all machines share")

    def own_files(self, resume: Resume | None) -> dict[str, Path]:
        """The files of the run as a whole, by the options that name them."""
        record = None if resume is None else resume.record.path
        named = {"--state": record, "--report": self.report, "--gallery": self.gallery}
        return {option: Path(path) for option, path in named.items() if path is not None}

    @property
    def budget_bytes(self) -> int | None:
        """Memory of this machine for the images in flight; None for no bound, or where they are not here."""
        return None if self.cluster else budget_bytes(self.options)

    def spare_count(self) -> int:
        """Worker processes to start while the run is planned, if it turns out to have so many images."""
        if self.dry_run or self.cluster is not None:
            return 0
        return worker_count(sys.maxsize) if self.workers is None else self.workers

    @property
    def pipes_image(self) -> bool:
        """Whether an image goes to standard output."""
        return is_output_streamed(self.inputs, self.output) and not self.dry_run


def run_upsample(request: Request) -> int:
    """Plan, run, report. Returns the exit status."""
    start_s = time.perf_counter()
    # "a:x:.png" is a name
    out, messages = (Console(stderr=is_stderr, emoji=False) for is_stderr in (request.pipes_image, True))
    with contextlib.ExitStack() as stack:
        spares = stack.enter_context(Spares(request.spare_count))
        entries, resume = _planned(request, messages, spares)
        if resume is not None:
            stack.callback(resume.record.close)
        check_own_files(request.own_files(resume), _images(entries) if request.report or request.gallery else ())
        if not request.dry_run:
            make_bases(job.place for entry in entries if (job := entry.job) is not None and job.place is not None)
        report = Report(
            out,
            messages,
            is_single=len(entries) == 1,
            verbose=request.verbose or request.dry_run,
            quiet=request.quiet,
            as_json=request.as_json,
            order={entry.result.input: index for index, entry in enumerate(entries)} if request.as_json else {},
            is_resumable=resume is not None,
            may_retry=lambda: resume is not None and not request.dry_run and resume.record.holds_failures(),
        )
        for name in (request.report, request.gallery):
            if name is not None:
                make_folder(Path(name), (entry.job.output for entry in entries if entry.job is not None))
        files = {"report_path": request.report, "gallery_path": request.gallery}
        outlets = stack.enter_context(opened(report, request.options, **files))
        device = request.options.device
        try:
            if request.dry_run:
                for entry in entries:
                    outlets.add(entry.result)
            else:
                device = _run(entries, resume, request, outlets, spares)
        except KeyboardInterrupt:
            left = len(entries) - report.tally.counts.total()
            outlets.close(request.options, device, time.perf_counter() - start_s, left=left)
            raise
        return outlets.close(request.options, device, time.perf_counter() - start_s)


def _planned(request: Request, messages: Console, spares: Spares) -> tuple[list[Entry], Resume | None]:
    inputs, output, options = request.inputs, request.output, request.options
    if is_streamed(inputs, output):
        stdout: BinaryIO | None = image_pipe(sys.stdout) if request.pipes_image else None
        return plan_stream(inputs, output, options, stdin=sys.stdin, stdout=stdout), None
    walk = find_inputs(inputs, recursive=request.recursive, exclude=Path(output) if output else None)
    found = list(counted(walk, "images found", messages, is_shown=not request.quiet))
    if not found:
        deeper = "" if request.recursive else ", or -r to look in their subfolders"
        raise UsageError(f"no images in {', '.join(inputs)}", f"name images or folders that hold some{deeper}")
    target = target_of(output, found)
    resume = None if request.no_state else open_resume(
        found,
        target,
        options,
        state=request.state,
        check_content=request.check_content,
        retry_failed=request.retry_failed,
        timeout_s=request.timeout_s,
        is_dry_run=request.dry_run,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        if resume is not None:
            stack.callback(resume.record.close)
        planned = partial(counted, what="images planned", console=messages, is_shown=not request.quiet)
        entries = plan_run(
            found, target, options,
            resume=resume, is_dry_run=request.dry_run, timeout_s=request.timeout_s,
            counted=planned, on_job=spares.planned,
        )  # fmt: skip
        stack.pop_all()
    return entries, resume


def _images(entries: Iterable[Entry]) -> Iterator[Path]:
    """Inputs and outputs."""
    return (path for each in entries for path in (each.result.input, each.result.output) if path is not None)


def _run(entries: list[Entry], resume: Resume | None, request: Request, outlets: Outlets, spares: Spares) -> str:
    """Carry out what is planned. Returns the name of the device."""
    options = request.options
    jobs = [entry.job for entry in entries if entry.job is not None]
    bars = Bars(outlets.report.messages, options, is_shown=not request.quiet)
    bars.expect(jobs, settled=len(entries) - len(jobs))
    journal: Journal = NoJournal()
    if resume is not None and jobs:
        resume.begin()
        journal = resume.record
    executor = executor_for(
        jobs,
        options,
        token=journal.token,
        watcher=bars,
        workers=request.workers,
        timeout_s=request.timeout_s,
        is_alone=any(entry.is_alone for entry in entries),
        debug=request.debug,
        cluster=request.cluster,
        warn=partial(outlets.report.message, "warning", "yellow"),
        spares=spares,
    )
    results = run_entries(entries, options, executor=executor, journal=journal, budget_bytes=request.budget_bytes)
    with bars, contextlib.closing(results):
        for result in results:
            outlets.add(result)
            bars.result(result)
    return executor.device or options.device
