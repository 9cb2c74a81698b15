"""From one input to a `Job`: its output's name and format, and what its header already forbids. No pixel is decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from upsample_cli.errors import OutputExistsError, UsageError
from upsample_cli.job import DEPTHS, Job, Options, check_strict
from upsample_cli.pictures.formats import (
    FORMATS,
    Format,
    check_output_size,
    check_quality,
    fit,
    format_named,
    format_of_path,
)
from upsample_cli.pictures.model import PictureInfo
from upsample_cli.pictures.policy import under_policy


def plan_job(
    picture: Path,
    options: Options,
    *,
    output: Path | None = None,
    folder: Path | None = None,
    source_stream: BinaryIO | None = None,
) -> Job:
    """The job that enlarges one picture.

    Args:
        picture: the input.
        output: the output's path; None for `NAME_xFACTOR.EXT` in `folder`.
        folder: the output's folder; None for the input's own.
        source_stream: what to read in place of the file `picture`; can be sought in.

    Raises:
        PictureError: if the input cannot be read, or the output cannot hold the result.
        UsageError: if the output's extension is no picture format's, or the quality is none of the format's.
    """
    from upsample_cli.pictures.source import read_header  # Pillow is imported with the first picture

    header = read_header(source_stream or picture, max_pixels=options.max_pixels)
    info, metadata = under_policy(*header, options.metadata)
    format_ = output_format(info, output, options)
    if output is None:
        output = (folder or picture.parent) / output_name(picture, format_, options)
    fitted = fit(info, metadata, format_, depth=DEPTHS[options.depth])
    warnings = (*info.warnings, *fitted.warnings)
    check_strict(picture, warnings, options)
    check_quality(format_, options.quality)
    check_output_size(picture, format_, info.height * options.factor, info.width * options.factor, fitted.layout)
    return Job(picture, output, format_.name, info.height, info.width, warnings, source_stream)


def check_output(job: Job, options: Options) -> None:
    """Refuse an output that is in the way.

    Raises:
        UsageError: if it is the input itself.
        OutputExistsError: if it is there and `options.overwrite` is not set.
    """
    if os.path.realpath(job.output) == os.path.realpath(job.input):
        raise UsageError(f"{job.output} is the input itself", "give another --output")
    if not options.overwrite and os.path.lexists(job.output):
        raise OutputExistsError(job.output)


def output_format(info: PictureInfo, output: Path | None, options: Options) -> Format:
    """The format asked for, else the one of the output's name, else the input's own."""
    if options.format is not None:
        return format_named(options.format)
    if output is not None and output.suffix:
        named = format_of_path(output)
        if named is None:
            known = ", ".join(each.extensions[0] for each in FORMATS.values())
            raise UsageError(
                f"{output}: {output.suffix!r} is no picture format's extension", f"use one of {known}, or add --format"
            )
        return named
    return FORMATS[info.format]


def output_name(picture: Path, format_: Format, options: Options) -> str:
    """`NAME_xFACTOR.EXT`; the input's own extension is kept where it fits the output's format.

    >>> output_name(Path("a/Photo.JPG"), format_named("jpeg"), Options(factor=3))
    'Photo_x3.JPG'
    >>> output_name(Path("a/Photo.JPG"), format_named("png"), Options())
    'Photo_x2.png'
    """
    return f"{picture.stem}_x{options.factor}{output_suffix(picture, format_)}"


def output_suffix(picture: Path, format_: Format) -> str:
    """The extension of an output, with its dot."""
    return picture.suffix if format_of_path(picture) == format_ else format_.extensions[0]
