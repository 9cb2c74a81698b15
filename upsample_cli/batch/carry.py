"""Enlarges one image and returns its result: the same code in a thread, in a process and on another machine."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event
from typing import NamedTuple

from upsample_cli.batch.entry import existing
from upsample_cli.enlarge.job import Job, OnRows, Result
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

_NO_THREAD = "can't start new thread"  # a RuntimeError of Python; it has no code


class Carrier(NamedTuple):
    """Enlarges the images of a run. It is pickled when it is sent to another process.

    Args:
        is_alone: there is only one image. An existing output is then a failure, and a `UsageError` is raised instead of
            returned as a failure.
        debug: raise unexpected errors.
    """

    is_alone: bool = False
    debug: bool = False

    def prepare(self, options: Options, index: int) -> tuple[Options, str]:
        """Choose a device before the first image, and import torch unless it is the CPU.

        Args:
            options: the options of the run.
            index: index of this worker in the run; chooses one of several GPUs.

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
            token: the token of the run, part of the output's temporary name.
            stop: set it to end with `Interrupted`; no file is left.
            on_rows: called with the number of input rows that were enlarged since the last call.

        Raises:
            Interrupted: if `stop` was set.
            BrokenPipeError: if the reader of `job.target_stream` has closed it.
            UsageError: see `is_alone`.
        """
        from upsample_cli.enlarge.run import enlarge_image  # imported with the first image

        start_s = time.perf_counter()

        def failed(failure: Failure) -> Result:
            failure = replace(failure, path=failure.path or str(job.input))
            return Result.planned(job).ended("failed", failure, elapsed_s=time.perf_counter() - start_s)

        try:
            return enlarge_image(job, options, token=token, stop=stop, on_rows=on_rows)
        except OutputExistsError as error:
            return existing(Result.planned(job), error.failure, is_alone=self.is_alone)
        except (Interrupted, BrokenPipeError):
            raise
        except UpsampleError as error:
            if self.is_alone and isinstance(error, UsageError):
                raise
            return failed(error.failure)
        except MemoryError:
            return failed(Failure("no-memory", "not enough memory to hold the image", MORE_MEMORY))
        except Exception as error:
            if str(error) == _NO_THREAD:
                return failed(
                    Failure("no-memory", "the system has no memory for more threads, or forbids them", MORE_MEMORY)
                )
            if self.debug:
                raise
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return failed(Failure("unexpected", text, ("this should not happen: ", Setting("debug"), " shows where")))
