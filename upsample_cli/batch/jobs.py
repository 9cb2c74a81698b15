"""The whole run known before the first pixel: every input's job, or the reason there is none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.batch.find import Found
from upsample_cli.errors import OutputExistsError, PictureError, UsageError
from upsample_cli.job import Job, Options, Result
from upsample_cli.planning import plan_job


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of a run: a job to do, or (job None) a result that is known already."""

    result: Result
    job: Job | None = None


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
        root = found.folder.resolve()
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
    if path.is_dir() or output.endswith(("/", os.sep)):
        return Target(folder=path)
    if len(inputs) == 1 and inputs[0].folder is None:
        return Target(file=path)
    if path.exists():
        raise UsageError(f"{output} is a file, and there are several pictures to write", "give --output a folder")
    return Target(folder=path)


def plan_run(inputs: Iterable[Found], target: Target, options: Options) -> list[Entry]:
    """Every input's entry, in order; an input named twice counts once.

    An output that exists is passed over in a batch; for the only picture asked for it is an error.

    Raises:
        UsageError: if two inputs would write the same file, or an output would replace an input.
    """
    unique = {_key(found.path): found for found in reversed(list(inputs))}
    ordered = list(reversed(unique.values()))
    may_skip = len(ordered) != 1 or ordered[0].folder is not None
    entries = [_entry(found, target, options, may_skip) for found in ordered]
    writers: dict[str, Path] = {}
    for job in (entry.job for entry in entries if entry.job):
        key = _key(job.output)
        if key in unique:
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
    return entries


def _key(path: Path) -> str:
    return os.path.realpath(path)


def _entry(found: Found, target: Target, options: Options, may_skip: bool) -> Entry:
    folder = None if target.file else target.folder_of(found, options.factor)
    try:
        job = plan_job(found.path, options, output=target.file, folder=folder)
    except OutputExistsError as error:
        return Entry(existing(found.path, error, may_skip))
    except PictureError as error:
        return Entry(Result(found.path, status="failed", error=str(error)))
    return Entry(Result.planned(job, options.factor), job)


def existing(picture: Path, error: OutputExistsError, may_skip: bool) -> Result:
    """The result for an output that exists already: passed over in a batch, an error for the only picture asked for."""
    if may_skip:
        return Result(picture, Path(error.path), "skipped", warnings=(str(error),))
    return Result(picture, Path(error.path), "failed", error=str(error))
