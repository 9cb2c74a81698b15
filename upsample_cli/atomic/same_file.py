"""Whether two paths are one file: through links, mounts, and disks that take "A" for "a"."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from upsample_cli.errors import UsageError


def is_same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths are one folder, or writing to one of them replaces the file at the other.

    Two hard links of a file are two: an output is put in place by a rename, which leaves the other as it was.

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
    except (OSError, ValueError):  # what is not there is not replaced
        return False


def _is_one_entry(path: Path, other: Path) -> bool:
    """Whether a file of several hard links is reached by one of them."""
    return path.parent.samefile(other.parent) and folded(path.name) == folded(other.name)


def folded(name: str, *, case: bool = True, forms: bool = True) -> str:
    """What all names have in common that some disk takes for the same.

    Args:
        case: they differ in capital and small letters.
        forms: they differ in how Unicode composes a letter.
    """
    name = name.casefold() if case else name
    return unicodedata.normalize("NFC", name) if forms else name


def check_inputs_stay(output: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse an output that would replace what it is made from.

    Raises:
        UsageError: naming it.
    """
    if any(is_same_file(output, path) for path in inputs):
        raise UsageError(f"{output} is an input, and inputs are never written to", "give another --output")
