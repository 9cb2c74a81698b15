"""Images that took longer than `--timeout`: their error line, and how to recognise it in a record."""

from __future__ import annotations

import re

from upsample_cli.images.metered import LATE_ADVICE, late_cause

__all__ = ["has_time", "late_cause"]

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?(?:e[+-]\d\d)?"
_LATE = re.compile(rf": took longer than --timeout ({_NUMBER}) and was stopped; {LATE_ADVICE}$", re.ASCII)


def has_time(error: str | None, timeout_s: float | None) -> bool:
    """Whether an image failed only because of its timeout, and has more time now.

    Args:
        error: its line.
        timeout_s: of this run; None for no limit.

    >>> line = "a.png: took longer than --timeout 0.5 and was stopped; give it more seconds"
    >>> [has_time(line, timeout_s) for timeout_s in (0.4, 0.5, 0.6, None)]
    [False, False, True, True]
    >>> has_time("a.png: is empty", None)
    False
    """
    late = _LATE.search(error or "")
    return late is not None and (timeout_s is None or timeout_s > float(late[1]))
