"""What a worker does with one image: the same in a thread, in a process and on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event

from upsample_cli.batch.plan import Entry, existing
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import (
    MORE_MEMORY,
    Failure,
    Interrupted,
    OutputExistsError,
    Setting,
    UpsampleError,
    UsageError,
)

OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Carrier:
    """What a worker does with images. It is pickled on the way to another process.

    Args:
        is_alone: there is only one image: an existing output is a failure, and a `UsageError` is raised.
        debug: raise unexpected errors.
    """

    is_alone: bool = False
    debug: bool = False

    def prepare(self, options: Options, index: int) -> tuple[Options, str]:
        """Import torch and choose a device, before the first image.

        Args:
            options: of the run.
            index: of this worker among those of the run; chooses one of several GPUs.

        Returns:
            The options for this worker, and the name of its device.

        Raises:
            DeviceError: if the device does not exist.
        """
        from upsample_cli.enlarge.computing import options_on_device

        return options_on_device(options, index)

    def carry_out(
        self,
        job: Job,
        options: Options,
        *,
        token: str | None = None,
        stop: Event | None = None,
        on_rows: OnRows = lambda _rows: None,
    ) -> Result:
        """Enlarge one image. A fault of the image, the system or this package is a failed result.

        Args:
            token: of the run, part of the output's temporary name.
            stop: set it to end with `Interrupted`; no file is left.
            on_rows: progress.

        Raises:
            Interrupted: if `stop` was set.
            BrokenPipeError: if the reader of `job.target_stream` has closed it.
            UsageError: see `is_alone`.
        """
        from upsample_cli.enlarge.run import enlarge_image  # torch comes with the first image

        start_s = time.perf_counter()
        planned = Result.planned(job)

        def failed(failure: Failure) -> Result:
            failure = replace(failure, path=failure.path or str(job.input))
            return planned.ended("failed", failure, elapsed_s=time.perf_counter() - start_s)

        try:
            return enlarge_image(job, options, token=token, stop=stop, on_rows=on_rows)
        except OutputExistsError as error:
            return existing(Entry(planned, job, self.is_alone), error)
        except (Interrupted, BrokenPipeError):
            raise
        except UpsampleError as error:
            if self.is_alone and isinstance(error, UsageError):
                raise
            return failed(error.failure)
        except MemoryError:
            return failed(Failure("no-memory", "not enough memory to hold the image", MORE_MEMORY))
        except Exception as error:
            if self.debug:
                raise
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return failed(Failure("unexpected", text, ("this should not happen: ", Setting("debug"), " shows where")))
