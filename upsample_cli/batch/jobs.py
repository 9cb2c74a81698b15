"""The whole run known before the first pixel: every input's job, or the reason there is none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from upsample_cli.batch.find import Found, is_folder
from upsample_cli.errors import OutputExistsError, PictureError, UsageError
from upsample_cli.job import Job, Options, Result
from upsample_cli.pictures.formats import format_of_path
from upsample_cli.planning import check_output, check_run_space, plan_job


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of a run.

    Args:
        result: "planned" if there is a job, else a result that is known already.
        job: what is to be done.
        is_alone: it is the only picture asked for, by its own name: what would be passed over in a batch is an error.
    """

    result: Result
    job: Job | None = None
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where the outputs of a run go.

    Args:
        file: the one output of the one input.
        folder: the folder of all outputs, trees mirrored below it. Neither: beside the inputs, and for a folder input
            its mirror `FOLDER_xFACTOR`.
    """

    file: Path | None = None
    folder: Path | None = None

    def folder_of(self, found: Found, factor: int) -> Path:
        """The folder an input's output goes to."""
        if found.folder is None:
            return self.folder or found.path.parent
        # "." and ".." have no name to make another of.
        root = found.folder if found.folder.name not in {"", ".."} else found.folder.resolve()
        if not self.folder and not root.name:
            raise UsageError(f"there is no place beside {root} for its mirror", "give --output a folder")
        mirror = self.folder or root.with_name(f"{root.name}_x{factor}")
        return mirror / found.path.parent.relative_to(found.folder)


def target_of(output: str | None, inputs: Sequence[Found]) -> Target:
    """What `--output` means: a file for one picture, else a folder; also a folder if it is one or ends in a slash.

    Raises:
        UsageError: if several outputs were to go into one file.
    """
    if output is None:
        return Target()
    path = Path(output)
    if is_folder(path) or output.endswith(("/", os.sep)):
        return Target(folder=path)
    if len(inputs) == 1 and inputs[0].folder is None:
        return Target(file=path)
    if os.path.lexists(path):
        raise UsageError(f"{output} is a file, and there are several pictures to write", "give --output a folder")
    if format_of_path(path) is not None:
        raise UsageError(
            f"{output} is named like a picture, and there are several to write",
            f"give --output a folder; if it is to be one, write {output}/",
        )
    return Target(folder=path)


def plan_run(inputs: Iterable[Found], target: Target, options: Options) -> list[Entry]:
    """Every input's entry, in order; an input named twice counts once.

    An output that exists is passed over in a batch; for the only picture asked for it is an error.

    Raises:
        UsageError: if two inputs would write the same file, an output would replace an input, or all outputs together
            have certainly no room.
    """
    unique: dict[str, Found] = {}
    for found in inputs:
        # A link to a picture is an input of its own, with a name of its own.
        unique.setdefault(os.path.join(os.path.realpath(found.path.parent), found.path.name), found)  # noqa: PTH118
    is_alone = len(unique) == 1 and all(found.folder is None for found in unique.values())
    entries = [_entry(found, target, options, is_alone) for found in unique.values()]
    read = {os.path.realpath(found.path) for found in unique.values()}
    writers: dict[str, Path] = {}
    for job in (entry.job for entry in entries if entry.job):
        key = os.path.realpath(job.output)
        if key in read:
            raise UsageError(
                f"{job.output} is an input and would be replaced by the enlarged {job.input}",
                "choose another --output, or leave out --overwrite",
            )
        if key in writers:
            raise UsageError(
                f"{writers[key]} and {job.input} would both be written to {job.output}",
                "run them apart, each with its own --output",
            )
        writers[key] = job.input
    check_run_space([entry.job for entry in entries if entry.job])
    return entries


def _entry(found: Found, target: Target, options: Options, is_alone: bool) -> Entry:
    if found.error is not None:
        return Entry(Result(found.path, status="failed", error=found.error))
    folder = None if target.file else target.folder_of(found, options.factor)
    try:
        job = plan_job(found.path, options, output=target.file, folder=folder)
    except PictureError as error:
        return Entry(Result(found.path, status="failed", error=str(error)))
    return checked_entry(job, options, is_alone)


def checked_entry(job: Job, options: Options, is_alone: bool) -> Entry:
    """The entry of a job: planned, unless its output is in the way or there is no room for it.

    Raises:
        UsageError: if the output is the input itself.
    """
    planned = Entry(Result.planned(job, options.factor), job, is_alone)
    try:
        check_output(job, options)
    except OutputExistsError as error:
        return Entry(existing(planned, error))
    except PictureError as error:
        return Entry(planned.result.ended("failed", error=str(error)))
    return planned


def existing(entry: Entry, error: OutputExistsError) -> Result:
    """The result for an output that exists already: passed over in a batch, an error for the only picture asked for."""
    if entry.is_alone:
        return entry.result.ended("failed", error=str(error))
    return replace(entry.result.ended("skipped"), warnings=(str(error),))
