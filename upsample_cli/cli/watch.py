"""`upsample --watch`: enlarge images as they arrive in folders, until a signal stops it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from upsample_cli.atomic.folders import make_bases
from upsample_cli.atomic.place import Place
from upsample_cli.atomic.same_file import is_same_file
from upsample_cli.batch.collisions import check_own_files
from upsample_cli.batch.entry import AnyEntry, Entry
from upsample_cli.batch.exclude import Exclusion
from upsample_cli.batch.inputs import Found, find_inputs, is_folder
from upsample_cli.batch.outputs import Outputs, outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.batch.record.resume import Resume
from upsample_cli.batch.run import NullJournal
from upsample_cli.batch.watch import KeptOpen, arrivals
from upsample_cli.cli.report.console import Report
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.progress import shown_progress
from upsample_cli.cli.report.reporters import open_reporters
from upsample_cli.cli.request import Request
from upsample_cli.cli.session import Session, open_record
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.planning import weight_files
from upsample_cli.errors import UsageError


def watch_upsample(request: Request) -> int:
    """Enlarge images as they arrive, until a signal stops the watch. Return the exit status.

    If a watch is stopped while it waits, the status is 0, or 1 if an image failed.

    Raises:
        KeyboardInterrupt: if it is stopped while images are enlarged. Their unfinished outputs are removed.
        UsageError: if the request cannot be used for a watch.
    """
    exclusion = Exclusion(request.exclude)
    look, target = _watched(request, exclusion)
    start_s = time.perf_counter()
    messages = Output(sys.stderr)
    report = Report(
        Output(sys.stdout),
        messages,
        is_single=False,
        is_watch=True,
        verbose=request.verbose,
        quiet=request.quiet,
        exclusion=exclusion,
        is_resumable=not request.no_state,
    )
    with contextlib.ExitStack() as stack:
        resume = _resumed(request, target, stack)
        reporters = stack.enter_context(
            open_reporters(report, request.options, report_path=request.report, gallery_path=None)
        )
        progress = shown_progress(messages, is_shown=not request.quiet, waits_for_more=True)
        session = Session(request, start_s, reporters, progress, NullJournal() if resume is None else resume.record)
        executor = KeptOpen(session.executor([], expects_more=True))
        stack.callback(executor.end)
        watch = _Watch(session, target, resume, executor)
        try:
            with progress:  # bars would erase lines of the summary
                for found in arrivals(look):
                    watch.take(found)
        except KeyboardInterrupt:
            status = session.close(left=session.unfinished or None)
            if session.unfinished:
                raise
            return status
    raise AssertionError("`arrivals` does not end")


@dataclass(frozen=True, slots=True)
class _Watch:
    """The state of a watch that is shared by all its rounds."""

    session: Session
    target: Outputs
    resume: Resume | None
    executor: KeptOpen

    def take(self, found: Sequence[Found]) -> None:
        """Enlarge the files that have arrived."""
        self.session.unfinished = len(found)
        for entries in self._rounds(found):
            jobs = [entry.job for entry in entries if entry.job is not None]
            self.session.announce(jobs)
            self.session.progress.expect(jobs, settled=len(entries) - len(jobs))
            self.session.enlarge(entries, self.executor)
        self.session.unfinished = 0  # two names of one file give only one result

    def _rounds(self, found: Sequence[Found]) -> Iterator[Sequence[AnyEntry]]:
        """Plan all files together or, if their outputs collide, one after the other."""
        try:
            yield self._planned(found)
            return
        except UsageError as error:
            if len(found) == 1:
                failure = replace(error.failure, path=found[0].path)
                yield [Entry(Result(Path(found[0].path), status="failed", failure=failure))]
                return
        for arrival in found:
            yield from self._rounds([arrival])

    def _planned(self, found: Sequence[Found]) -> list[AnyEntry]:
        resume = None if self.resume is None else replace(self.resume, adopted=[], broken=[])
        request = self.session.request
        entries = plan_run(found, self.target, request.options, resume=resume, timeout_s=request.timeout_s)
        if resume is not None:
            resume.begin()
        return entries


def _watched(request: Request, exclusion: Exclusion) -> tuple[Callable[[], Iterator[Found]], Outputs]:
    """A function that returns the files that exist now, and the places of their outputs.

    Raises:
        UsageError: if an input is not a folder, outputs would become inputs, or an option cannot be used in a watch.
    """
    refused = {
        "--dry-run": (request.dry_run, "a watch has nothing to plan before it begins"),
        "--json": (request.as_json, "its document is written at the end, and a watch has none; use --report"),
        "--gallery": (
            request.gallery is not None,
            "its page is written at the end, and a watch has none; use --report",
        ),
        "{index}": ("{index" in request.options.name, "a watch has no order to count by; leave it out of --name"),
    }
    for option, (is_asked, reason) in refused.items():
        if is_asked:
            raise UsageError(f"--watch cannot be combined with {option}", reason)
    for folder in request.inputs:
        if not is_folder(folder):
            raise UsageError(
                f"--watch takes folders, and {folder or 'an empty name'} is not one", "name one that exists"
            )
    if request.output in {None, "-"}:
        raise UsageError("--watch writes to a folder", "give --output one")
    output = Path(str(request.output))
    if os.path.lexists(output) and not is_folder(output):
        raise UsageError(f"{output} is a file, and --watch writes to a folder", "give --output a folder")
    if any(is_same_file(folder, output) for folder in request.inputs):
        raise UsageError(f"{output} is watched, and what is written there would be enlarged in its turn",
                         "give --output another folder")  # fmt: skip
    target = outputs_of(f"{output}{os.sep}", [])

    def look() -> Iterator[Found]:
        exclusion.clear()
        return find_inputs(request.inputs, recursive=request.recursive, exclude=output, exclusion=exclusion)

    return look, target


def _resumed(request: Request, target: Outputs, stack: contextlib.ExitStack) -> Resume | None:
    """The locked record of the watch; None if the watch does not keep a record."""
    folders = [Path(folder) for folder in request.inputs]
    roots = [Found(str(folder), str(folder)) for folder in folders]
    resume = open_record(request, roots, target, stack)
    check_own_files(request.own_files(resume), weight_files(request.options), ())
    if resume is not None and target.folder is not None:
        make_bases(Place(target.folder, target.folder, folder) for folder in folders)
        resume.begin()
    return resume
