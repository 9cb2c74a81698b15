"""A run with `-` as its input or output: one image, from standard input, to standard output, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

from upsample_cli.batch.entry import Entry, checked_entry
from upsample_cli.batch.inputs import find_inputs, is_folder
from upsample_cli.batch.plan import check_named_once
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.errors import ImageError, Setting, UsageError
from upsample_cli.images.streams import NAME, image_input, leads_to, spooled


def is_streamed(arguments: Sequence[str], output: str | None) -> bool:
    """Whether the command line means standard input or standard output."""
    return NAME in arguments or output == NAME


def is_output_streamed(arguments: Sequence[str], output: str | None) -> bool:
    """Whether the image goes to standard output, which is the default for an image from standard input."""
    return output == NAME or (output is None and NAME in arguments)


def plan_stream(
    arguments: Sequence[str], output: str | None, options: Options, *, stdin: TextIO | None, stdout: BinaryIO | None
) -> list[Entry]:
    """The single entry of a run with `-` as its input or output.

    Args:
        arguments: the inputs as typed.
        output: as typed.
        stdin: read to its end if the input is `-`.
        stdout: where the image goes if the output is `-`; None if it is only planned.

    Raises:
        UsageError: if there is not exactly one image, or its output does not have a name or has two.
    """
    image = _only_image(arguments)
    source: BinaryIO | None = None
    target = None if is_output_streamed(arguments, output) else Path(output or "")
    if NAME in arguments and target is not None and (is_folder(target) or str(output).endswith("/")):
        cause = "an image from standard input has no name to be given in a folder"
        raise UsageError(cause, ("give ", Setting("output"), " a file"))
    check_named_once(options)
    if NAME in arguments and target is not None and leads_to(stdin, target):
        cause = f"{target} is the input itself, read as standard input"
        raise UsageError(cause, ("give another ", Setting("output")))
    if NAME not in arguments and leads_to(stdout, image):
        raise UsageError(f"{image} is the input, and standard output leads to it", "write to another file")
    try:
        if NAME in arguments:
            source = spooled(image_input(stdin), options.max_pixels)
        job = plan_job(image, options, output=target or Path(NAME), source_stream=source)
    except ImageError as error:
        return [Entry(Result(image, status="failed", failure=error.failure))]
    if target is not None:
        return [checked_entry(job, options, is_alone=True)]
    return [Entry(Result.planned(job), replace(job, target_stream=stdout), is_alone=True)]


def _only_image(arguments: Sequence[str]) -> Path:
    if list(arguments) == [NAME]:
        return Path(NAME)
    if NAME in arguments:
        raise UsageError("- is one image from standard input and stands alone", "leave out the other inputs")
    found = list(find_inputs(arguments, recursive=False))
    if len(found) != 1 or found[0].folder is not None:
        next_step = ("give one file, or ", Setting("output"), " a folder")
        raise UsageError("standard output takes one image, given by its own path", next_step)
    return Path(found[0].path)
