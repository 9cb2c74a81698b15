"""Files that a run keeps next to its outputs. Other users may be able to write there, so their files are refused."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from upsample_cli.errors import RecordError, Setting, Text, joined

MAX_BYTES = 1 << 30
"""Largest size of a record, enough for three million outputs."""
TOO_LARGE = "is larger than a record may be (1 GiB)"
ELSEWHERE: Text = ("give another ", Setting("state"), ", or ", Setting("no_state"))
_JOURNAL = "-journal"
_SIBLINGS = ("-wal", "-shm", _JOURNAL)


def check_record_files(path: Path) -> os.stat_result:
    """Refuse a record that another user may have made, or such a file of SQLite's next to it. Returns its status.

    SQLite follows links. It plays back a journal and deletes the file that the journal names.

    Raises:
        RecordError: if a file is refused; the message names it.
        OSError: if there is no record.
    """
    statuses = {"": os.lstat(path)}
    statuses |= {end: os.lstat(f"{path}{end}") for end in _SIBLINGS if os.path.lexists(f"{path}{end}")}
    if _JOURNAL in statuses:
        cause = "is next to the record, and upsample leaves no such file"
        raise RecordError(f"{path}{_JOURNAL}: {cause}", joined("remove it, or ", ELSEWHERE))
    for end, status in statuses.items():
        fault = link_fault(status)
        if fault is None and status.st_size > MAX_BYTES:
            fault = TOO_LARGE
        if fault is None and _has_other_owner(status, path.parent):
            fault = "belongs to another user"
        if fault is not None:
            raise RecordError(f"{path}{end}: {fault}", ELSEWHERE)
    return statuses[""]


def link_fault(status: os.stat_result) -> str | None:
    """Why writing to a file could change another file or wait forever; None if it could not."""
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    return "has another name too (a hard link)" if status.st_nlink > 1 else None


def _has_other_owner(status: os.stat_result, folder: Path) -> bool:
    if sys.platform == "win32" or status.st_uid == os.geteuid():
        return False
    try:  # on FAT, SMB and, for root, NFS, the owner of a new file is not the user who creates it
        with tempfile.TemporaryFile(dir=folder) as own:
            return os.fstat(own.fileno()).st_uid != status.st_uid
    except OSError:
        return True
