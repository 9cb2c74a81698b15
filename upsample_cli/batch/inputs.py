"""Finds the input files that the arguments of a run name."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from upsample_cli.atomic.same_file import is_same_file
from upsample_cli.batch.exclude import Exclusion, is_litter
from upsample_cli.errors import Failure, UsageError
from upsample_cli.images.formats import is_input_name, other_format


class Found(NamedTuple):
    """One input. Its paths are text, as `Path` would write them: a run of many images makes few objects of each.

    Args:
        path: the file.
        folder: the input folder in which it was found. The output mirrors the tree of this folder. None for a file that
            the user named.
        failure: set if `path` is a folder that could not be listed.
    """

    path: str
    folder: str | None = None
    failure: Failure | None = None


def find_inputs(
    arguments: Iterable[str],
    *,
    recursive: bool,
    exclude: Path | None = None,
    other_formats: Counter[str] | None = None,
    exclusion: Exclusion | None = None,
) -> Iterator[Found]:
    """Yield the files that the arguments name, in the order of the arguments; files of a folder are sorted by name.

    A file that the user named is used whatever its name is. In a folder, files with the extension of an image format
    are used; other files, hidden files, links to folders and litter (`exclude.py`) are ignored. An argument that is a
    pattern and not an existing file is expanded here, because some shells do not expand it.

    Args:
        recursive: descend into subfolders.
        exclude: the output folder. It is not searched, and it is ignored if it is one of several arguments (from "*",
            for example). As the only argument it is used.
        other_formats: counts the images in folders whose format this package does not read, by extension.
        exclusion: what else to leave out; it counts what was left out. A folder that the user named is searched.

    Raises:
        UsageError: if an argument is empty: an unset variable of the shell must not mean the current folder.
    """
    paths = [path for argument in arguments for path in _expanded(argument)]
    exclusion, other_formats = exclusion or Exclusion(), Counter() if other_formats is None else other_formats
    for path in paths:
        if not is_folder(path):
            if not exclusion.leaves_out(path):
                yield Found(str(path))
        elif len(paths) == 1 or not _is_excluded(path, exclude):
            yield from _images(path, recursive, exclude, other_formats, exclusion)


def _is_excluded(folder: Path, exclude: Path | None) -> bool:
    return exclude is not None and is_same_file(folder, exclude)


def _expanded(argument: str) -> list[Path]:
    if not argument:
        raise UsageError("an input has no name", "name images or folders")
    matches = []
    if not os.path.lexists(argument) and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  Path.glob does not accept absolute patterns
        matches = [path for path in matches if not is_litter(Path(path), Path(argument))]
    return [Path(path) for path in matches or [argument]]


def is_folder(path: str | Path) -> bool:
    """Whether a folder exists. False if the name is too long for the file system, where `Path.is_dir` raises."""
    return os.path.isdir(path)  # noqa: PTH112


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """`is_folder` for a directory entry. If the file system stores types in directories, only links need a call."""
    try:
        return is_folder(entry.path) if entry.is_symlink() else entry.is_dir()
    except OSError:
        return False


def _images(
    folder: Path, recursive: bool, exclude: Path | None, other_formats: Counter[str], exclusion: Exclusion
) -> Iterator[Found]:
    unreadable: list[Found] = []
    top = str(folder)
    waiting = [folder]  # not `os.walk`, which is recursive before Python 3.12
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                shown = sorted(exclusion.kept(entries, here, folder, recursive=recursive), key=attrgetter("name"))
        except OSError as error:
            failure = Failure(
                "unreadable",
                f"cannot be opened: {error.strerror}",
                "check its permissions",
                path=str(error.filename),
            )
            unreadable.append(Found(str(Path(error.filename)), top, failure))
            continue
        start = "" if here == Path() else os.path.join(here, "")  # noqa: PTH118
        for entry in shown:
            if is_input_name(entry.name) and not _is_folder(entry):
                yield Found(start + entry.name, top)
            elif (extension := other_format(entry.name)) is not None and not _is_folder(entry):
                other_formats[extension] += 1
        below = [here / entry.name for entry in shown if recursive and entry.is_dir(follow_symlinks=False)]
        waiting += [path for path in reversed(below) if not _is_excluded(path, exclude)]
    yield from unreadable
