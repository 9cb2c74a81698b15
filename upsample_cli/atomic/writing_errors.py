"""Errors of the system when a file is written, with their cause and next step."""

from __future__ import annotations

import errno
import os

from upsample_cli.errors import (
    FREE_SPACE,
    ImageError,
    Setting,
    Text,
    WritingError,
    joined,
)

OTHER_OUTPUT: Text = ("give another ", Setting("output"))
_NO_PERMISSION = ("it or its folder may not be written to", joined("check the permissions, or ", OTHER_OUTPUT))
_CAUSES: dict[int | None, tuple[str, Text]] = {
    errno.ENOSPC: ("the disk is full", FREE_SPACE),
    errno.EDQUOT: ("your disk quota is used up", FREE_SPACE),
    errno.EFBIG: ("the file would be larger than allowed here", "write a format that is smaller, or write elsewhere"),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: ("its disk is mounted read-only", OTHER_OUTPUT),
    errno.ENOENT: ("its folder does not exist", joined("create it, or ", OTHER_OUTPUT)),
    errno.ENOTDIR: ("a part of its path is not a folder", OTHER_OUTPUT),
    errno.ENAMETOOLONG: ("its name is longer than the file system allows", ("give a shorter ", Setting("output"))),
    errno.ELOOP: ("it is a symbolic link that leads in a circle", OTHER_OUTPUT),
    errno.EPIPE: ("nobody reads it any more", ""),
}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
"""Error numbers of the system for a full disk and a used-up quota."""
TEMPORARY_FOLDER = "the folder for temporary files"
OTHER_TEMPORARY_FOLDER = "free some space there, or set TMPDIR to another folder"


def system_cause(error: OSError) -> str:
    """Why the system refuses to write a file.

    >>> system_cause(PermissionError(errno.EACCES, "Permission denied"))
    'it or its folder may not be written to'
    """
    return _CAUSES[error.errno][0] if error.errno in _CAUSES else error.strerror or str(error)


def writing_error(path: str | os.PathLike[str], error: OSError) -> ImageError:
    """The error to raise for a file that cannot be written, from an error of the system or of an encoder.

    >>> print(writing_error("big.png", OSError(errno.ENOSPC, "No space left on device")))
    big.png: cannot be written: the disk is full; free some space, or give output a folder on another disk
    """
    _, next_step = _CAUSES.get(error.errno, ("", ""))
    cause = f"cannot be written: {system_cause(error)}"
    if error.errno is None:  # it comes from an encoder
        return ImageError(path, cause, next_step, kind="cannot-hold")
    return WritingError(path, cause, next_step, kind="no-space" if error.errno in NO_SPACE else "")
