"""Whether an output can be written, checked before any work is done for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from upsample_cli.atomic.files import check_replaceable
from upsample_cli.atomic.writing_errors import writing_error
from upsample_cli.errors import Setting, UsageError


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that `new_file` would refuse.

    Raises:
        UsageError: if it is "-", which would be a file of this name and not standard output.
        OutputExistsError: if it exists and `overwrite` is not set.
        ImageError: if it cannot be written, for example because its folder does not exist.
    """
    if str(path) == "-":
        raise UsageError("- is not the name of a file", ("give ", Setting("output"), " one"))
    try:
        check_replaceable(path, path.stat(), overwrite=overwrite)
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise writing_error(path, error) from error
    except OSError as error:
        raise writing_error(path, error) from error


def check_outputs_differ(paths: Iterable[Path | None]) -> None:
    """Refuse outputs of one command of which one would replace another. None is an output that is not requested.

    Raises:
        UsageError: if two paths lead to the same file.
    """
    seen: set[str] = set()
    for path in paths:
        if path is None:
            continue
        if (real := os.path.realpath(path)) in seen:
            raise UsageError(f"two outputs would be the same file, {path}", "give each of them its own name")
        seen.add(real)
