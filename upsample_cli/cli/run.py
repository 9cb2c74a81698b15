"""`upsample` without `--watch`: plan, run, report."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from upsample_cli.atomic.folders import make_bases
from upsample_cli.batch.collisions import check_own_files
from upsample_cli.batch.entry import AnyEntry
from upsample_cli.batch.exclude import Exclusion
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.batch.outputs import outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.streams import is_streamed, plan_stream
from upsample_cli.cli.report.console import Report
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.progress import counted, shown_progress
from upsample_cli.cli.report.reporters import open_reporters
from upsample_cli.cli.report.summary import counted_formats
from upsample_cli.cli.request import Request
from upsample_cli.cli.session import Session, open_record
from upsample_cli.enlarge.planning import weight_files
from upsample_cli.errors import UsageError
from upsample_cli.images.streams import image_pipe

if TYPE_CHECKING:
    from upsample_cli.batch.record.resume import Resume


def run_upsample(request: Request) -> int:
    """Plan and run the request, and report the results. Return the exit status."""
    start_s = time.perf_counter()
    out, messages = Output(sys.stderr if request.pipes_image else sys.stdout), Output(sys.stderr)
    with contextlib.ExitStack() as stack:
        other_formats, exclusion = Counter[str](), Exclusion(request.exclude)
        entries, resume = _planned(request, messages, other_formats, exclusion, stack)
        jobs = [entry.job for entry in entries if entry.job is not None]
        images = _images(entries) if request.report or request.gallery else ()
        check_own_files(request.own_files(resume), weight_files(request.options), images)
        if not request.dry_run:
            make_bases(job.place for job in jobs if job.place is not None)
        report = Report(
            out,
            messages,
            is_single=len(entries) == 1,
            verbose=request.verbose or request.dry_run,
            quiet=request.quiet,
            as_json=request.as_json,
            order={entry.result.input: index for index, entry in enumerate(entries)} if request.as_json else {},
            other_formats=other_formats,
            exclusion=exclusion,
            is_resumable=resume is not None,
            holds_failures=lambda: (
                resume is not None and not (request.dry_run or request.retry_failed) and resume.record.holds_failures()
            ),
        )
        for name in (request.report, request.gallery):
            if name is not None:
                from upsample_cli.cli.report.json_lines import make_folder

                make_folder(Path(name), (job.output for job in jobs))
        files = {"report_path": request.report, "gallery_path": request.gallery}
        reporters = stack.enter_context(open_reporters(report, request.options, **files))
        progress = shown_progress(messages, is_shown=not request.quiet)
        session = Session(request, start_s, reporters, progress, unfinished=len(entries))
        session.announce(jobs)
        try:
            if request.dry_run:
                for entry in entries:
                    session.add(entry.result)
            else:
                _run(session, entries, resume)
        except KeyboardInterrupt:
            session.close(left=session.unfinished)
            raise
        return session.close()


def _planned(
    request: Request,
    messages: Output,
    other_formats: Counter[str],
    exclusion: Exclusion,
    stack: contextlib.ExitStack,
) -> tuple[Sequence[AnyEntry], Resume | None]:
    inputs, output, options = request.inputs, request.output, request.options
    if is_streamed(inputs, output):
        stdout: BinaryIO | None = image_pipe(sys.stdout) if request.pipes_image else None
        return plan_stream(inputs, output, options, stdin=sys.stdin, stdout=stdout), None
    exclude = Path(output) if output else None
    walk = find_inputs(
        inputs, recursive=request.recursive, exclude=exclude, other_formats=other_formats, exclusion=exclusion
    )
    found = list(counted(walk, "images found", messages, is_shown=not request.quiet))
    if not found:
        deeper = "" if request.recursive else ", or add -r to include subfolders"
        there = f", but {counted_formats(other_formats)}" if other_formats else ""
        there += f" ({'; '.join(exclusion.causes)})" if exclusion.causes else ""
        deeper += ", or leave out --exclude" if exclusion.files or exclusion.folders else ""
        raise UsageError(
            f"no images in {', '.join(inputs)}{there}", f"name images, or folders that contain some{deeper}"
        )
    target = outputs_of(output, found)
    resume = open_record(request, found, target, stack)
    planned = partial(counted, what="images planned", messages=messages, is_shown=not request.quiet)
    entries = plan_run(
        found, target, options,
        resume=resume, is_dry_run=request.dry_run, timeout_s=request.timeout_s, counted=planned,
    )  # fmt: skip
    return entries, resume


def _images(entries: Iterable[AnyEntry]) -> Iterator[Path]:
    """Paths of all inputs and outputs."""
    results = (entry.result for entry in entries)
    return (path for result in results for path in (result.input, result.output) if path is not None)


def _run(session: Session, entries: Sequence[AnyEntry], resume: Resume | None) -> None:
    """Run the planned jobs."""
    jobs = [entry.job for entry in entries if entry.job is not None]
    session.progress.expect(jobs, settled=len(entries) - len(jobs))
    if resume is not None and jobs:
        resume.begin()
        session.journal = resume.record
    executor = session.executor(jobs, is_alone=any(entry.is_alone for entry in entries))
    with session.progress:
        session.enlarge(entries, executor)
    session.device = executor.device or session.device
