"""How many threads are worth having."""

from __future__ import annotations

import os

_limit: int | None = None


def core_count() -> int:
    """Cores this process may use, and is to use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if _limit is None else min(count, _limit)


def use_cores(count: int) -> None:
    """Use no more cores than that from now on: a worker among several, each of which has its share.

    Call it before the first thread is started that computes.
    """
    global _limit  # noqa: PLW0603  it belongs to the process, as the cores do
    _limit = count
