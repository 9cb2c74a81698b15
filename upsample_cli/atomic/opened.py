"""Files that something is made from: what they were when they were read, whatever their paths come to mean later."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_ACL, _HAS_ATTRIBUTES = "system.posix_acl_access", hasattr(os, "getxattr")
_NOT_READ_THROUGH = getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class OpenedFile(os.PathLike[str]):
    """A file that was open: use it wherever a path is asked for.

    Args:
        path: where it was found.
        status: of the open file.
        has_acl: whether a list says who else may read it; then its mode does not tell.
    """

    path: Path
    status: os.stat_result
    has_acl: bool = False

    def __fspath__(self) -> str:
        return os.fspath(self.path)


Source = str | os.PathLike[str]
"""A file that something is made from: an `OpenedFile`, or the path of one that nobody can have exchanged."""


def opened(path: str | os.PathLike[str], file: BinaryIO | int) -> OpenedFile:
    """What an open file is."""
    number = file if isinstance(file, int) else file.fileno()
    return OpenedFile(Path(path), os.fstat(number), has_acl(number))


def found(sources: Iterable[Source]) -> list[OpenedFile | None]:
    """What the sources are, links followed; None for one that has gone meanwhile."""
    return [source if isinstance(source, OpenedFile) else _looked_at(source) for source in sources]


def _looked_at(path: Source) -> OpenedFile | None:
    try:
        return OpenedFile(Path(path), Path(path).stat(), has_acl(path))
    except (OSError, ValueError):
        return None


def open_at_once(path: str, flags: int) -> int:
    """An opener that does not wait, if the file has become a pipe, for someone to write to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_no_link(path: str, flags: int) -> int:
    """An opener that neither waits nor follows a link."""
    return open_at_once(path, flags | _NOT_READ_THROUGH)


def has_acl(file: int | str | os.PathLike[str]) -> bool:
    """Whether a list says who else may do what with a file: then the group's bits in its mode are only a mask."""
    if _HAS_ATTRIBUTES:
        with suppress(OSError):  # there is none, or the file system knows none
            return bool(os.getxattr(file, _ACL))
    return False


def remove_acl(file: int) -> None:
    """Take the list away from an open file."""
    os.removexattr(file, _ACL)
