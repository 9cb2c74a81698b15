"""Every error this package raises on purpose.

One root, `UpsampleError`; whoever calls the package needs to catch nothing else. A message names the thing, the cause
and the next step, in one line. The root carries the exit status of the command line, so that no table elsewhere has to
be kept in step.
"""

from __future__ import annotations

import os

STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a program or a generator. Any other BaseException is a library's fault, like a panic of one in Rust."""


class UpsampleError(Exception):
    """Root of all errors of this package.

    Args:
        cause: what is wrong, naming the thing it is wrong with; no full stop at the end.
        next_step: what to type or do next; empty where the cause already says it.
    """

    exit_status = 1

    def __init__(self, cause: str, next_step: str = "") -> None:
        self.cause = cause
        self.next_step = next_step
        super().__init__(f"{cause}; {next_step}" if next_step else cause)


class UsageError(UpsampleError):
    """An option, argument or call that cannot be carried out whatever the images are."""

    exit_status = 2


class GeometryError(UsageError):
    """Sizes or layer settings that do not fit together."""


class DeviceError(UsageError):
    """A device that is not there, or cannot do the arithmetic asked of it."""


class ImageError(UpsampleError):
    """One image cannot be read, enlarged or written. The rest of a batch goes on.

    Args:
        path: the file; shown first in the message.
        cause: what is wrong with it.
        next_step: what to type or do next.
    """

    def __init__(self, path: str | os.PathLike[str], cause: str, next_step: str = "") -> None:
        self.path = os.fspath(path)
        super().__init__(f"{self.path}: {cause}", next_step)


class WritingError(ImageError):
    """The system refused the output: a full disk, a folder that may not be written to. The image is not at fault."""


class InputChangedError(ImageError):
    """The input is not the one that the run was planned for. The next run plans for what it is then."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, "changed after the run was planned", "start the run again")


class OutputExistsError(ImageError):
    """The output is there already, and overwriting was not asked for.

    Args:
        path: the output.
        reason: what is to be said of it, and what to do, in one line.
    """

    def __init__(
        self, path: str | os.PathLike[str], reason: str = "exists already; add --overwrite to replace it"
    ) -> None:
        super().__init__(path, reason)


class RecordError(UpsampleError):
    """The record of a batch cannot be used: another run is at work on it, it is damaged, or it cannot be written."""


class Interrupted(UpsampleError):  # noqa: N818  nobody made an error
    """The work was asked to stop (Ctrl-C) and has cleaned up after itself."""

    exit_status = 130

    def __init__(self) -> None:
        super().__init__("stopped before the end")
