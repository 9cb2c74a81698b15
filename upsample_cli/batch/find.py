"""Which files a command line means."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from upsample_cli.pictures.formats import format_of_path


@dataclass(frozen=True, slots=True)
class Found:
    """One input.

    Args:
        path: the file.
        folder: the folder input it was found in, whose tree the output mirrors; None for a file named by the user.
    """

    path: Path
    folder: Path | None = None


def find_inputs(arguments: Iterable[str], *, recursive: bool, exclude: Path | None = None) -> Iterator[Found]:
    """The files meant by the arguments, in their order; those of a folder sorted by name.

    A file named by the user is taken whatever its name. Of a folder, files with a picture's extension are taken; other
    files, hidden ones and links to folders are passed over. An argument that is no file but a pattern is expanded, for
    shells that do not do it.

    Args:
        recursive: descend into subfolders.
        exclude: a folder not to descend into: the output's own.
    """
    for argument in arguments:
        paths = [argument]
        if not os.path.lexists(argument) and glob.has_magic(argument):
            # Path.glob takes no absolute patterns.
            paths = sorted(glob.glob(argument, recursive=True)) or paths  # noqa: PTH207
        for path in map(Path, paths):
            if path.is_dir():
                yield from (Found(file, path) for file in _pictures(path, recursive, exclude))
            else:
                yield Found(path)


def _pictures(folder: Path, recursive: bool, exclude: Path | None) -> Iterator[Path]:
    excluded = exclude.resolve() if exclude else None
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if recursive and not name.startswith(".") and (here / name).resolve() != excluded
        )
        for name in sorted(files):
            if not name.startswith(".") and format_of_path(Path(name)) is not None:
                yield here / name
