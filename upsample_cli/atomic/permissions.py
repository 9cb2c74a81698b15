"""Permissions of outputs: not more readable than the inputs; a replaced file keeps its own."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

Source = str | os.PathLike[str]

HAS_OWNERS = hasattr(os, "fchown")
"""Whether files have POSIX owners and permissions; on Windows they do not."""


def new_mode(sources: Iterable[Source], folder: os.stat_result) -> int:
    """The mode of a new file, before the umask: only those who may read all sources may read it.

    Args:
        folder: status of the folder that it is made in.
    """
    if not HAS_OWNERS:
        return 0o666
    group = folder.st_gid if folder.st_mode & stat.S_ISGID or sys.platform != "linux" else os.getegid()
    mode = 0o666
    for status in _statuses(sources):
        allowed = 0 if status is None else status.st_mode
        mode &= 0o600 | (allowed if status and status.st_gid == group else among_strangers(allowed))
    return mode


def among_strangers(mode: int) -> int:
    """Permissions for a file of another group: group and others get what both had before.

    >>> oct(among_strangers(0o640)), oct(among_strangers(0o664))
    ('0o600', '0o644')
    """
    both = mode >> 3 & mode & 0o7
    return mode & ~0o77 | both << 3 | both


def is_kept(old: os.stat_result, sources: Iterable[Source]) -> bool:
    """Whether a replaced file keeps its owner and permissions: not if a stranger has put it there.

    The file is a stranger's if it belongs neither to this process nor to the owner of one of the sources, and what is
    written has sources.
    """
    found = _statuses(sources)
    owners = {status.st_uid for status in found if status is not None}
    return HAS_OWNERS and (not found or old.st_uid in {os.geteuid(), *owners})


def take_over(file: int, old: os.stat_result) -> None:
    """Give an open file the owner, group and permissions of another, as far as this process may.

    The set-user-ID and set-group-ID bits are left out.
    """
    mode = old.st_mode & 0o777
    new = os.fstat(file)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(file, old.st_uid, old.st_gid)
        except OSError:
            try:
                os.fchown(file, -1, old.st_gid)
            except OSError:
                mode = among_strangers(mode)
    with suppress(OSError):  # the file system has no permissions
        os.fchmod(file, mode)


def _statuses(sources: Iterable[Source]) -> list[os.stat_result | None]:
    """The status of each source, links followed; None for one that no longer exists."""
    found: list[os.stat_result | None] = []
    for source in sources:
        try:
            found.append(Path(source).stat())
        except OSError:
            found.append(None)
    return found
