"""Enlarges one file: opens its source and its sink, and checks that the header is still the planned one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from operator import attrgetter
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy.typing  # noqa: F401  if two threads import it at the same time, one gets an incomplete module

from upsample_cli import arguments
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.opened import OpenedFile, has_acl
from upsample_cli.atomic.permissions import follow
from upsample_cli.atomic.writing_errors import writing_error
from upsample_cli.enlarge.computing import engine_settings
from upsample_cli.enlarge.job import Job, OnRows, Outcome, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import check_output, plan_job
from upsample_cli.enlarge.resolve import check_strict
from upsample_cli.errors import InputChangedError, Interrupted, Loss, RejectedRouteError
from upsample_cli.images.codecs.input_file import in_memory, opened_regular
from upsample_cli.images.formats import format_named
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.metadata.policy import under_policy
from upsample_cli.images.model import Frames, ImageInfo
from upsample_cli.images.open import open_image
from upsample_cli.images.streams import piped_file

if TYPE_CHECKING:
    from upsample_cli.enlarge.rows import FileRun

_SMALL_BYTES = 1 << 18
"""Files up to this size are read into memory before they are opened as images."""

OnProgress = Callable[[float], object]
"""Called with the share of the work that is done, above 0 and rising. 1.0 comes once, at the end."""


def upsample_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    factor: int | float | Fraction | str | None = None,
    *,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Result:
    """Enlarge one image file.

    Args:
        source: the input file.
        target: the output file; its extension chooses the format. By default `NAME_xFACTOR.EXT` next to the input. Its
            folder is made if it is missing.
        factor: 1 to 64, whole or not ("4/3"); 2 unless size, fit, width, height or print is given.
        on_progress: called with the share of the rows that are enlarged, above 0 and rising; 1.0 when the output has
            its name. It is called in this thread, after each band. If it raises an exception before that, the image is
            given up, no file is left, and the exception is passed on.
        options: the other fields of `options.Options`: size and fit, (height, width) in pixels, width, height, print,
            dpi, keep_times, kernel, model, border, alpha, device, memory_bytes, tile, format, quality, overwrite,
            strict, max_pixels, metadata, depth, linear_light, frame, name, engine.

    Returns:
        The result, with a warning for everything that the output cannot hold.

    Raises:
        UsageError: if an option is out of range, or source and target are the same file.
        ImageError: if the image cannot be read, or the output cannot be written or exists already.
    """
    place = arguments.path(source, "source")
    output = None if target is None else arguments.path(target, "target")
    if on_progress is not None:
        arguments.function(on_progress, "on_progress")
    chosen = Options(factor, **options)
    job = plan_job(place, chosen, output=output)
    check_output(job, chosen)
    if on_progress is None:
        return enlarge_image(job, chosen)
    result = enlarge_image(job, chosen, on_rows=_as_shares(job.height, on_progress))
    on_progress(1.0)
    return result


def _as_shares(height: int, on_progress: OnProgress) -> OnRows:
    done = 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        if rows and done < height:  # the file is not yet finished
            on_progress(done / height)

    return on_rows


def enlarge_image(
    job: Job,
    options: Options,
    *,
    token: str | None = None,
    stop: Event | None = None,
    on_rows: OnRows = lambda _rows: None,
) -> Result:
    """Carry out one job. The output's folder is made if it is missing.

    Args:
        token: the token of the run, part of the output's temporary name.
        stop: set it from another thread to end with `Interrupted`; no file is left.
        on_rows: called with the number of input rows that were enlarged since the last call.

    Raises:
        ImageError: if the image cannot be read or written.
        DeviceError: if the device does not exist.
        Interrupted: if `stop` was set.
        BrokenPipeError: if the reader of `job.target_stream` has closed it.
    """
    start_s = time.perf_counter()
    try:
        outcome = _enlarged(job, options, token, stop, on_rows, is_first=True)
    except RejectedRouteError:  # rows are not reported twice
        outcome = _enlarged(job, options, token, stop, lambda _rows: None, is_first=False)
    return Result.of(job, outcome._replace(elapsed_s=time.perf_counter() - start_s))


def _enlarged(
    job: Job, options: Options, token: str | None, stop: Event | None, on_rows: OnRows, *, is_first: bool
) -> Outcome:
    """Carry out one job; see `enlarge_image`. `elapsed_s` is not yet known.

    Args:
        is_first: a route may compute before it has been checked.

    Raises:
        RejectedRouteError: if a route that has computed early was rejected. The output was not put in place. Only if
            `is_first`.
    """
    opened, was = _input_file(job)
    with (
        opened as input_file,
        open_image(input_file, max_pixels=options.max_pixels, frame=options.frame) as source,
    ):
        # `executors.executor_for` imports them in another thread while a photograph is decoded.
        from upsample_cli.engine import aten
        from upsample_cli.engine.pool import compute_pool
        from upsample_cli.engine.routes.early import confirm_checks, may_be_early
        from upsample_cli.enlarge.prepared import prepared_file
        from upsample_cli.enlarge.rows import FileRun, enlarge_rows

        is_one = options.frame is not None
        info, metadata = under_policy(
            source.info, source.metadata, options.metadata, dpi=options.dpi, is_one_of_many=is_one
        )
        _check_header(job, info)
        check_all_frames(str(job.input), job.resolved.frames, info.height, info.width, options.max_pixels)
        losses = tuple(dict.fromkeys((*info.losses, *job.resolved.warnings)))
        check_strict(job.input, losses, options)
        is_file = job.source_stream is None and job.target_stream is None  # what a pipe got cannot be taken back
        # Before a file is created, because the device may be missing.
        is_early = is_first and is_file and may_be_early()
        settings = engine_settings(options, job.resolved.kernel, is_early=is_early)
        if stop is not None and stop.is_set():  # create no file after a stopped run has removed its files
            raise Interrupted
        run = FileRun(job, options, settings, stop)
        with _output_file(job, options, token, was) as file:
            if job.resolved.frames is not None:
                more = _enlarged_frames(run, job.resolved.frames, info, input_file, file, on_rows)
            else:
                made, open_sink = prepared_file(job, info, metadata, options, settings)
                more = enlarge_rows(run, source, open_sink(file, executor=compute_pool()), made, on_rows)
            losses = tuple(dict.fromkeys((*losses, *more, *_followed(job, options, was, file))))
            check_strict(job.input, losses, options)  # losses found in the pixels; the file does not have its name yet
            if settings.is_early:
                confirm_checks()
    engine = " and ".join(dict.fromkeys(run.routes))  # frames can differ in their kind of pixels
    return Outcome("written", losses, None, 0.0, settings.device, engine, aten.import_note(), options.frame)


def _enlarged_frames(
    run: FileRun, frames: Frames, info: ImageInfo, input_file: BinaryIO, file: BinaryIO, on_rows: OnRows
) -> list[Loss]:
    """Enlarge all frames or pages of the input into a file, and return the losses."""
    from upsample_cli.engine.pool import compute_pool
    from upsample_cli.enlarge.frames import enlarge_frames, images_of
    from upsample_cli.images.save_frames import open_frame_writer

    job, options = run.job, run.options
    writer = open_frame_writer(
        file, format_named(job.format), frames, factor=job.resolved.kernel.factor, quality=options.quality,
        info=info, executor=compute_pool(),
    )  # fmt: skip
    return enlarge_frames(run, writer, frames, images_of(input_file, options, frames), on_rows)


def _followed(job: Job, options: Options, was: OpenedFile | None, file: BinaryIO) -> tuple[Loss, ...]:
    """Give the finished output the times and the owner of its input if the user wants it; the loss if that fails."""
    if not options.keep_times or was is None or job.target_stream is not None:
        return ()
    file.flush()
    cause = follow(file.fileno(), was, job.accessed_ns)
    return () if cause is None else (Loss("times", f"the output could not get the times of its input: {cause}"),)


_PLANNED = attrgetter("format", "height", "width", "layout", "frames")


def _check_header(job: Job, info: ImageInfo) -> None:
    """Refuse an image whose header has changed since it was planned.

    Raises:
        InputChangedError: if it has.
    """
    if _PLANNED(job.header) != _PLANNED(info):
        raise InputChangedError(job.input)


def _input_file(job: Job) -> tuple[AbstractContextManager[BinaryIO], OpenedFile | None]:
    """The input and its status, None for a stream. Opened once: another file may replace it while pages are read."""
    if job.source_stream is not None:
        return nullcontext(job.source_stream), None
    number, status = opened_regular(job.input)
    was = OpenedFile(job.input, status, has_acl(number))
    return in_memory(job.input, number, status.st_size, most_bytes=_SMALL_BYTES), was


def _output_file(
    job: Job, options: Options, token: str | None, was: OpenedFile | None
) -> AbstractContextManager[BinaryIO]:
    if job.target_stream is not None:
        return piped_file(job.target_stream, format_named(job.format))
    if job.place is None:
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            pass  # a file has this name; `new_file` raises the error
        except OSError as error:
            raise writing_error(job.output, error) from error
    sources = () if was is None else (was,)
    return new_file(job.output, overwrite=options.overwrite, token=token, place=job.place, sources=sources)
