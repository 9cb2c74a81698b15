"""One picture's way: source, bands through the layer, sink. Imports torch when the first picture is decoded."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from upsample_cli.errors import Interrupted
from upsample_cli.job import DEPTHS, Job, Options, Result, check_strict
from upsample_cli.kernels import kernel_named
from upsample_cli.pictures.convert import convert_rows
from upsample_cli.pictures.files import new_file, writing_error
from upsample_cli.pictures.formats import fit, format_named
from upsample_cli.pictures.metadata import metadata_for_output
from upsample_cli.pictures.model import Layout
from upsample_cli.pictures.policy import under_policy
from upsample_cli.pictures.sinks import open_sink
from upsample_cli.pictures.source import open_picture
from upsample_cli.pictures.streams import piped_file
from upsample_cli.planning import check_output, plan_job

if TYPE_CHECKING:
    from upsample_cli.engine import Settings

OnRows = Callable[[int], None]
"""Told the number of input rows enlarged since the last call."""


def upsample_file(
    source: str | os.PathLike[str], target: str | os.PathLike[str] | None = None, factor: int = 2, **options: Any
) -> Result:
    """Enlarge one picture file.

    Args:
        source: the input file.
        target: the output file; its extension chooses the format. By default `NAME_xFACTOR.EXT` beside the input. Its
            folder is made if it is missing.
        factor: whole factor, 1 to 64.
        options: the other fields of `job.Options`: kernel, border, alpha, device, memory_bytes, tile, format, quality,
            overwrite, strict, max_pixels, metadata, depth.

    Returns:
        What was written, with a warning for whatever the output could not hold.

    Raises:
        UsageError: if an option is out of range, or source and target are the same file.
        PictureError: if the picture cannot be read, or the output cannot be written or exists already.
    """
    chosen = Options(factor=factor, **options)
    job = plan_job(Path(source), chosen, output=Path(target) if target is not None else None)
    check_output(job, chosen)
    return enlarge_picture(job, chosen)


def enlarge_picture(
    job: Job, options: Options, *, stop: Event | None = None, on_rows: OnRows = lambda _rows: None
) -> Result:
    """Carry out one job. The output's folder is made if it is missing.

    Args:
        stop: set it from another thread to end with `Interrupted`; nothing is left behind.
        on_rows: progress.

    Raises:
        PictureError: if the picture cannot be read or written.
        DeviceError: if the device is not there.
        Interrupted: if `stop` was set.
        BrokenPipeError: if nobody reads `job.target_stream` any more.
    """
    start_s = time.perf_counter()
    with open_picture(job.source_stream or job.input, max_pixels=options.max_pixels) as source:
        import torch

        from upsample_cli.engine import compute_pool, enlarged_bands
        from upsample_cli.pixels import Arithmetic

        info, metadata = under_policy(source.info, source.metadata, options.metadata)
        format_ = format_named(job.format)
        fitted = fit(info, metadata, format_, depth=DEPTHS[options.depth])
        computed = _computed_layout(info.layout, fitted.layout)
        warnings = (*info.warnings, *fitted.warnings)
        check_strict(job.input, warnings, options)
        settings = engine_settings(options)
        height, width = info.height * options.factor, info.width * options.factor
        premultiplied = info.layout.alpha and options.alpha == "premultiplied"
        dtype: torch.dtype = getattr(torch, computed.dtype.name)
        arithmetic = Arithmetic(dtype, settings.kernel.denominator**2, premultiplied)
        if stop is not None and stop.is_set():  # decoding takes its time: no new file after the others were removed
            raise Interrupted
        with _output_file(job, options) as file:
            sink = open_sink(
                file,
                format_,
                height=height,
                width=width,
                layout=fitted.layout,
                metadata=metadata_for_output(fitted.metadata, height, width),
                quality=options.quality,
                info=info,
                executor=compute_pool(),
            )
            for band in enlarged_bands(
                lambda first, last: torch.from_numpy(
                    convert_rows(source.read_rows(first, last), info.layout, computed)
                ),
                (info.height, info.width, info.layout.channels),
                settings=settings,
                arithmetic=arithmetic,
                stop=stop,
            ):
                sink.write_rows(convert_rows(band.numpy(), computed, fitted.layout, metadata.icc_profile))
                on_rows(band.shape[0] // options.factor)
            sink.finish()
    planned = Result.planned(replace(job, warnings=warnings), options.factor)
    return planned.ended("written", elapsed_s=time.perf_counter() - start_s)


def _computed_layout(read: Layout, written: Layout) -> Layout:
    """What is enlarged: bytes that are to become 16 bits do so before, and their interpolated values gain by it."""
    return replace(read, depth=16) if read.depth == 8 and written.depth == 16 else read


def _output_file(job: Job, options: Options) -> AbstractContextManager[BinaryIO]:
    if job.target_stream is not None:
        return piped_file(job.target_stream, format_named(job.format))
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        pass  # something else has its name; `new_file` says so
    except OSError as error:
        raise writing_error(job.output, error) from error
    return new_file(job.output, overwrite=options.overwrite)


@functools.lru_cache(maxsize=8)
def engine_settings(options: Options) -> Settings:
    """The engine's part of the options.

    Raises:
        DeviceError: if the device is not there.
    """
    from upsample_cli.engine import Settings, pick_device

    return Settings(
        kernel_named(options.kernel, options.factor),
        options.border,
        pick_device(options.device),
        options.memory_bytes,
        options.tile,
    )
