"""Permissions of outputs: a new file is not more readable than the inputs, a replaced file keeps its own.

If the user asks for it, a new file also gets the times, the owner, the group and the mode of its input.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress

from upsample_cli.atomic.opened import OpenedFile, Source, found

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


def take_over(file: int, old: os.stat_result, *, has_acl: bool = False, most: int = 0o777) -> None:
    """Give an open file the owner, the group and the permissions of the file that it replaces, as far as allowed.

    The set-user-ID and set-group-ID bits are not copied.

    Args:
        old: status of the replaced file.
        has_acl: whether the replaced file has an access control list. If so, the open file becomes private to its
            owner.
        most: the bits of the mode that may be set.
    """
    mode = old.st_mode & most & (0o700 if has_acl else 0o777)
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


def follow(file: int, source: OpenedFile, accessed_ns: int | None) -> str | None:
    """Give an open file the times of its source and, as far as allowed, its owner, group and mode.

    Bits that the umask forbids and the right to execute are not copied. Write nothing to the file afterwards.

    Args:
        accessed_ns: when the source was last accessed, before it was read; None for the time in its status.

    Returns:
        Why the times could not be set; None if they were.
    """
    if HAS_OWNERS:
        take_over(file, source.status, has_acl=source.has_acl, most=0o666 & ~_umask())
    if os.utime not in os.supports_fd:
        return "this system does not set them on open files"
    before_ns = source.status.st_atime_ns if accessed_ns is None else accessed_ns
    try:
        os.utime(file, ns=(before_ns, source.status.st_mtime_ns))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _umask() -> int:
    """The umask. To read it is to set it: meanwhile files that other threads create are private to their owner."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
