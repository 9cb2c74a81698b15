"""Refuse pipes, sockets and devices, which have paths like files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from upsample_cli.errors import ImageError


def refuse_special(
    path: str | os.PathLike[str], status: os.stat_result | None = None, *, next_step: str = "give a file"
) -> None:
    """Refuse a path that is neither a file nor a folder.

    Opening a pipe waits for its other end, and reading a device may never end.

    Args:
        path: path to check, shown in the message.
        status: status of the path, if it is known already.
        next_step: what to do instead.

    Raises:
        ImageError: if the path is neither a file nor a folder.
        OSError: if the path does not exist.
    """
    mode = (Path(path).stat() if status is None else status).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder fails with its own message
        raise ImageError(path, "is not a regular file", next_step, kind="not-an-image")
