"""Lines that a C library prints to stderr itself: dropped, because what matters of them is said in a line of ours."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Held:
    """How many threads are inside, and what stderr is in the meantime."""

    lock = threading.Lock()
    inside = 0
    stderr = -1
    file: Any = None


@contextmanager
def without_lines(start: bytes) -> Iterator[None]:
    """Drop the lines with this start that are printed to stderr in here; other lines come when the last thread leaves.

    stderr belongs to the whole process, so this is only for a library that cannot be silenced, and for short.
    """
    with _Held.lock:
        if not _Held.inside:
            _redirect()
        _Held.inside += 1
    try:
        yield
    finally:
        with _Held.lock:
            _Held.inside -= 1
            if not _Held.inside and _Held.file is not None:
                _restore(start)


def _redirect() -> None:
    try:
        _Held.stderr = os.dup(2)
    except OSError:  # there is no stderr
        _Held.file = None
        return
    _Held.file = tempfile.TemporaryFile()  # noqa: SIM115  lives until the last thread leaves
    os.dup2(_Held.file.fileno(), 2)


def _restore(start: bytes) -> None:
    os.dup2(_Held.stderr, 2)
    os.close(_Held.stderr)
    with _Held.file as file:
        file.seek(0)
        for line in file:
            if not line.startswith(start):
                os.write(2, line)
    _Held.file = None
