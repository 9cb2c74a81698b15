"""A substitute for the pipeline in worker processes: images that crash, hang or fill memory, by their names."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from upsample_cli.atomic.files import new_file
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import Failure

HANG_S = 60.0


@dataclass(frozen=True)
class SubstituteCarrier:
    """Replaces `Carrier`: calls a function of a module, and is ready at once, without torch."""

    function: Callable

    def prepare(self, options, _index):
        return options, "cpu"

    def carry_out(self, job, options, **how):
        return self.function(job, options, **how)


def carry(job, options, *, token, stop, on_rows):
    """Write a file; halfway through, do what the name says."""
    name = job.input.stem.rstrip("0123456789")
    with new_file(job.output, overwrite=options.overwrite, token=token) as file:
        file.write(b"half ")
        file.flush()
        on_rows(3)
        _ACTS.get(name, lambda _stop: None)(stop)
        file.write(b"whole")
    return Result.planned(job).ended("written", elapsed_s=0.1)


def _write_pid(_stop):
    Path("pid").write_text(str(os.getpid()), encoding="ascii")
    time.sleep(HANG_S)


def _grow(_stop):
    _grown.append(bytearray(os.urandom(2**20)) * 600)


_grown = []


_ACTS = {
    "segfault": lambda _stop: os.kill(os.getpid(), signal.SIGSEGV),
    "killed": lambda _stop: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _stop: os._exit(3),
    "hang": lambda _stop: time.sleep(HANG_S),
    "slow": lambda _stop: time.sleep(0.05),
    "pid": _write_pid,
    "grow": _grow,
}


def late(job, options, *, token, stop, on_rows):
    """Write a complete output, smaller than planned if the name says so, and die before reporting it."""
    height, width = (side * 2 for side in ((job.height, job.width) if "small" not in job.input.name else (1, 1)))
    with new_file(job.output, overwrite=options.overwrite, token=token) as file:
        Image.new("L", (width, height)).save(file, "PNG")
    os.kill(os.getpid(), signal.SIGKILL)


def raising(job, options, *, token, stop, on_rows):
    """Raise an error that `--debug` lets through."""
    raise RuntimeError(f"odd {job.input.name}")


def pid(job, options, *, token, stop, on_rows):
    """Report the id of the worker process as the error."""
    time.sleep(0.01)
    return Result.planned(job).ended("failed", Failure("unexpected", str(os.getpid())))
