"""One image to enlarge, and what came of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

from upsample_cli.atomic.folders import Place
from upsample_cli.geometry.output_size import Size, Target
from upsample_cli.images.model import Layout

Status = Literal["planned", "written", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """One image to enlarge, checked as far as its header tells.

    Args:
        input, output: files.
        format: name of the output's format.
        height, width: of the input, orientation applied.
        warnings: what will be lost, one line each.
        source_stream: what to read in place of the file `input`; can be sought in.
        target_stream: what to write to in place of the file `output`; a pipe.
        least_bytes: what the output takes on the disk at the least; 0 if that is not known.
        source_format: name of the input's format.
        source_layout, layout: of the input's pixels and of the output's.
        size: (height, width) of the output; None where it is a whole factor times the input's.
        place: of the output; None if the user named it whole.
        decoding_bytes: see `ImageInfo`.
    """

    input: Path
    output: Path
    format: str
    height: int
    width: int
    warnings: tuple[str, ...] = ()
    source_stream: BinaryIO | None = None
    target_stream: BinaryIO | None = None
    least_bytes: int = 0
    source_format: str = ""
    source_layout: Layout | None = None
    layout: Layout | None = None
    size: Size | None = None
    place: Place | None = None
    decoding_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one input.

    Args:
        input: as the user named it or as it was found.
        output: where the result is, or would be; None if it could not even be planned.
        status: "planned", "written", "skipped" (the output exists already) or "failed".
        height, width: of the input; None if unreadable.
        output_height, output_width: of the output; None if the input is unreadable.
        warnings: what was lost, one line each.
        error: one line, if it failed.
        elapsed_s: seconds from opening the input to the finished output.
        may_pass: it failed for a reason outside the image (a full disk, too little memory), maybe gone next time.
    """

    input: Path
    output: Path | None = None
    status: Status = "planned"
    height: int | None = None
    width: int | None = None
    output_height: int | None = None
    output_width: int | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    elapsed_s: float = 0.0
    may_pass: bool = False

    @classmethod
    def planned(cls, job: Job, factor: int | Fraction) -> Result:
        """The result of a job that has not run."""
        size = job.size or Target(factor=factor).output_size(job.height, job.width)
        return cls(
            job.input,
            job.output,
            "planned",
            job.height,
            job.width,
            *size,
            job.warnings,
        )

    def ended(
        self, status: Status, *, error: str | None = None, elapsed_s: float = 0.0, may_pass: bool = False
    ) -> Result:
        """The same result with its end."""
        return replace(self, status=status, error=error, elapsed_s=elapsed_s, may_pass=may_pass)
