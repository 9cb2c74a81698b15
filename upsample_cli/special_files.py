"""Files that are no files: pipes, sockets and devices."""

from __future__ import annotations

import stat
from pathlib import Path

from upsample_cli.errors import ImageError


def refuse_special(path: Path) -> None:
    """Refuse what is neither a file nor a folder: opening a pipe waits for its other end, and a device need not end.

    Raises:
        ImageError: if it is one.
        OSError: if there is nothing of that name.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder says so itself when it is opened
        raise ImageError(path, "is not a regular file", "give a file")
