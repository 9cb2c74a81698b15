"""One image to enlarge, and what came of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from upsample_cli.atomic.folders import Place
from upsample_cli.enlarge.resolve import Resolved
from upsample_cli.errors import Failure, Loss
from upsample_cli.geometry.output_size import Size
from upsample_cli.images.model import ImageInfo

Status = Literal["planned", "written", "skipped", "failed"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One image to enlarge, checked as far as its header allows. Equal only to itself, so it is quick to look up.

    Args:
        input, output: files.
        header: of the input, when the job was planned.
        resolved: what was decided about it.
        source_stream: what to read in place of the file `input`; can be sought in.
        target_stream: what to write to in place of the file `output`; a pipe.
        least_bytes: the least that the output takes on the disk; 0 if that is not known.
        place: of the output; None if the user named it whole.
    """

    input: Path
    output: Path
    header: ImageInfo
    resolved: Resolved
    source_stream: BinaryIO | None = None
    target_stream: BinaryIO | None = None
    least_bytes: int = 0
    place: Place | None = None

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
    def losses(self) -> tuple[Loss, ...]:
        """What will be lost or may be lost."""
        return (*self.resolved.warnings, *self.resolved.possible)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one input.

    Args:
        input: as the user named it or as it was found.
        output: where the result is, or would be; None if it could not even be planned.
        status: "planned", "written", "skipped" (the output exists already) or "failed".
        height, width: of the input; None if unreadable.
        output_height, output_width: of the output; None if the input is unreadable.
        losses: what was lost.
        failure: why it failed, or why it was skipped although it was not done before.
        elapsed_s: seconds from opening the input to the finished output.
        device: where it was enlarged; None if it was not, or if that is known already.
        engine: the route that computed it; None if none did.
        engine_note: why Python's torch had to be imported; empty if it had not.
        was_done: it was skipped because the record says that the output was made from it so.
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
    was_done: bool = False

    @classmethod
    def planned(cls, job: Job) -> Result:
        """The result of a job that has not run."""
        return cls(job.input, job.output, "planned", job.height, job.width, *job.size, job.losses)

    def ended(self, status: Status, failure: Failure | None = None, *, elapsed_s: float = 0.0) -> Result:
        """The same result with its end."""
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
