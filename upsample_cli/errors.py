"""Errors as data: what failed, why, and what to do next.

`UpsampleError` is the root of every error that this package raises on purpose. An error carries a `Failure`: a stable
code and the parts of a sentence. A setting in a sentence is a `Setting`, not text: the Python API writes it as
`overwrite=True`, the command line as `--overwrite`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from upsample_cli.failure_codes import TRANSIENT

STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Exceptions that end a program or a generator. Any other BaseException is a fault of a library, for example a panic
in one written in Rust."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a sentence mentions.

    Args:
        name: name of the parameter in the Python API.
        value: the value to show with it, True for a switch; None shows the name only.
    """

    name: str
    value: str | int | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


Text = str | tuple[str | Setting, ...]
"""Text that may mention settings: a string, or a tuple of strings and settings to join."""
Spelling = Callable[[Setting], str]


MORE_MEMORY: Text = ("give ", Setting("workers", 1), ", or enlarge it elsewhere")
FREE_SPACE: Text = ("free some space, or give ", Setting("output"), " a folder on another disk")


def joined(*texts: Text) -> tuple[str | Setting, ...]:
    """Several texts joined into one."""
    return tuple(part for text in texts for part in ((text,) if isinstance(text, str) else text))


def listed(texts: Iterable[Text], between: str) -> Text:
    """Several texts joined into one, separated by `between`."""
    return joined(*(part for text in texts for part in (between, text)))[1:]


def spelled(text: Text, spell: Spelling = str) -> str:
    """A text as a string, with each setting as `spell` writes it.

    >>> spelled(("add ", Setting("overwrite", True), " to replace it"))
    'add overwrite=True to replace it'
    """
    return text if isinstance(text, str) else "".join(part if isinstance(part, str) else spell(part) for part in text)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not done.

    Args:
        kind: one of `failure_codes.FAILURES`.
        cause: what is wrong; no full stop at the end.
        next_step: what to do next; empty if the cause already says it.
        path: the file that failed, shown first; empty if the cause names it.
        limit_s: for a timeout, the time limit in seconds.
    """

    kind: str
    cause: Text
    next_step: Text = ""
    path: str = ""
    limit_s: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the cause is outside the image, so that another attempt may succeed."""
        return self.kind in TRANSIENT

    def sentence(self, spell: Spelling = str) -> str:
        """One line: file, cause, next step.

        >>> Failure("not-found", "no such file", "check the name", "a.png").sentence()
        'a.png: no such file; check the name'
        """
        line = f"{self.path}: " * bool(self.path) + spelled(self.cause, spell)
        return f"{line}; {spelled(self.next_step, spell)}" if self.next_step else line

    def __str__(self) -> str:
        return self.sentence()


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that the output lacks compared with its input, or a remark about the output.

    Args:
        kind: one of `failure_codes.LOSSES`.
        text: the loss in one line.
        details: additional text, shown only in detailed output.
    """

    kind: str
    text: Text
    details: str = ""

    def __str__(self) -> str:
        return spelled(self.text)


class UpsampleError(Exception):
    """Root of all errors of this package.

    Args:
        cause: what is wrong, and with what.
        next_step: what to do next.
        kind: one of `failure_codes.FAILURES`; by default the one of the class.
    """

    exit_status = 1
    kind = "unexpected"

    def __init__(self, cause: Text, next_step: Text = "", *, kind: str = "") -> None:
        self.failure = Failure(kind or self.kind, cause, next_step)  # `args` stay those of the call, for pickle

    def __str__(self) -> str:
        return self.failure.sentence()

    @property
    def cause(self) -> Text:
        """What is wrong, without the name of the file."""
        return self.failure.cause

    @property
    def next_step(self) -> Text:
        """What to do next."""
        return self.failure.next_step


class UsageError(UpsampleError):
    """An option, argument or call that cannot be carried out, independent of the images."""

    exit_status = 2
    kind = "usage"


class GeometryError(UsageError):
    """Sizes or layer settings that do not fit together."""

    kind = "geometry"


class DeviceError(UsageError):
    """A device that is missing or cannot do the requested arithmetic."""

    kind = "device"


class ImageError(UpsampleError):
    """One image cannot be read, enlarged or written. The rest of a batch goes on.

    Args:
        path: the file; shown first in the message.
        cause: what is wrong with it.
        next_step: what to do next.
        kind: one of `failure_codes.FAILURES`.
        limit_s: see `Failure`.
    """

    kind = "damaged"

    def __init__(
        self,
        path: str | os.PathLike[str],
        cause: Text,
        next_step: Text = "",
        *,
        kind: str = "",
        limit_s: float | None = None,
    ) -> None:
        super().__init__(cause, next_step, kind=kind)
        self.path = os.fspath(path)
        self.failure = replace(self.failure, path=self.path, limit_s=limit_s)


class WritingError(ImageError):
    """The system refused to write the output, for example because the disk is full. The image is not at fault."""

    kind = "unwritable"


class InputChangedError(ImageError):
    """The input has changed since the run was planned. The next run plans for the new input."""

    kind = "changed"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, "changed after the run was planned", "start the run again")


class OutputExistsError(ImageError):
    """The output exists already, and `overwrite` is not set.

    Args:
        path: the output.
        cause: what is wrong.
        next_step: what to do next.
    """

    kind = "exists"

    def __init__(
        self,
        path: str | os.PathLike[str],
        cause: Text = "exists already",
        next_step: Text = ("add ", Setting("overwrite", True), " to replace it"),
    ) -> None:
        super().__init__(path, cause, next_step)


class RecordError(UpsampleError):
    """The record of a batch cannot be used: another run uses it, it is damaged, or it cannot be written."""

    kind = "record"


class RejectedRouteError(Exception):
    """A route that has computed pixels before its check does not give those of the layer."""


class Interrupted(UpsampleError):  # noqa: N818  a stop is not an error
    """The run was stopped (Ctrl-C) and has cleaned up after itself."""

    exit_status = 130
    kind = "interrupted"

    def __init__(self) -> None:
        super().__init__("stopped before the end")
