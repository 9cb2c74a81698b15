"""The plan of a run, made before any pixel is decoded: a job for every input, or the reason why it has none."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upsample_cli.atomic.folders import check_way
from upsample_cli.atomic.place import Place
from upsample_cli.batch.collisions import check_collisions
from upsample_cli.batch.entry import AnyEntry, Entry, checked_entry
from upsample_cli.batch.inputs import Found
from upsample_cli.batch.interfaces import UNKNOWN
from upsample_cli.batch.outputs import Outputs
from upsample_cli.batch.paths import RealPaths, name_at
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.names import DEFAULT_NAME
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.output_name import output_name
from upsample_cli.enlarge.planning import check_run_space, plan_job
from upsample_cli.errors import ImageError, Setting, UsageError
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.space import free_bytes

if TYPE_CHECKING:
    from upsample_cli.batch.record.resume import Resume

_LOOKED_UP = 500
"""How many inputs are looked up in the record together."""


def plan_run(
    inputs: Iterable[Found],
    outputs: Outputs,
    options: Options,
    *,
    resume: Resume | None = None,
    is_dry_run: bool = False,
    timeout_s: float | None = None,
    counted: Callable[[Iterable[AnyEntry]], Iterable[AnyEntry]] = iter,
) -> list[AnyEntry]:
    """The entry of every input, in order; an input named twice counts once.

    In a batch an image whose output exists is skipped; for a single image an existing output is an error. If outputs
    are written into an input folder, outputs of earlier runs are not used as inputs.

    Args:
        resume: the record of earlier runs; None without one.
        is_dry_run: write nothing, not even to find out which names the disk treats as equal.
        timeout_s: seconds that reading the header of one image may take; None for no limit.
        counted: yields the entries it is given, and can show the progress of planning.

    Raises:
        UsageError: if two inputs would write the same file, an output would replace an input, the outputs together
            certainly exceed the free space, or the only output has two names.
    """
    if outputs.file is not None:
        check_named_once(options)
    unique = _unique(inputs)
    is_alone = len(unique) == 1 and next(iter(unique.values())).folder is None
    run = _Run(outputs, options, options.output_size.label, resume, is_alone, timeout_s)
    unique = {path: found for path, found in unique.items() if not _was_made_here(found, run)}
    entries = list(counted(_entries(unique, run)))
    jobs = [entry.job for entry in entries if entry.job is not None]
    check_collisions(jobs, (found.path for found in unique.values()), may_write=not is_dry_run)
    check_run_space(jobs)
    return entries


def check_named_once(options: Options) -> None:
    """Refuse a template for names if `output` already names the file.

    Raises:
        UsageError: if both are given.
    """
    output = Setting("output")
    if options.name != DEFAULT_NAME:
        raise UsageError(
            (output, " names the file, and so does ", Setting("name")),
            ("leave one out, or end ", output, " in / for a folder"),
        )


def _unique(inputs: Iterable[Found]) -> dict[str, Found]:
    """Each input once, at its first position, by its path with the links in its folder resolved."""
    real_path = RealPaths()
    unique: dict[str, Found] = {}
    for found in inputs:
        unique.setdefault(real_path(found.path), found)
    return unique


@dataclass(frozen=True, slots=True)
class _Run:
    """Data that all entries of a run share. Results about folders are cached while the run is planned."""

    outputs: Outputs
    options: Options
    label: str
    resume: Resume | None
    is_alone: bool
    timeout_s: float | None
    free: Callable[[str], int | None] = field(default_factory=lambda: functools.lru_cache(free_bytes))
    checked: dict[str, Place] = field(default_factory=dict)
    targets: dict[tuple[str, str | None], _Target] = field(default_factory=dict)

    def target_of(self, found: Found) -> _Target:
        """Where the output of an input goes."""
        parent = found.path[: name_at(found.path)]
        target = self.targets.get((parent, found.folder))
        if target is None:
            folder = self.outputs.folder_of(found, self.label)
            is_there = os.path.realpath(folder) == os.path.realpath(parent)
            start = os.path.join(folder, "")  # noqa: PTH118
            target = _Target(folder, start, self.outputs.place_of(found, self.label), is_there)
            self.targets[parent, found.folder] = target
        return target

    def check_way(self, output: Path, place: Place) -> None:
        """See `folders.check_way`; each folder is checked once."""
        path = os.fspath(output)
        folder = path[: name_at(path)]
        if self.checked.get(folder) is not place:
            check_way(output.parent, place)
            self.checked[folder] = place


class _Target(NamedTuple):
    """Where the outputs of a folder go.

    Args:
        folder: the folder of the outputs.
        start: the start of their paths.
        place: that folder as a `Place`; None if the user named the output itself.
        is_there: it is the folder of the inputs.
    """

    folder: Path
    start: str
    place: Place | None
    is_there: bool


def _was_made_here(found: Found, run: _Run) -> bool:
    """Whether an image in an input folder is an output that an earlier run wrote there."""
    if run.resume is None or found.folder is None or found.failure is not None:
        return False
    if not run.target_of(found).is_there:
        return False
    row = run.resume.record.of_output(found.path)
    return row is not None and row.status != "failed"


def _entries(unique: Mapping[str, Found], run: _Run) -> Iterator[AnyEntry]:
    numbered = {path: (index, found) for index, (path, found) in enumerate(unique.items(), start=1)}

    def output_of(path: str, format_name: str, height: int, width: int) -> str:
        return _output_of(*numbered[path], run, format_name, height, width)

    paths = iter(numbered)
    while group := list(islice(paths, _LOOKED_UP)):
        images = {path: unique[path].path for path in group if unique[path].failure is None}
        done = {} if run.resume is None else run.resume.done(images, output_of)
        for path in group:
            yield done.get(path) or _entry(*numbered[path], run)


def _output_of(index: int, found: Found, run: _Run, format_name: str, height: int, width: int) -> str:
    """The path of an output in this run, if the input has not changed since its row in the record was written."""
    name = output_name(found.path, FORMATS[format_name], run.options, index=index, height=height, width=width)
    file = run.outputs.file
    return run.target_of(found).start + name if file is None else os.fspath(file)


def _entry(index: int, found: Found, run: _Run) -> Entry:
    path = Path(found.path)
    if found.failure is not None:
        return Entry(Result(path, status="failed", failure=found.failure))
    options, resume, file = run.options, run.resume, run.outputs.file
    folder, _, place, _ = run.target_of(found)
    output_of = functools.partial(_output_of, index, found, run)
    try:
        if resume is not None and (recalled := resume.recalled(path, output_of)) is not None:
            return Entry(recalled)
        job = plan_job(path, options, output=file, folder=folder, place=place, index=index, timeout_s=run.timeout_s)
        if job.place is not None:
            run.check_way(job.output, job.place)  # before the record is read for a file behind a link
    except ImageError as error:
        return Entry(Result(path, status="failed", failure=error.failure))
    verdict = resume.verdict(job) if resume is not None else UNKNOWN
    return checked_entry(job, options, is_alone=run.is_alone, verdict=verdict, free=run.free)
