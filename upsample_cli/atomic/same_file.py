"""Detect that two paths lead to the same file, through links, mounts or case-insensitive file systems."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from upsample_cli.atomic.opened import OpenedFile
from upsample_cli.errors import Setting, UsageError


def is_same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to the same folder, or writing to one replaces the file at the other.

    Two hard links of a file count as different: an output is renamed into place, so the other link does not change.

    >>> is_same_file("/", "/."), is_same_file("/", "/nowhere")
    (True, False)
    """
    try:
        real, other_real = Path(os.path.realpath(path)), Path(os.path.realpath(other))
        if real == other_real:
            return True
        one, two = real.stat(), other_real.stat()
        if not os.path.samestat(one, two) or not one.st_ino:
            return False
        return stat.S_ISDIR(one.st_mode) or one.st_nlink < 2 or _is_one_entry(real, other_real)
    except (OSError, ValueError):  # a missing file is not replaced
        return False


def _is_one_entry(path: Path, other: Path) -> bool:
    """Whether both paths are the same hard link of a file."""
    return path.parent.samefile(other.parent) and folded(path.name) == folded(other.name)


def folded(name: str, *, case: bool = True, forms: bool = True) -> str:
    """A key of a name. Names that some file system treats as equal have the same key.

    Args:
        case: ignore case.
        forms: ignore how Unicode composes letters.
    """
    name = name.casefold() if case else name
    return unicodedata.normalize("NFC", name) if forms else name


def check_inputs_stay(output: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse an output that would replace one of its inputs.

    Raises:
        UsageError: the output is one of the inputs.
    """
    if any(is_same_file(output, path) or _was_read(output, path) for path in inputs):
        raise UsageError(f"{output} is an input, and inputs are never written to", ("give another ", Setting("output")))


def _was_read(output: Path, path: str | os.PathLike[str]) -> bool:
    """Whether an output is the file that was read, even if the input's path now leads elsewhere.

    False for a file with several hard links: the other links keep it.
    """
    if not isinstance(path, OpenedFile) or path.status.st_nlink != 1 or not path.status.st_ino:
        return False
    try:
        return os.path.samestat(output.stat(), path.status)
    except (OSError, ValueError):
        return False
