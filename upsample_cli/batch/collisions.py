"""Names that mean one file, also on disks where "A.png" is "a.png" or two Unicode forms of "é" are one name."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from upsample_cli.atomic.same_file import folded
from upsample_cli.batch.paths import OnePaths
from upsample_cli.enlarge.job import Job
from upsample_cli.errors import UsageError
from upsample_cli.images.formats import format_of_path

_ENTRIES = 200
"""How many directory entries to probe before giving up on detecting case sensitivity."""


@dataclass(frozen=True, slots=True)
class NameEquivalence:
    """Which names a file system treats as the same.

    Args:
        case: names that differ in case alone.
        forms: names that differ in their Unicode normalisation form.
    """

    case: bool
    forms: bool

    def folded(self, name: str) -> str:
        """The same text for all names that are the same.

        >>> NameEquivalence(case=True, forms=False).folded("Dir/A.PNG")
        'dir/a.png'
        """
        return folded(name, case=self.case, forms=self.forms)


_ALL = NameEquivalence(case=True, forms=True)


def check_collisions(jobs: Iterable[Job], inputs: Iterable[Path], alike: Callable[[Path], NameEquivalence]) -> None:
    """Refuse a run in which two outputs, or an output and an input, are one file.

    Args:
        inputs: of all jobs, and those that there is no job for.
        alike: of a folder, made yet or not, which names are the same there; asked only where it matters.

    Raises:
        UsageError: naming them.
    """
    real_path = OnePaths()
    readers = {_file_of(path, real_path): path for path in inputs}
    mounted = _Mounted(readers.values())
    writers: dict[str, Job] = {}
    similar: dict[str, list[str]] = {}
    for path in readers:
        similar.setdefault(_ALL.folded(path), []).append(path)
    for job in jobs:
        path = _file_of(job.output, real_path)
        if (reader := mounted.at(job.output)) is not None:
            _refuse_reader(job, reader)
        seen = similar.setdefault(_ALL.folded(path), [])
        for other in _same(path, seen, alike) if seen else ():
            if other in readers:
                _refuse_reader(job, readers[other])
            _refuse_writer(job, writers[other])
        writers[path] = job
        seen.append(path)


class _Mounted:
    """Files that have one name on their disk and several paths: a mount of a single file, or a disk seen twice.

    Args:
        paths: of the files; looked at when it comes to it.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = paths

    @functools.cached_property
    def _by_identity(self) -> dict[tuple[int, int], Path]:
        found: dict[tuple[int, int], Path] = {}
        for path in self._paths:
            with suppress(OSError, ValueError):
                status = path.stat()
                found.setdefault((status.st_dev, status.st_ino), path)
        return found

    def at(self, path: Path) -> Path | None:
        """Which of the files is there, if it has no other name that could be meant."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return self._by_identity.get((status.st_dev, status.st_ino)) if status.st_nlink < 2 and status.st_ino else None


def check_own_files(own: Mapping[str, Path], images: Iterable[Path]) -> None:
    """Refuse a run whose record, report or gallery would be written into one of its images, or into another of them.

    Args:
        own: those files, by the options that name them.
        images: inputs and outputs.

    Raises:
        UsageError: naming the file, also one that has an image's extension.
    """
    real_path = OnePaths()
    takers: dict[str, str] = {}
    for option, path in own.items():
        other = takers.setdefault(_file_of(path, real_path), option)
        if other != option:
            raise UsageError(f"{other} and {option} would both be written to {path}", "give each a name of its own")
    for image in images if takers else ():
        if (taker := takers.get(_file_of(image, real_path))) is not None:
            raise UsageError(f"{image} is an image of this run, and no place for {taker}", "give it another name")
    for option, path in own.items():
        if (fmt := format_of_path(path)) is not None:
            raise UsageError(
                f"{option} {path} has the name of a {fmt.title} file, and is none", "give it another extension"
            )


def _file_of(path: Path, real_path: OnePaths) -> str:
    real = real_path(path)
    return real_path(os.path.realpath(real)) if os.path.islink(real) else real  # noqa: PTH114


def _same(path: str, seen: list[str], alike: Callable[[Path], NameEquivalence]) -> list[str]:
    if path in seen:
        return [path]
    folded = alike(Path(path).parent).folded
    return [other for other in seen if folded(other) == folded(path)]


def _refuse_reader(job: Job, reader: Path) -> None:
    as_what = "is an input" if reader == job.output else f"is the input {reader} under another name"
    raise UsageError(
        f"{job.output} {as_what} and would be replaced by the enlarged {job.input}",
        "choose another --output or --name, or leave out --overwrite",
    )


def _refuse_writer(job: Job, writer: Job) -> None:
    names = {str(writer.output): None, str(job.output): None}
    raise UsageError(
        f"{writer.input} and {job.input} would both be written to {' and '.join(names)}"
        + (", which are one file there" if len(names) > 1 else ""),
        "run them apart, each with its own --output, or tell them apart by --name",
    )


def names_alike(folder: Path, *, may_write: bool) -> NameEquivalence:
    """Which names are the same in a folder, made yet or not.

    Known by names that are there, else by one made for it, else taken to be as is usual on this system.

    Args:
        may_write: make a file in it for a moment if nothing else tells.
    """
    here = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    return NameEquivalence(
        case=_takes(here, _other_case, may_write, usually=sys.platform in ("darwin", "win32")),
        forms=_takes(here, _other_form, may_write, usually=sys.platform == "darwin"),
    )


def _takes(folder: Path, other: Callable[[str], str], may_write: bool, *, usually: bool) -> bool:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _ENTRIES)]
        found = next((name for name in names if other(name) != name), None)
        if found is not None:
            return _is_one(folder, found, other(found))
        if folder.name != other(folder.name) and folder.parent.stat().st_dev == folder.stat().st_dev:
            return _is_one(folder.parent, folder.name, other(folder.name))
        if may_write:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".upsample-é-") as file:
                name = Path(file.name).name
                return _is_one(folder, name, other(name))
    except OSError:
        pass  # it may be neither looked into nor written to
    return usually


def _is_one(folder: Path, name: str, other: str) -> bool:
    try:
        return os.path.samestat((folder / name).lstat(), (folder / other).lstat())
    except FileNotFoundError:
        return False


def _other_case(name: str) -> str:
    return "".join(each.swapcase() if each.isascii() else each for each in name)


def _other_form(name: str) -> str:
    return unicodedata.normalize("NFD" if unicodedata.is_normalized("NFC", name) else "NFC", name)
