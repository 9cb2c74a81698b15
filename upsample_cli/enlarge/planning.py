"""Makes the `Job` of an input: finds the output's name and format, and checks the header. No pixels are decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from upsample_cli.atomic.files import check_replaceable
from upsample_cli.atomic.place import Place
from upsample_cli.atomic.same_file import is_same_file
from upsample_cli.enlarge.by_header import ByHeader
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.names import template_suffix
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.output_name import output_name
from upsample_cli.enlarge.resolve import Resolved, check_strict, resolve
from upsample_cli.errors import OutputExistsError, Setting, UsageError
from upsample_cli.images.formats import (
    FORMATS,
    Format,
    check_output_size,
    check_quality,
    default_format,
    format_named,
    format_of_path,
)
from upsample_cli.images.input_formats import read_only_format
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.metadata.policy import under_policy
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.space import check_space, disk_of, free_bytes, least_output_bytes, size_text
from upsample_cli.kernels.kernel import KERNEL_NAMES


def plan_job(
    image: Path,
    options: Options,
    *,
    output: Path | None = None,
    folder: Path | None = None,
    place: Place | None = None,
    index: int = 1,
    source_stream: BinaryIO | None = None,
    timeout_s: float | None = None,
) -> Job:
    """The job that enlarges one image.

    Args:
        image: the input.
        output: the output's path; None for the one that `options.name` makes in `folder`.
        folder: the output's folder; None for the input's own.
        place: place of that folder; None if the user named its whole path.
        index: number of the input in the run, from 1.
        source_stream: a seekable stream to read instead of the file `image`.
        timeout_s: seconds that reading its header may take; None for no limit.

    Raises:
        ImageError: if the input cannot be read, no file can have the output's name, or it cannot hold the result.
        UsageError: if the output's extension is not that of an image format, or the format does not have this quality.
    """
    from upsample_cli.images.open import read_header  # Pillow is imported with the first image

    accessed_ns = _accessed_ns(image) if options.keep_times else None
    header = read_header(
        source_stream or image, max_pixels=options.max_pixels, frame=options.frame, timeout_s=timeout_s
    )
    info, metadata = under_policy(*header, options.metadata, dpi=options.dpi, is_one_of_many=options.frame is not None)
    format_ = output_format(info, output, options)
    if output is None:
        name = output_name(os.fspath(image), format_, options, index=index, height=info.height, width=info.width)
        folder = folder or image.parent
        output, place = folder / name, place or Place(folder, folder)
    resolved = resolved_and_checked(image, info, metadata, format_, options, output)
    return Job(image, output, info, resolved, source_stream, place=place, accessed_ns=accessed_ns)


def _accessed_ns(image: Path) -> int | None:
    try:
        return image.stat().st_atime_ns
    except (OSError, ValueError):  # it cannot be read either
        return None


_known = ByHeader[Resolved]()


def resolved_and_checked(
    image: Path, info: ImageInfo, metadata: Metadata, fmt: Format, options: Options, output: Path
) -> Resolved:
    """The decisions about an image, checked. They are made once for all images with the same header.

    Args: see `resolve.resolve`.

    Raises:
        ImageError: if there is no suitable kernel for the image, or the output cannot hold the result.
        UsageError: if the format does not have the quality.
    """

    def make() -> Resolved:
        resolved = resolve(image, info, metadata, fmt, options, output)
        _check(image, info, metadata, fmt, options, resolved)
        least_bytes = least_output_bytes(
            fmt, *resolved.size, resolved.layout,
            frames=resolved.frames, factor=int(options.output_size.factor or 0), quality=options.quality,
        )  # fmt: skip
        return resolved._replace(least_bytes=least_bytes)

    return _known.get(make, info, metadata, options, fmt.name, output.suffix)


def _check(image: Path, info: ImageInfo, metadata: Metadata, fmt: Format, options: Options, resolved: Resolved) -> None:
    check_all_frames(str(image), resolved.frames, info.height, info.width, options.max_pixels)
    if options.linear_light:
        from upsample_cli.images.color.light import light_of  # imports numpy

        light_of(image, info.layout, metadata.icc_profile)
    check_strict(image, resolved.warnings, options)
    check_quality(fmt, options.quality)
    check_output_size(image, fmt, *resolved.size, resolved.layout)


def check_output(job: Job, options: Options, free: Callable[[str], int | None] = free_bytes) -> None:
    """Refuse an output that exists, or that certainly exceeds the free space.

    Args:
        free: returns the free bytes for a folder, which need not exist yet; None if unknown.

    Raises:
        UsageError: if it is the input itself, or the file of the kernel.
        OutputExistsError: if it exists and `options.overwrite` is not set.
        ImageError: if it is a folder, or the free space is less than the output needs.
    """
    path = os.fspath(job.output)
    is_there = os.path.lexists(path)
    # A path with ".." may lead to an existing file only after a missing folder in the path has been created.
    if is_there or (".." in path and ".." in job.output.parts):
        if is_same_file(job.output, job.input):
            raise UsageError(f"{job.output} is the input itself", ("give another ", Setting("output")))
        _check_kernel_stays(job, options)
    if is_there:
        _check_replaceable(job, options)
    check_space(job.output, job.least_bytes, free)


def _check_kernel_stays(job: Job, options: Options) -> None:
    for name, path in weight_files(options).items():
        if is_same_file(job.output, path):
            raise UsageError((f"{job.output} holds the ", Setting(name)), ("give another ", Setting("output")))


def weight_files(options: Options) -> dict[str, Path]:
    """The files of the kernel and of the network, by the name of their setting."""
    files = {} if options.model is None else {"model": Path(options.model)}
    if options.kernel not in KERNEL_NAMES:
        from upsample_cli.kernels.weights.files import split_place  # imports numpy

        files["kernel"] = split_place(options.kernel)[0]
    return files


def _check_replaceable(job: Job, options: Options) -> None:
    try:
        status = job.output.stat(follow_symlinks=job.place is None)
    except OSError:  # a broken link
        if not options.overwrite:
            raise OutputExistsError(job.output) from None
    else:
        check_replaceable(job.output, status, overwrite=options.overwrite)


def check_run_space(jobs: Sequence[Job]) -> None:
    """Refuse outputs that together certainly exceed the free space of a disk. Each was already checked alone.

    Raises:
        UsageError: if they do; the message says how much is needed and how much is free.
    """
    folders: dict[str, int] = {}
    for job in jobs:
        if job.least_bytes:
            name = os.path.dirname(job.output)  # noqa: PTH120  a Path is slow
            folders[name] = folders.get(name, 0) + job.least_bytes
    disks: dict[int, tuple[int, Path]] = {}
    for name, needed_bytes in folders.items():
        folder = Path(name)
        if (disk := disk_of(folder)) is not None:
            disks[disk] = (disks.get(disk, (0, folder))[0] + needed_bytes, folder)
    for needed_bytes, folder in disks.values():
        free = free_bytes(folder)
        if free is not None and needed_bytes > free:
            raise UsageError(
                f"the outputs take at least {size_text(needed_bytes)}, and {size_text(free)} are free in {folder}",
                "free some space, or enlarge fewer at a time",
            )


def output_format(info: ImageInfo, output: Path | None, options: Options) -> Format:
    """The requested format, otherwise the format of the output's name, otherwise `default_format`.

    Raises:
        UsageError: if the output's extension is not that of an image format, or is that of another.
    """
    announced = None if output is None else format_of_path(output)
    if options.format is not None:
        wanted = format_named(options.format)
        if announced not in (None, wanted):
            raise UsageError(
                (f"{output} is named like a {announced.title} file, and ", Setting("format", options.format),
                 f" makes it {wanted.title}"),
                ("leave out ", Setting("format"), ", or rename it"),
            )  # fmt: skip
        return wanted
    if output is not None and output.suffix:
        if announced is None:
            known = ", ".join(fmt.extensions[0] for fmt in FORMATS.values())
            read_only = read_only_format(output.suffix.lower())
            cause = f"{output}: {output.suffix!r} is not the extension of an image format"
            if read_only is not None:
                cause = f"{output}: {read_only.title} is read and not written"
            raise UsageError(cause, (f"use one of {known}", ", or add ", Setting("format")))
        return announced
    if output is None and (announced := format_of_path(f"x{template_suffix(options.name) or ''}")) is not None:
        return announced
    return default_format(info.format, info.layout)
