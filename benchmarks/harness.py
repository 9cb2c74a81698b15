"""Time contenders in turn, round after round, so that changes of the machine's speed affect all of them equally."""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one contender in one case.

    Args:
        case: description of the case.
        contender: name of the program or library.
        median_s: median of all rounds, in seconds.
        low_s, high_s: the fastest and the slowest round, in seconds.
        ratio: the median divided by the median of the first contender, which is this package.
        note: other results, such as bytes written or peak memory.
    """

    case: str
    contender: str
    median_s: float
    low_s: float
    high_s: float
    ratio: float
    note: str = ""


def race(
    case: str,
    contenders: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Time every contender once per round, after one round that is not counted.

    The order changes in each round, because the previous contender affects the state of cores, memory and caches. A
    contender may return a note, a string. With `time.process_time` as the clock, the time of all threads is added up.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    notes: dict[str, str] = {}
    for number in range(rounds + 1):
        for name, run in random.Random(number).sample([*contenders.items()], len(contenders)):
            start_s = clock()
            returned = run()
            elapsed_s = clock() - start_s
            if number:
                times[name].append(elapsed_s)
            if isinstance(returned, str):
                notes[name] = returned
    reference_s = statistics.median(next(iter(times.values())))
    return [
        Row(case, name, statistics.median(measured), min(measured), max(measured),
            statistics.median(measured) / reference_s, notes.get(name, ""))
        for name, measured in times.items()
    ]  # fmt: skip


def user_environment() -> dict[str, str]:
    """The environment for a command that is timed: as for a user, Python keeps the bytecode of modules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process(command: Sequence[str]) -> Callable[[], str]:
    """A contender that runs a command to its end. Its note is the peak memory."""

    def run() -> str:
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        ended = subprocess.run(
            [sys.executable, "-S", "-c", code, *command],
            check=True, capture_output=True, text=True, env=user_environment(),
        )  # fmt: skip
        return f"{int(ended.stdout) / 1024:.0f} MiB peak"

    return run


def milliseconds(duration_s: float) -> str:
    """A duration in milliseconds, with three digits, or more if the whole part is longer.

    >>> [milliseconds(seconds) for seconds in (0.000123, 0.0123, 1.23)]
    ['0.123', '12.3', '1230']
    """
    digits = 2 - math.floor(math.log10(duration_s * 1000)) if duration_s > 0 else 0
    return f"{duration_s * 1000:.{min(max(digits, 0), 3)}f}"
