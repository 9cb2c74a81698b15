"""The common parts of a run and a watch: the record, the reporters, an executor, and the loop over results."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from upsample_cli.batch.entry import AnyEntry
from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.inputs import Found
from upsample_cli.batch.interfaces import Executor, Journal
from upsample_cli.batch.outputs import Outputs
from upsample_cli.batch.run import NullJournal, run_entries
from upsample_cli.cli.report.chosen import chosen_formats, networks
from upsample_cli.cli.report.counts import Progress
from upsample_cli.cli.report.reporters import Reporters
from upsample_cli.cli.request import Request
from upsample_cli.enlarge.job import Job, Result

if TYPE_CHECKING:
    from upsample_cli.batch.record.resume import Resume


@dataclass(slots=True)
class Session:
    """A run or watch in progress.

    Args:
        request: the settings of the call.
        start_s: start time, from `time.perf_counter`.
        reporters: receive every result.
        progress: counts and shows what is done.
        journal: records every result.
        unfinished: number of images without a result.
        device: name of the device; the name from the request until the device is known.
    """

    request: Request
    start_s: float
    reporters: Reporters
    progress: Progress
    journal: Journal = field(default_factory=NullJournal)
    unfinished: int = 0
    device: str = field(init=False)
    _announced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.device = self.request.options.device

    def executor(
        self,
        jobs: Sequence[Job],
        *,
        is_alone: bool = False,
        expects_more: bool = False,
    ) -> Executor:
        """An executor for the jobs; see `executor_for`."""
        request = self.request
        return executor_for(
            jobs,
            request.options,
            token=self.journal.token,
            watcher=self.progress,
            workers=request.workers,
            timeout_s=request.timeout_s,
            is_alone=is_alone,
            expects_more=expects_more,
            debug=request.debug,
            cluster=request.cluster,
            warn=partial(self.reporters.report.message, "warning", "yellow"),
        )

    def announce(self, jobs: Sequence[Job]) -> None:
        """Say once which formats outputs get that nobody chose, and what is known about a network."""
        for line in [*chosen_formats(jobs, self.request.options), *networks(jobs)]:
            if line not in self._announced and not self.request.quiet:
                self.reporters.report.message("note", "bold", line)
            self._announced.add(line)

    def enlarge(self, entries: Sequence[AnyEntry], executor: Executor) -> None:
        """Enlarge the planned images and report their results."""
        if not gc.isenabled():
            gc.freeze()  # later collections skip the objects that exist now
            gc.enable()
        budget_bytes = self.request.budget_bytes
        on_done = None if self.reporters.need_done else self._count_done
        results = run_entries(
            entries, executor=executor, journal=self.journal, budget_bytes=budget_bytes, on_done=on_done
        )
        with contextlib.closing(results):
            for result in results:
                self.add(result)
                self.progress.result(result)

    def _count_done(self) -> None:
        self.unfinished -= 1
        self.reporters.report.summary.add_done()

    def add(self, result: Result) -> None:
        """Report a result."""
        self.unfinished -= 1
        self.reporters.add(result)

    def close(self, *, left: int | None = None) -> int:
        """Report the end, and return the exit status.

        Args:
            left: see `Reporters.close`.
        """
        elapsed_s = time.perf_counter() - self.start_s
        return self.reporters.close(self.request.options, self.device, elapsed_s, left=left)


def open_record(
    request: Request, found: Sequence[Found], target: Outputs, stack: contextlib.ExitStack
) -> Resume | None:
    """The record of a run, which `stack` closes; None if the run does not keep a record."""
    # A single file does not have its own output folder. `open_resume` would find this, too, but it imports SQLite.
    is_single = len(found) == 1 and found[0].folder is None
    if request.no_state or (is_single and request.state is None):
        return None
    from upsample_cli.batch.record.resume import open_resume  # imports SQLite

    resume = open_resume(
        found,
        target,
        request.options,
        state=request.state,
        check_content=request.check_content,
        retry_failed=request.retry_failed,
        timeout_s=request.timeout_s,
        is_dry_run=request.dry_run,
    )
    if resume is not None:
        stack.callback(resume.record.close)
    return resume
