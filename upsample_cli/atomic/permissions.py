"""Permissions of outputs: a new file is not more readable than the inputs, a replaced file keeps its own."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress

from upsample_cli.atomic.opened import Source, found

HAS_OWNERS = hasattr(os, "fchown")
"""Whether files have POSIX owners and permissions; on Windows they do not."""


def new_mode(sources: Iterable[Source], folder: os.stat_result) -> int:
    """The mode of a new file, before the umask: only those who may read all sources may read it.

    A source with an access control list counts as readable by its owner only.

    Args:
        folder: status of the folder of the new file.
    """
    if not HAS_OWNERS:
        return 0o666
    group = folder.st_gid if folder.st_mode & stat.S_ISGID or sys.platform != "linux" else os.getegid()
    mode = 0o666
    for source in found(sources):
        allowed = 0 if source is None or source.has_acl else source.status.st_mode
        mode &= 0o600 | (allowed if source and source.status.st_gid == group else for_other_group(allowed))
    return mode


def for_other_group(mode: int) -> int:
    """The mode for a file that gets another group: group and others get the permissions that both had before.

    >>> oct(for_other_group(0o640)), oct(for_other_group(0o664))
    ('0o600', '0o644')
    """
    both = mode >> 3 & mode & 0o7
    return mode & ~0o77 | both << 3 | both


def is_kept(old: os.stat_result, sources: Iterable[Source]) -> bool:
    """Whether a replaced file keeps its owner and permissions. It does not if a third user may have made it.

    A third user may have made it if there are sources, and the file belongs neither to the user of this process nor to
    the owner of all sources.
    """
    owners = {source and source.status.st_uid for source in found(sources)}
    return HAS_OWNERS and (not owners or old.st_uid == os.geteuid() or owners == {old.st_uid})


def take_over(file: int, old: os.stat_result, *, has_acl: bool = False) -> None:
    """Give an open file the owner, the group and the permissions of the file that it replaces, as far as allowed.

    The set-user-ID and set-group-ID bits are not copied.

    Args:
        old: status of the replaced file.
        has_acl: whether the replaced file has an access control list. If so, the open file becomes private to its
            owner.
    """
    mode = old.st_mode & (0o700 if has_acl else 0o777)
    new = os.fstat(file)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(file, old.st_uid, old.st_gid)
        except OSError:
            try:
                os.fchown(file, -1, old.st_gid)
            except OSError:
                mode = for_other_group(mode)
    with suppress(OSError):  # the file system has no permissions
        os.fchmod(file, mode)
