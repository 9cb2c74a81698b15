"""What it means for a picture that the process at work on it has ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from upsample_cli.job import Job, Options, Result


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker process ended amid a picture.

    Args:
        cause, next_step: as in an error's line.
        may_pass: the picture is perhaps not at fault.
        how: a signal's name, or the status that the process ended with.
    """

    cause: str
    next_step: str
    may_pass: bool = False
    how: str = ""

    def result(self, job: Job, options: Options, elapsed_s: float) -> Result:
        """The failed result of the picture."""
        error = f"{job.input}: {self.cause}; {self.next_step}"
        return Result.planned(job, options.factor).ended(
            "failed", error=error, elapsed_s=elapsed_s, may_pass=self.may_pass
        )


def cause_of_death(exit_code: int | None) -> Death:
    """What an exit code of `multiprocessing` says: a signal's number below zero, else a status.

    >>> cause_of_death(-11).cause
    'crashed the process that was at work on it (SIGSEGV)'
    """
    how = _signal_name(-exit_code) if exit_code is not None and exit_code < 0 else f"status {exit_code}"
    if how == "SIGKILL":
        return Death(
            "the process at work on it was killed (SIGKILL), which is what the system does when memory runs out",
            "give fewer --workers or less --memory, or enlarge it elsewhere",
            may_pass=True,
            how=how,
        )
    cause = f"crashed the process that was at work on it ({how})"
    return Death(cause, "get a new copy of it, or convert it first", how=how)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
