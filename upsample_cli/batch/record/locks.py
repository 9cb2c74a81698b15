"""The locks of a record: they keep a second run out, and planted journals from being read."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upsample_cli.batch.own_files import ELSEWHERE
from upsample_cli.errors import RecordError, joined

_RESERVED_BYTE = 0x40000001  # the byte that SQLite locks before it writes to a database
AT_WORK = "another run is at work here"
NO_LOCKS = "its disk has no locks for files, by which two runs stay apart"
_LACKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}  # SQLite reports the first as "locked"


@contextmanager
def no_journal_is_hot(path: Path) -> Iterator[int | None]:
    """Keep SQLite from rolling back a journal that was planted after the check. Such a journal can delete any file.

    SQLite calls a journal hot, and rolls it back, if no process holds the writer's lock. So this function holds that
    lock while SQLite checks. The lock belongs to the descriptor, not to the process; only Linux has such locks.

    Source: https://www.sqlite.org/fileformat2.html and the comment on hasHotJournal in SQLite's pager.c.
    """
    if sys.platform != "linux":
        _check_locks(path)
        yield None
        return
    import fcntl

    held = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _set_reserved(held, fcntl.F_WRLCK)
    except OSError as error:
        os.close(held)
        if error.errno in _LACKS:
            raise RecordError(f"{path}: {NO_LOCKS}", ELSEWHERE) from error
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise RecordError(f"{path}: {AT_WORK}", joined("wait for its end, or ", ELSEWHERE)) from error
    try:
        yield held
    finally:
        _set_reserved(held, fcntl.F_UNLCK)


def _check_locks(path: Path) -> None:
    """Refuse a disk without locks, before SQLite holds any: closing a descriptor would release them."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _RESERVED_BYTE)
    except OSError as error:
        if error.errno in _LACKS:
            raise RecordError(f"{path}: {NO_LOCKS}", ELSEWHERE) from error
    finally:
        os.close(file)


def _set_reserved(descriptor: int, kind: int) -> None:
    import fcntl

    lock = struct.pack("@hhqqi", kind, os.SEEK_SET, _RESERVED_BYTE, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
