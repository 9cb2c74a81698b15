"""An input of a run with its job, or with its result if it is not enlarged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from upsample_cli.batch.interfaces import UNKNOWN, Verdict
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import check_output
from upsample_cli.errors import Failure, ImageError, Loss, OutputExistsError, Setting, joined
from upsample_cli.images.space import free_bytes


class Entry(NamedTuple):
    """One input of a run.

    Args:
        result: "planned" if there is a job; otherwise the final result.
        job: the image to enlarge.
        is_alone: it is the only image of the run and was named by its own path. An existing output is then an error; a
            batch skips it.
    """

    result: Result
    job: Job | None = None
    is_alone: bool = False


class DoneEntry(NamedTuple):
    """An input that an earlier run has enlarged. Its `Result` is made if it is needed: there may be many thousands.

    Args:
        input, output: files.
        height, width, output_height, output_width: see `Result`.
    """

    input: str
    output: str
    height: int
    width: int
    output_height: int
    output_width: int

    @property
    def result(self) -> Result:
        """Its result."""
        return Result(Path(self.input), Path(self.output), "skipped", *self[2:], was_done=True)

    @property
    def job(self) -> None:
        """None: the image needs no job."""

    @property
    def is_alone(self) -> bool:
        """See `Entry`. A single image with a record is looked up there like any other."""
        return False


AnyEntry = Entry | DoneEntry


def checked_entry(
    job: Job,
    options: Options,
    *,
    is_alone: bool,
    verdict: Verdict = UNKNOWN,
    free: Callable[[str], int | None] = free_bytes,
) -> Entry:
    """The entry of a job: planned, unless its output exists or exceeds the free space.

    Args:
        verdict: what the record says about the output.
        free: see `planning.check_output`.

    Raises:
        UsageError: if the output is the input itself.
    """
    result = Result.planned(job)
    if verdict.is_done:
        return Entry(replace(result, was_done=True).ended("skipped"))
    try:
        check_output(job, replace(options, overwrite=True) if verdict.is_free else options, free)
    except OutputExistsError as error:
        failure = error.failure
        if verdict.is_stale and verdict.reason is not None:
            again = (Setting("overwrite", True), " replaces it")
            failure = OutputExistsError(job.output, verdict.reason, again).failure
        return Entry(existing(result, failure, is_alone=is_alone))
    except ImageError as error:
        return Entry(result.ended("failed", error.failure))
    if verdict.reason is not None:
        rerun = Loss("rerun", joined("made again: its output ", verdict.reason))
        result = replace(result, losses=(*result.losses, rerun))
    return Entry(result, job, is_alone)


def existing(result: Result, failure: Failure, *, is_alone: bool) -> Result:
    """The result for an output that exists already: skipped in a batch, failed for a single image."""
    if is_alone:
        return result.ended("failed", failure)
    return replace(result, losses=()).ended("skipped", failure)
