"""Turns the exit of a worker process into the result of the image that it was working on."""

from __future__ import annotations

import signal
from dataclasses import replace

from upsample_cli.batch.record.identity import stamp_of
from upsample_cli.batch.record.resume import is_whole_output
from upsample_cli.batch.workers.started import Order
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import Failure, Setting

_KILLED = Failure(
    "killed",
    "the process at work on it was killed (SIGKILL), which is what the system does when memory runs out",
    ("give fewer ", Setting("workers"), " or less ", Setting("memory_bytes"), ", or enlarge it elsewhere"),
)

_UNKNOWN_STATUS = 255
"""What `multiprocessing` reports if the fork server, which would know the status, was killed first."""

_UNKNOWN = replace(_KILLED, cause="the process at work on it ended, and the process that had started it was killed")


def how_ended(exit_code: int | None) -> str:
    """The name of a signal, or the status that a process ended with.

    Args:
        exit_code: as `multiprocessing` reports it: a negative signal number, or a status.
    """
    if exit_code is None or exit_code >= 0:
        return f"status {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def failure_of_exit(exit_code: int | None) -> Failure:
    """The failure of the image that a worker process was working on when it ended.

    >>> failure_of_exit(-11).cause
    'crashed the process that was at work on it (SIGSEGV)'
    """
    if exit_code == _UNKNOWN_STATUS:
        return _UNKNOWN
    how = how_ended(exit_code)
    if how == "SIGKILL":
        return _KILLED
    cause = f"crashed the process that was at work on it ({how})"
    return Failure("crashed", cause, "get a new copy of it, or convert it first")


def last_result(order: Order, failure: Failure, options: Options, elapsed_s: float) -> Result:
    """The result of the image that a worker had when it ended. If its output is whole, only the message was lost."""
    job = order.job
    if stamp_of(job.output) != order.before and is_whole_output(job, options):
        return Result.planned(job).ended("written", elapsed_s=elapsed_s)
    return Result.planned(job).ended("failed", replace(failure, path=str(job.input)), elapsed_s=elapsed_s)
