"""One image's way: source, bands through the layer, sink. Imports torch when the first image is decoded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from upsample_cli.atomic.files import new_file, writing_error
from upsample_cli.enlarge.job import Job, Result
from upsample_cli.enlarge.options import DEPTHS, Options, options_of
from upsample_cli.enlarge.planning import check_output, name_warnings, plan_job
from upsample_cli.enlarge.suitability import check_strict, image_kernel, image_warnings, is_premultiplied
from upsample_cli.errors import Interrupted
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.color.light import light_of
from upsample_cli.images.formats import format_named
from upsample_cli.images.limits import check_all_frames
from upsample_cli.images.metadata.carried import metadata_for_output
from upsample_cli.images.metadata.policy import under_policy
from upsample_cli.images.model import Frames, FrameWriter, ImageInfo, Layout, Metadata, Sink, Source
from upsample_cli.images.open import open_animation, open_image, open_pages
from upsample_cli.images.output_form import OutputForm, nearest_form
from upsample_cli.images.save import open_sink
from upsample_cli.images.save_frames import open_frame_writer
from upsample_cli.images.streams import piped_file
from upsample_cli.kernels.kernel import kernel_named

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
        target: the output file; its extension chooses the format. By default `NAME_xFACTOR.EXT` beside the input. Its
            folder is made if it is missing.
        factor: 1 to 64, whole or not ("4/3"); 2 unless one of the next four is given.
        options: the other fields of `options.Options`: size and fit, (height, width) in pixels, width, height, kernel,
            border, alpha, device, memory_bytes, tile, format, quality, overwrite, strict, max_pixels, metadata, depth,
            linear_light, frame, name.

    Returns:
        What was written, with a warning for whatever the output could not hold.

    Raises:
        UsageError: if an option is out of range, or source and target are the same file.
        ImageError: if the image cannot be read, or the output cannot be written or exists already.
    """
    chosen = options_of(factor, **options)
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
    with open_image(job.source_stream or job.input, max_pixels=options.max_pixels, frame=options.frame) as source:
        from upsample_cli.engine.pool import compute_pool

        info, _, form = _output_form(source, job, options)
        check_all_frames(str(job.input), form.frames, info.height, info.width, options.max_pixels)
        warnings = (*info.warnings, *form.warnings, *image_warnings(job.input, info, options))
        warnings += name_warnings(job.output, format_named(job.format), form.layout)
        check_strict(job.input, warnings, options)
        engine_settings(options)  # a device that is not there ends it before there is a file
        if stop is not None and stop.is_set():  # decoding takes its time: no new file after the others were removed
            raise Interrupted
        with _output_file(job, options, token) as file:
            sink_settings: dict[str, Any] = {"quality": options.quality, "info": info, "executor": compute_pool()}
            if form.frames is not None:
                sink_settings["factor"] = options.target.whole_factor(info.height, info.width)
                writer = open_frame_writer(file, format_named(job.format), form.frames, **sink_settings)
                more = _enlarge_frames(job, options, writer, form.frames, stop=stop, on_rows=on_rows)
            else:
                sink_settings |= _image_settings(info, form, options) | {"suffix": job.output.suffix}
                sink = open_sink(file, format_named(job.format), **sink_settings)
                more = _enlarge(source, sink, job, options, stop=stop, on_rows=on_rows)
            warnings = tuple(dict.fromkeys((*warnings, *more)))
            check_strict(job.input, warnings, options)  # what the pixels told: the file is not there yet
    planned = Result.planned(replace(job, warnings=warnings), options.factor)
    return planned.ended("written", elapsed_s=time.perf_counter() - start_s)


def _output_form(source: Source, job: Job, options: Options) -> tuple[ImageInfo, Metadata, OutputForm]:
    info, metadata = under_policy(source.info, source.metadata, options.metadata)
    return info, metadata, nearest_form(info, metadata, format_named(job.format), depth=DEPTHS[options.depth])


def _image_settings(info: ImageInfo, form: OutputForm, options: Options) -> dict[str, Any]:
    """What a sink is told of the image that will come."""
    height, width = options.target.output_size(info.height, info.width)
    metadata = metadata_for_output(form.metadata, height, width)
    return {"height": height, "width": width, "layout": form.layout, "metadata": metadata}


def _enlarge(
    source: Source, sink: Sink, job: Job, options: Options, *, stop: Event | None, on_rows: OnRows
) -> list[str]:
    """One image's rows through the layer and into its sink, which is then finished. Returns what was lost on it."""
    import torch

    from upsample_cli.engine.exact import fitted as fitted_kernel
    from upsample_cli.engine.resize import resized_bands
    from upsample_cli.engine.resize_axes import filter_for

    info, metadata, form = _output_form(source, job, options)
    computed = _computed_layout(info.layout, form.layout)
    light = light_of(job.input, computed, metadata.icc_profile) if options.linear_light else None
    settings = engine_settings(options)
    dtype: torch.dtype = getattr(torch, "float64" if light else computed.dtype.name)
    kernel, arithmetic = fitted_kernel(
        image_kernel(job.input, info, options),
        dtype,
        has_alpha=is_premultiplied(info.layout, options),
        largest_amount=light.largest_amount if light else None,
    )
    settings = replace(settings, kernel=kernel)

    def read(first: int, last: int) -> torch.Tensor:
        rows = convert_rows(source.read_rows(first, last), info.layout, computed)
        return torch.from_numpy(light.linear(rows) if light else rows)

    shape = (info.height, info.width, info.layout.channels)
    size = options.target.output_size(info.height, info.width)
    weigh, done = filter_for(options.kernel), 0
    for band in resized_bands(read, shape, size, settings=settings, arithmetic=arithmetic, weigh=weigh, stop=stop):
        rows = light.levels(band.numpy()) if light else band.numpy()
        sink.write_rows(convert_rows(rows, computed, form.layout, metadata.icc_profile))
        before, done = done, done + len(band)
        on_rows(done * info.height // size[0] - before * info.height // size[0])
    sink.finish()
    return [*source.losses, *sink.losses]


def _enlarge_frames(
    job: Job, options: Options, writer: FrameWriter, frames: Frames, *, stop: Event | None, on_rows: OnRows
) -> list[str]:
    """Every frame or page in turn; `on_rows` is told as many rows in all as the first has. Returns the warnings."""
    done, told, warnings = 0, 0, dict[str, None]()

    def on_frame_rows(rows: int) -> None:
        nonlocal done, told
        done += rows
        on_rows(done // frames.count - told)
        told = done // frames.count

    for source, duration_ms in _images(job, options, frames):
        with source:
            info, _, form = _output_form(source, job, options)
            warnings |= dict.fromkeys((*info.warnings, *form.warnings))
            check_strict(job.input, tuple(warnings), options)
            sink = writer.frame(**_image_settings(info, form, options), duration_ms=duration_ms)
            warnings |= dict.fromkeys(_enlarge(source, sink, job, options, stop=stop, on_rows=on_frame_rows))
    writer.finish()
    return list(warnings)


def _images(job: Job, options: Options, frames: Frames) -> Iterator[tuple[Source, Fraction]]:
    """Each frame or page of the input; it is gone when the next one is asked for."""
    file = job.source_stream or job.input
    if frames.kind == "animation":
        yield from open_animation(file, max_pixels=options.max_pixels)
    else:
        for source in open_pages(file, frames.count, max_pixels=options.max_pixels):
            yield source, Fraction(0)


def _computed_layout(read: Layout, written: Layout) -> Layout:
    """What is enlarged: bytes that are to become 16 bits do so before, and their interpolated values gain by it."""
    return replace(read, depth=16) if read.depth == 8 and written.depth == 16 else read


def _output_file(job: Job, options: Options, token: str | None) -> AbstractContextManager[BinaryIO]:
    if job.target_stream is not None:
        return piped_file(job.target_stream, format_named(job.format))
    if job.place is None:
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            pass  # something else has its name; `new_file` says so
        except OSError as error:
            raise writing_error(job.output, error) from error
    sources = () if job.source_stream is not None else (job.input,)
    return new_file(job.output, overwrite=options.overwrite, token=token, place=job.place, sources=sources)


def engine_settings(options: Options) -> Settings:
    """The engine's part of the options.

    Raises:
        DeviceError: if the device is not there.
    """
    from upsample_cli.engine.bands import Settings
    from upsample_cli.engine.devices import pick_device

    return Settings(
        options.common_kernel() or kernel_named("nearest", 1),  # each image has its own
        options.border,
        pick_device(options.device),
        options.memory_bytes,
        options.tile,
    )


def options_on_device(options: Options, index: int) -> tuple[Options, str]:
    """The options for worker `index` among several, and the name of its device: of several GPUs each takes its own.

    Raises:
        DeviceError: if the device is not there.
    """
    import torch

    device = str(engine_settings(options).device)
    if options.device in ("auto", "cuda") and (count := torch.cuda.device_count()) > 1:
        device = f"cuda:{index % count}"
    return replace(options, device=device), device  # no image has to ask again what is there
