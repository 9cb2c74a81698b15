"""What one worker does with one image: the same in a thread, in a process and on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from upsample_cli.batch.plan import Entry, existing
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import (
    ImageError,
    InputChangedError,
    Interrupted,
    OutputExistsError,
    UpsampleError,
    UsageError,
    WritingError,
)

OnRows = Callable[[int], None]


def prepare(options: Options, index: int) -> tuple[Options, str]:
    """Get ready for images, which is to import torch.

    Args:
        options: of the run.
        index: of this worker among those of the run, to share out several GPUs.

    Returns:
        The options that this worker is to go by, and the name of its device.

    Raises:
        DeviceError: if the device is not there.
    """
    from upsample_cli.enlarge.run import options_on_device

    return options_on_device(options, index)


def carry_out(
    job: Job,
    options: Options,
    *,
    token: str | None = None,
    stop: Event | None = None,
    on_rows: OnRows = lambda _rows: None,
    is_alone: bool = False,
    debug: bool = False,
) -> Result:
    """Enlarge one image; whatever is wrong with it is a failed result, and none is lost.

    Args:
        token: of the run, part of the output's temporary name.
        stop: set it to end with `Interrupted`; nothing is left behind.
        on_rows: progress.
        is_alone: it is the only image asked for: an output in its way is a failure, and an option that cannot be
            carried out is let through.
        debug: let unexpected errors through too.

    Raises:
        Interrupted: if `stop` was set.
        BrokenPipeError: if nobody reads `job.target_stream` any more.
        UsageError: see `is_alone`.
    """
    from upsample_cli.enlarge.run import enlarge_image  # torch comes with the first image

    start_s = time.perf_counter()
    planned = Result.planned(job)

    def failed(message: str, *, may_pass: bool = False) -> Result:
        return planned.ended("failed", error=message, elapsed_s=time.perf_counter() - start_s, may_pass=may_pass)

    try:
        return enlarge_image(job, options, token=token, stop=stop, on_rows=on_rows)
    except OutputExistsError as error:
        return existing(Entry(planned, job, is_alone), error)
    except (Interrupted, BrokenPipeError):
        raise
    except ImageError as error:
        may_pass = isinstance(error, (InputChangedError, WritingError)) or isinstance(error.__cause__, MemoryError)
        return failed(str(error), may_pass=may_pass)
    except UpsampleError as error:
        if is_alone and isinstance(error, UsageError):
            raise
        return failed(f"{job.input}: {error}")
    except MemoryError:
        message = f"{job.input}: not enough memory to hold the image; give --workers 1, or enlarge it elsewhere"
        return failed(message, may_pass=True)
    except Exception as error:
        if debug:
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return failed(f"{job.input}: {text}; this should not happen: --debug shows where")
