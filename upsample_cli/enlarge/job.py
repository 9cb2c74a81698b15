"""One image to enlarge, and its result. Plain data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from upsample_cli.atomic.place import Place
from upsample_cli.enlarge.resolve import Resolved
from upsample_cli.errors import Failure, Loss
from upsample_cli.geometry.output_size import Size
from upsample_cli.images.model import ImageInfo

Status = Literal["planned", "written", "skipped", "failed"]

OnRows = Callable[[int], None]
"""Called with the number of input rows that were enlarged since the last call."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One image to enlarge, checked as far as its header allows. Compared by identity, which makes look-ups fast.

    Args:
        input, output: files.
        header: header of the input when the job was planned.
        resolved: the decisions about the image.
        source_stream: a seekable stream to read instead of the file `input`.
        target_stream: a pipe to write to instead of the file `output`.
        place: place of the output; None if the user named its whole path.
        accessed_ns: when the input was last accessed, before its header was read; None if the output does not get it.
    """

    input: Path
    output: Path
    header: ImageInfo
    resolved: Resolved
    source_stream: BinaryIO | None = None
    target_stream: BinaryIO | None = None
    place: Place | None = None
    accessed_ns: int | None = None

    def __reduce__(self) -> tuple[Callable[..., Job], tuple[object, ...]]:
        """Pickled by its fields in order, paths as text: by name, and as parts, they take several times as long."""
        return _job, (os.fspath(self.input), os.fspath(self.output), *_MORE(self))

    @property
    def format(self) -> str:
        """Name of the output's format."""
        return self.resolved.format

    @property
    def height(self) -> int:
        """Rows of the input, orientation applied."""
        return self.header.height

    @property
    def width(self) -> int:
        """Columns of the input, orientation applied."""
        return self.header.width

    @property
    def size(self) -> Size:
        """(height, width) of the output."""
        return self.resolved.size

    @property
    def least_bytes(self) -> int:
        """The least disk space that the output takes; 0 if unknown."""
        return self.resolved.least_bytes

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What will be lost or may be lost."""
        return (*self.resolved.warnings, *self.resolved.possible)


_MORE = attrgetter(*(field.name for field in fields(Job)[2:]))


def _job(source: str, output: str, *more: Any) -> Job:
    return Job(Path(source), Path(output), *more)


class Outcome(NamedTuple):
    """What a worker adds to a job that its run knows; see `Result`."""

    status: Status
    losses: tuple[Loss, ...]
    failure: Failure | None
    elapsed_s: float
    device: str | None
    engine: str | None
    engine_note: str
    frame: int | None


_OUTCOME = attrgetter(*Outcome._fields)


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one input.

    Args:
        input: the path as the user named it or as it was found.
        output: the path of the output, also if it was not written; None if it could not be planned.
        status: "planned", "written", "skipped" (the output exists already) or "failed".
        height, width: size of the input; None if it is unreadable.
        output_height, output_width: size of the output; None if the input is unreadable.
        losses: what was lost.
        failure: why it failed, or why it was skipped although it was not done before.
        elapsed_s: seconds from opening the input to the finished output.
        device: where it was enlarged; None if it was not enlarged, or if the device is already known.
        engine: the route that computed it; None if it was not computed.
        frame: the only frame or page that was enlarged, counted from 1; None for all.
        engine_note: why Python's torch had to be imported; empty if it was not imported.
        was_done: it was skipped because the record says that an earlier run made the same output.
    """

    input: Path
    output: Path | None = None
    status: Status = "planned"
    height: int | None = None
    width: int | None = None
    output_height: int | None = None
    output_width: int | None = None
    losses: tuple[Loss, ...] = ()
    failure: Failure | None = None
    elapsed_s: float = 0.0
    device: str | None = field(default=None, compare=False)
    engine: str | None = field(default=None, compare=False)
    engine_note: str = field(default="", compare=False)
    frame: int | None = field(default=None, compare=False)
    was_done: bool = False

    @classmethod
    def planned(cls, job: Job) -> Result:
        """The result of a job that has not run."""
        return cls(job.input, job.output, "planned", job.height, job.width, *job.size, job.losses)

    @classmethod
    def of(cls, job: Job, outcome: Outcome) -> Result:
        """The result of a job, from the outcome that a worker sent."""
        return cls(job.input, job.output, height=job.height, width=job.width,
                   output_height=job.size[0], output_width=job.size[1], **outcome._asdict())  # fmt: skip

    @property
    def outcome(self) -> Outcome:
        """The part of the result that is not known from the job."""
        return Outcome(*_OUTCOME(self))

    def ended(self, status: Status, failure: Failure | None = None, *, elapsed_s: float = 0.0) -> Result:
        """The same result with its final status."""
        return replace(self, status=status, failure=failure, elapsed_s=elapsed_s)

    @property
    def fault(self) -> Failure | None:
        """Why it failed; None if it did not."""
        return self.failure if self.status == "failed" else None

    @property
    def remarks(self) -> tuple[Loss | Failure, ...]:
        """What was lost, and why it was skipped."""
        skipped = (self.failure,) if self.failure is not None and self.status == "skipped" else ()
        return (*self.losses, *skipped)

    @property
    def error(self) -> str | None:
        """`fault` in one line."""
        return None if self.fault is None else str(self.fault)

    @property
    def warnings(self) -> tuple[str, ...]:
        """`remarks`, one line each."""
        return tuple(map(str, self.remarks))

    def _repr_html_(self) -> str:
        """What a notebook shows: a line, and a detail before and after if the output was written."""
        from upsample_cli.enlarge.shown import as_html, before_and_after

        line, images = f"{self.input}: {self.error or self.status}", ""
        if self.status == "written" and self.output is not None:
            size = self.output_height or 0, self.output_width or 0
            line = f"{self.input} to {self.output}: {self.width}×{self.height} to {size[1]}×{size[0]}, {self.engine}"
            images = f"<div>{before_and_after(self.input, self.output, size, self.frame)}</div>"
        return f"{images}<div>{as_html([line, *self.warnings])}</div>"
