"""Interfaces between the parts of a batch: executors, journals, watchers, and what the record says about an output."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from upsample_cli.enlarge.job import Job, Result
from upsample_cli.errors import Text

MAX_TIMEOUT_S = 1_000_000
"""The largest timeout for an image: eleven days. The longest wait that the system accepts is about twice as long."""


class Executor(Protocol):
    """Enlarges images: in a thread, in processes, or on other machines."""

    @property
    def slots(self) -> int:
        """Number of images that run at once. One more may be queued, so that no slot waits for the next image."""

    @property
    def device(self) -> str | None:
        """Name of the device that images are enlarged on; None until it is known."""

    def submit(self, job: Job) -> Future[Result]:
        """Start an image, or queue it. An exception in the future ends the run; a faulty image is a failed result."""

    def close(self) -> None:
        """Start no more images and stop running ones; afterwards no process or temporary file of the run is left."""


class Journal(Protocol):
    """Records what happens. Called in the run's own thread, one call at a time.

    Attributes:
        token: eight hexadecimal digits that identify the run; part of the names of its temporary files.
    """

    token: str

    def together(self) -> AbstractContextManager[None]:
        """Record what happens in the `with` block in one step, at its end, which is faster than one by one."""

    def started(self, job: Job) -> None:
        """An image is about to be started."""

    def ended(self, job: Job, result: Result) -> None:
        """An image was written, skipped or failed. Not called for an image that was stopped."""


class Watcher(Protocol):
    """Follows images while they run. Called from several threads."""

    def started(self, job: Job) -> None:
        """An image is being enlarged."""

    def advanced(self, job: Job, rows: int) -> None:
        """`rows` more rows of the image are enlarged."""

    def ended(self, job: Job) -> None:
        """The image has ended, written or failed."""


class Verdict(NamedTuple):
    """What the record says about one output.

    Args:
        is_done: it was made from this input with these settings, and is whole.
        is_stale: it exists, and this run would make another file.
        is_free: a killed run left an empty file under its name, which will be removed.
        reason: why it is not done, as the rest of a sentence that starts with the output's name.
    """

    is_done: bool = False
    is_stale: bool = False
    is_free: bool = False
    reason: Text | None = None


UNKNOWN = Verdict()
