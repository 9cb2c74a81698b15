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
    """

    cause: str
    next_step: str
    may_pass: bool = False

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
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        if name == "SIGKILL":
            return Death(
                "the process at work on it was killed (SIGKILL), which is what the system does when memory runs out",
                "give fewer --workers or less --memory, or enlarge it elsewhere",
                may_pass=True,
            )
        cause = f"crashed the process that was at work on it ({name})"
        return Death(cause, "get a new copy of it, or convert it first")
    return Death(f"ended the process that was at work on it (status {exit_code})", "get a new copy of it")
