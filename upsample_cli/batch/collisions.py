"""Checks that no two paths of a run lead to the same file, also on disks that ignore case or Unicode normalization."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from upsample_cli.atomic.same_file import folded
from upsample_cli.batch.paths import CanonicalPaths
from upsample_cli.enlarge.job import Job
from upsample_cli.errors import Setting, UsageError
from upsample_cli.images.formats import format_of_path

_PROBED_ENTRIES = 200
"""How many directory entries to probe before giving up on detecting case sensitivity."""


class NameEquivalence(NamedTuple):
    """Which names a file system treats as equal.

    Args:
        case: whether names that differ only in case are equal.
        forms: whether names that differ only in their Unicode normalization form are equal.
    """

    case: bool
    forms: bool

    def folded(self, name: str) -> str:
        """A form that is the same for all equal names.

        >>> NameEquivalence(case=True, forms=False).folded("Dir/A.PNG")
        'dir/a.png'
        """
        return folded(name, case=self.case, forms=self.forms)


_ALL = NameEquivalence(case=True, forms=True)


def check_collisions(jobs: Sequence[Job], inputs: Iterable[str], *, may_write: bool) -> None:
    """Refuse a run in which two outputs, or an output and an input, are the same file.

    Args:
        inputs: all inputs, also those without a job.
        may_write: see `name_equivalence`, which is called only for names that could be equal.

    Raises:
        UsageError: if there are such files; the message names them.
    """
    if not jobs:
        return
    real_path = CanonicalPaths()
    readers = {_file_of(path, real_path): path for path in inputs}
    mounted = _Mounted(readers.values())
    writers: dict[str, Job] = {}
    similar: dict[str, list[str]] = {}
    for path in readers:
        similar.setdefault(_ALL.folded(path), []).append(path)
    for job in jobs:
        if os.path.lexists(job.output):
            path = _file_of(job.output, real_path)
            if (reader := mounted.at(job.output)) is not None:
                _refuse_reader(job, reader)
        else:
            path = real_path(job.output)
        seen = similar.setdefault(_ALL.folded(path), [])
        for other in _same(path, seen, may_write) if seen else ():
            if other in readers:
                _refuse_reader(job, readers[other])
            _refuse_writer(job, writers[other])
        writers[path] = job
        seen.append(path)


class _Mounted:
    """Finds a file by another path to it: through a mount of a single file, or a disk that is mounted twice.

    Args:
        paths: the paths of the files; examined at the first call of `at`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = paths

    @functools.cached_property
    def _by_identity(self) -> dict[tuple[int, int], str]:
        found: dict[tuple[int, int], str] = {}
        for path in self._paths:
            with suppress(OSError, ValueError):
                status = os.stat(path)  # noqa: PTH116
                found.setdefault((status.st_dev, status.st_ino), path)
        return found

    def at(self, path: Path) -> str | None:
        """The file that `path` leads to, if it is one of these files and has only one hard link; None otherwise."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return self._by_identity.get((status.st_dev, status.st_ino)) if status.st_nlink < 2 and status.st_ino else None


def check_own_files(own: Mapping[str, Path], weights: Mapping[str, Path], images: Iterable[Path]) -> None:
    """Refuse a run whose record, report or gallery is one of its images, its kernel, or another of the three.

    Args:
        own: these three files, by the name of their setting.
        weights: files of the kernel and of the network, likewise.
        images: inputs and outputs.

    Raises:
        UsageError: if so, or if the extension of one of the three is that of an image format.
    """
    real_path = CanonicalPaths()
    settings: dict[str, Setting] = {}
    for name, path in own.items():
        setting = Setting(name)
        other = settings.setdefault(_file_of(path, real_path), setting)
        if other != setting:
            both = (other, " and ", setting, f" would both be written to {path}")
            raise UsageError(both, "give each a name of its own")
    for name, path in weights.items() if settings else ():
        if (used := settings.get(_file_of(path, real_path))) is not None:
            holds = (f"{path} holds the ", Setting(name), ", so it cannot be the ", used)
            raise UsageError(holds, "give it another name")
    for image in images if settings else ():
        if (used := settings.get(_file_of(image, real_path))) is not None:
            raise UsageError((f"{image} is an image of this run, so it cannot be the ", used), "give it another name")
    for name, path in own.items():
        if (fmt := format_of_path(path)) is not None:
            cause = (Setting(name), f" {path} has the name of a {fmt.title} file, and is not one")
            raise UsageError(cause, "give it another extension")


def _file_of(path: str | Path, real_path: CanonicalPaths) -> str:
    real = real_path(path)
    return real_path(os.path.realpath(real)) if os.path.islink(real) else real  # noqa: PTH114


def _same(path: str, seen: list[str], may_write: bool) -> list[str]:
    """The paths of `seen` that are the same file as `path`, to the file system of its folder."""
    if path in seen:
        return [path]
    folded = name_equivalence(Path(path).parent, may_write=may_write).folded
    return [other for other in seen if folded(other) == folded(path)]


def _refuse_reader(job: Job, reader: str) -> None:
    as_what = "is an input" if reader == str(job.output) else f"is the input {reader} under another name"
    raise UsageError(
        f"{job.output} {as_what} and would be replaced by the enlarged {job.input}",
        ("choose another ", Setting("output"), " or ", Setting("name"), ", or leave out ", Setting("overwrite", True)),
    )


def _refuse_writer(job: Job, writer: Job) -> None:
    names = {str(writer.output): None, str(job.output): None}
    raise UsageError(
        f"{writer.input} and {job.input} would both be written to {' and '.join(names)}"
        + (", which are the same file there" if len(names) > 1 else ""),
        ("run them apart, each with its own ", Setting("output"), ", or tell them apart by ", Setting("name")),
    )


def name_equivalence(folder: Path, *, may_write: bool) -> NameEquivalence:
    """Which names are equal in a folder. The folder need not exist yet.

    This is detected from names that exist there, otherwise from a temporary file. If neither is possible, the usual
    behaviour of this system is assumed.

    Args:
        may_write: create a temporary file in it if no existing name decides.
    """
    here = next((parent for parent in (folder, *folder.parents) if parent.is_dir()), folder)
    return NameEquivalence(
        case=_ignores(here, _other_case, may_write, usually=sys.platform in ("darwin", "win32")),
        forms=_ignores(here, _other_form, may_write, usually=sys.platform == "darwin"),
    )


def _ignores(folder: Path, other: Callable[[str], str], may_write: bool, *, usually: bool) -> bool:
    """Whether a folder treats a name and `other` of this name as equal."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _PROBED_ENTRIES)]
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
        pass  # it can be neither listed nor written to
    return usually


def _is_one(folder: Path, name: str, other: str) -> bool:
    try:
        return os.path.samestat((folder / name).lstat(), (folder / other).lstat())
    except FileNotFoundError:
        return False


def _other_case(name: str) -> str:
    return "".join(letter.swapcase() if letter.isascii() else letter for letter in name)


def _other_form(name: str) -> str:
    return unicodedata.normalize("NFD" if unicodedata.is_normalized("NFC", name) else "NFC", name)
