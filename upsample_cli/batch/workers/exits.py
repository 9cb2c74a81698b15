"""What the exit of a worker process means for the image that it was working on."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from upsample_cli.batch.record.identity import stamp_of
from upsample_cli.batch.record.resume import is_whole_output
from upsample_cli.batch.workers.started import Order
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """Why a worker process exited in the middle of an image.

    Args:
        cause, next_step: as in an error's line.
        may_pass: the image may not be at fault.
        how: a signal's name, or the status that the process ended with.
    """

    cause: str
    next_step: str
    may_pass: bool = False
    how: str = ""


def cause_of_exit(exit_code: int | None) -> WorkerExit:
    """The exit that a code of `multiprocessing` describes: a negative signal number, or a status.

    >>> cause_of_exit(-11).cause
    'crashed the process that was at work on it (SIGSEGV)'
    """
    how = _signal_name(-exit_code) if exit_code is not None and exit_code < 0 else f"status {exit_code}"
    if how == "SIGKILL":
        return WorkerExit(
            "the process at work on it was killed (SIGKILL), which is what the system does when memory runs out",
            "give fewer --workers or less --memory, or enlarge it elsewhere",
            may_pass=True,
            how=how,
        )
    cause = f"crashed the process that was at work on it ({how})"
    return WorkerExit(cause, "get a new copy of it, or convert it first", how=how)


def last_result(order: Order, exit_: WorkerExit, options: Options, elapsed_s: float) -> Result:
    """The result of the image that a worker exited on. If its file is in place, only the message was lost."""
    job = order.job
    if stamp_of(job.output) != order.before and is_whole_output(job, options):
        return Result.planned(job).ended("written", elapsed_s=elapsed_s)
    error = f"{job.input}: {exit_.cause}; {exit_.next_step}"
    return Result.planned(job).ended("failed", error=error, elapsed_s=elapsed_s, may_pass=exit_.may_pass)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
