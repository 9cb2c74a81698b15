"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os

_limit: int | None = None


def core_count() -> int:
    """How many CPU cores this process may use: those in its affinity mask, up to the limit of `use_cores`."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if _limit is None else min(count, _limit)


def use_cores(count: int) -> None:
    """Use at most `count` cores from now on. Each of several workers calls this with its share.

    Call it before the first computing thread starts.
    """
    global _limit  # noqa: PLW0603  a setting of the process
    _limit = count
