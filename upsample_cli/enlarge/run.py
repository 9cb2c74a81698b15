"""One image's way: source, bands through the layer, sink. The engine is imported with the first image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from upsample_cli.atomic.files import new_file, writing_error
from upsample_cli.atomic.opened import opened
from upsample_cli.enlarge.computing import computed_layout, engine_settings, settings_and_arithmetic
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import check_output, plan_job
from upsample_cli.enlarge.resolve import Resolved, check_strict, resolve
from upsample_cli.errors import ImageError, InputChangedError, Interrupted, Loss, Setting, joined
from upsample_cli.images.codecs.input_file import regular_file
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import Format, format_named
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.metadata.carried import metadata_for_output
from upsample_cli.images.metadata.policy import under_policy
from upsample_cli.images.model import Frames, FrameWriter, ImageInfo, Metadata, Rows, Sink, Source
from upsample_cli.images.open import open_animation, open_image, open_pages
from upsample_cli.images.open_frames import lost_page
from upsample_cli.images.output_form import kept_metadata
from upsample_cli.images.save import open_sink
from upsample_cli.images.streams import piped_file

if TYPE_CHECKING:
    from upsample_cli.engine.bands import Settings

OnRows = Callable[[int], None]
"""Told the number of input rows enlarged since the last call."""


def upsample_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    factor: int | float | Fraction | str | None = None,
    **options: Any,
) -> Result:
    """Enlarge one image file.

    Args:
        source: the input file.
        target: the output file; its extension chooses the format. By default `NAME_xFACTOR.EXT` next to the input. Its
            folder is made if it is missing.
        factor: 1 to 64, whole or not ("4/3"); 2 unless one of the next four is given.
        options: the other fields of `options.Options`: size and fit, (height, width) in pixels, width, height, kernel,
            border, alpha, device, memory_bytes, tile, format, quality, overwrite, strict, max_pixels, metadata, depth,
            linear_light, frame, name, engine.

    Returns:
        What was written, with a warning for whatever the output could not hold.

    Raises:
        UsageError: if an option is out of range, or source and target are the same file.
        ImageError: if the image cannot be read, or the output cannot be written or exists already.
    """
    chosen = Options(factor, **options)
    job = plan_job(Path(source), chosen, output=Path(target) if target is not None else None)
    check_output(job, chosen)
    return enlarge_image(job, chosen)


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
        token: of the run, part of the output's temporary name.
        stop: set it from another thread to end with `Interrupted`; nothing is left behind.
        on_rows: progress.

    Raises:
        ImageError: if the image cannot be read or written.
        DeviceError: if the device is not there.
        Interrupted: if `stop` was set.
        BrokenPipeError: if nobody reads `job.target_stream` any more.
    """
    start_s = time.perf_counter()
    with (
        _input_file(job) as input_file,
        open_image(input_file, max_pixels=options.max_pixels, frame=options.frame) as source,
    ):
        from upsample_cli.engine import aten
        from upsample_cli.engine.pool import compute_pool

        is_one = options.frame is not None
        info, metadata = under_policy(source.info, source.metadata, options.metadata, is_one_of_many=is_one)
        _check_header(job, info)
        check_all_frames(str(job.input), job.resolved.frames, info.height, info.width, options.max_pixels)
        losses = tuple(dict.fromkeys((*info.losses, *job.resolved.warnings)))
        check_strict(job.input, losses, options)
        settings = engine_settings(options, job.resolved.kernel)  # no device ends it before there is a file
        if stop is not None and stop.is_set():  # decoding takes its time: no new file after the others were removed
            raise Interrupted
        with _output_file(job, options, token, input_file) as file:
            fmt, frames = format_named(job.format), job.resolved.frames
            sink_settings: dict[str, Any] = {"quality": options.quality, "info": info, "executor": compute_pool()}
            run = _Run(job, options, fmt, settings, stop)
            if frames is not None:
                from upsample_cli.images.save_frames import open_frame_writer

                sink_settings["factor"] = job.resolved.kernel.factor
                writer = open_frame_writer(file, fmt, frames, **sink_settings)
                more = _enlarge_frames(run, writer, frames, _images(input_file, options, frames), on_rows)
            else:
                image = _image(run, info, metadata, job.resolved)
                sink = open_sink(file, fmt, **sink_settings, **image, suffix=job.output.suffix)
                more = _enlarge(run, source, sink, info, metadata, job.resolved, on_rows)
            losses = tuple(dict.fromkeys((*losses, *more)))
            check_strict(job.input, losses, options)  # losses found in the pixels: the file is not there yet
    engine = " and ".join(dict.fromkeys(run.routes))  # frames can differ in their kind of pixels
    result = replace(
        Result.planned(job), losses=losses, device=settings.device, engine=engine, engine_note=aten.import_note()
    )
    return result.ended("written", elapsed_s=time.perf_counter() - start_s)


def _check_header(job: Job, info: ImageInfo) -> None:
    """Refuse an image that is not the planned one any more.

    Raises:
        InputChangedError: if it is not.
    """
    planned, found = (
        (header.format, header.height, header.width, header.layout, header.frames) for header in (job.header, info)
    )
    if planned != found:
        raise InputChangedError(job.input)


@dataclass(frozen=True, slots=True)
class _Run:
    """What holds for all frames of one file."""

    job: Job
    options: Options
    fmt: Format
    settings: Settings
    stop: Event | None
    routes: list[str] = field(default_factory=list)


def _image(run: _Run, info: ImageInfo, metadata: Metadata, resolved: Resolved) -> dict[str, Any]:
    """What a sink needs to know of an image."""
    height, width = resolved.size
    kept = kept_metadata(info, metadata, resolved.layout, run.fmt)
    return {
        "height": height,
        "width": width,
        "layout": resolved.layout,
        "metadata": metadata_for_output(kept, height, width),
    }


def _enlarge(
    run: _Run, source: Source, sink: Sink, info: ImageInfo, metadata: Metadata, resolved: Resolved, on_rows: OnRows
) -> list[Loss]:
    """Enlarge one image's rows into its sink, and finish it. Returns what was lost."""
    from upsample_cli.engine.resize import resized_bands
    from upsample_cli.engine.resize_axes import filter_for

    options, size = run.options, resolved.size
    computed = computed_layout(info.layout, resolved.layout)
    light = None
    if options.linear_light:
        from upsample_cli.images.color.light import light_of

        light = light_of(run.job.input, computed, metadata.icc_profile)
    settings, arithmetic = settings_and_arithmetic(
        run.settings, resolved.kernel, info.layout, resolved.layout, options, light
    )

    def read(first: int, last: int) -> Rows:
        rows = convert_rows(source.read_rows(first, last), info.layout, computed)
        return light.linear(rows) if light else rows

    shape = (info.height, info.width, info.layout.channels)
    weigh, done = filter_for(options.kernel), 0
    for band in resized_bands(
        read,
        shape,
        size,
        settings=settings,
        arithmetic=arithmetic,
        weigh=weigh,
        stop=run.stop,
        on_route=run.routes.append,
    ):
        rows = light.levels(band) if light else band
        sink.write_rows(convert_rows(rows, computed, resolved.layout, metadata.icc_profile))
        before, done = done, done + len(band)
        on_rows(done * info.height // size[0] - before * info.height // size[0])
    sink.finish()
    return [*source.losses, *sink.losses]


def _enlarge_frames(
    run: _Run, writer: FrameWriter, frames: Frames, images: Iterable[tuple[Source, Fraction] | Loss], on_rows: OnRows
) -> list[Loss]:
    """Enlarge every frame or page in turn, each resolved when its own header is read. Returns what was lost.

    A page that cannot be read is a loss, unless no page can be. `on_rows` gets as many rows in all as the first has.
    """
    job, options = run.job, run.options
    done, reported, losses, written, described, fault = 0, 0, dict[Loss, None](), 0, False, None

    def on_frame_rows(rows: int) -> None:
        nonlocal done, reported
        done += rows
        on_rows(done // frames.count - reported)
        reported = done // frames.count

    for number, image in enumerate(images, start=1):
        if isinstance(image, Loss):
            losses[image] = None
            check_strict(job.input, tuple(losses), options)
            _check_described(job.input, described, image)
            continue
        source, duration_ms = image
        with source:
            info, metadata = under_policy(source.info, source.metadata, options.metadata)
            resolved = resolve(job.input, info, metadata, run.fmt, options, job.output)
            found = dict.fromkeys(resolved.losses)
            check_strict(job.input, (*losses, *found), options)
            sink = writer.frame(**_image(run, info, metadata, resolved), duration_ms=duration_ms)
            try:
                found |= dict.fromkeys(_enlarge(run, source, sink, info, metadata, resolved, on_frame_rows))
            except ImageError as error:
                if frames.kind != "pages":
                    raise
                lost = lost_page(error, number, frames.count)
                _check_described(job.input, described, lost)
                fault, found = fault or error, {lost: None}
                check_strict(job.input, (*losses, *found), options)
            else:
                written += 1
                described = described or (metadata.tags is not None and metadata.tags.describe_pages)
        losses |= found
    if not written and fault is not None:
        raise fault
    writer.finish()
    return list(losses)


def _check_described(path: Path, is_described: bool, lost: Loss) -> None:
    """Refuse to leave out a page that the description of another, which is written already, is about.

    Raises:
        ImageError: if it is.
    """
    if is_described:
        strip = Setting("metadata", "strip")
        cause = joined(lost.text, ", and the first page describes it")
        raise ImageError(path, cause, ("give ", strip, " to leave out the description"))


@contextmanager
def _input_file(job: Job) -> Iterator[BinaryIO]:
    """The input, opened once: another may come to its path while its pages are read."""
    if job.source_stream is not None:
        yield job.source_stream
        return
    with regular_file(job.input) as file:
        yield file


def _images(file: BinaryIO, options: Options, frames: Frames) -> Iterator[tuple[Source, Fraction] | Loss]:
    """Each frame or page of the input, or the loss of a page; it is gone when the next one is asked for."""
    if frames.kind == "animation":
        yield from open_animation(file, max_pixels=options.max_pixels)
    else:
        for page in open_pages(file, frames.count, max_pixels=options.max_pixels):
            yield page if isinstance(page, Loss) else (page, Fraction(0))


def _output_file(
    job: Job, options: Options, token: str | None, input_file: BinaryIO
) -> AbstractContextManager[BinaryIO]:
    if job.target_stream is not None:
        return piped_file(job.target_stream, format_named(job.format))
    if job.place is None:
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            pass  # something else has its name; `new_file` says so
        except OSError as error:
            raise writing_error(job.output, error) from error
    sources = () if job.source_stream is not None else (opened(job.input, input_file),)
    return new_file(job.output, overwrite=options.overwrite, token=token, place=job.place, sources=sources)
