"""What the parts of a batch expect of each other: who runs images, who watches them, who writes down their ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from upsample_cli.enlarge.job import Job, Result


class Executor(Protocol):
    """Carries out images somewhere: in threads, in processes, on other machines."""

    @property
    def slots(self) -> int:
        """How many images run at once. One more may be queued, so that no slot waits for the next image."""

    @property
    def device(self) -> str | None:
        """Where images are enlarged; None until that is known."""

    def submit(self, job: Job) -> Future[Result]:
        """Start an image, or queue it. An exception in the future ends the run; a bad image does not raise one."""

    def close(self) -> None:
        """Start nothing more and stop running images; then no process or temporary file of the run is left."""


class Journal(Protocol):
    """Writes down what happens. Called in the run's own thread, one call at a time.

    Args:
        token: of the run: eight hexadecimal digits, part of its temporary files' names.
    """

    token: str

    def started(self, job: Job) -> None:
        """An image is about to be started."""

    def ended(self, job: Job, result: Result) -> None:
        """It has ended, well or badly. One that was stopped has not."""


class Watcher(Protocol):
    """Follows images while they run. Called from several threads."""

    def started(self, job: Job) -> None:
        """An image is being enlarged."""

    def advanced(self, job: Job, rows: int) -> None:
        """So many more of its rows are enlarged."""

    def ended(self, job: Job) -> None:
        """The image has ended, written or failed."""


Carry = Callable[..., Result]
"""`carry.carry_out` or a replacement: called with a job, the options, `token`, `stop` and `on_rows`."""
