"""Files that an output is made from: their status when they were read, even if their paths lead elsewhere later."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_ACL, _HAS_ATTRIBUTES = "system.posix_acl_access", hasattr(os, "getxattr")
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class OpenedFile(os.PathLike[str]):
    """The status of a file, taken while it was open. It can be used as a path.

    Args:
        path: the path by which it was opened.
        status: status of the open file.
        has_acl: whether it has an access control list, which may grant less than its mode shows.
    """

    path: Path
    status: os.stat_result
    has_acl: bool = False

    def __fspath__(self) -> str:
        return os.fspath(self.path)


def as_path(path: str | os.PathLike[str]) -> Path:
    """A path as a `Path`. One that exists is used: making it again takes longer than opening a file."""
    if isinstance(path, Path):
        return path
    return path.path if isinstance(path, OpenedFile) else Path(path)


Source = str | os.PathLike[str]
"""A file that an output is made from: an `OpenedFile`, or a path if nobody can have replaced the file."""


def opened(path: str | os.PathLike[str], file: BinaryIO | int) -> OpenedFile:
    """An open file as an `OpenedFile`."""
    number = file if isinstance(file, int) else file.fileno()
    return OpenedFile(as_path(path), os.fstat(number), has_acl(number))


def found(sources: Iterable[Source]) -> list[OpenedFile | None]:
    """The sources as `OpenedFile`, links followed; None for a file that no longer exists."""
    return [source if isinstance(source, OpenedFile) else _found(source) for source in sources]


def _found(path: Source) -> OpenedFile | None:
    try:
        return OpenedFile(Path(path), Path(path).stat(), has_acl(path))
    except (OSError, ValueError):
        return None


def open_at_once(path: str, flags: int) -> int:
    """An opener that does not wait for a writer if the file has become a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def open_no_link(path: str, flags: int) -> int:
    """An opener that neither waits nor follows a link."""
    return open_at_once(path, flags | _NO_FOLLOW)


def has_acl(file: int | str | os.PathLike[str]) -> bool:
    """Whether a file has an access control list. Then the group bits of its mode are only a mask."""
    try:
        return _HAS_ATTRIBUTES and bool(os.getxattr(file, _ACL))
    except OSError:  # the file has no list, or the file system does not support them
        return False


def remove_acl(file: int) -> None:
    """Remove the access control list of an open file."""
    os.removexattr(file, _ACL)
