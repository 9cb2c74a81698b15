"""Enlarges the rows of one image: source, layer, sink. The engine is imported with the first image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from upsample_cli.enlarge.computing import computed_layout, settings_and_arithmetic
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.networks import network_run, not_finite
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import Resolved
from upsample_cli.errors import Loss
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import Format
from upsample_cli.images.metadata.carried import metadata_for_output
from upsample_cli.images.model import ImageInfo, Metadata, Rows, Sink, Source
from upsample_cli.images.output_form import kept_metadata

if TYPE_CHECKING:
    from upsample_cli.engine.bands import Settings

OnRows = Callable[[int], None]
"""Called with the number of input rows that were enlarged since the last call."""


@dataclass(frozen=True, slots=True)
class FileRun:
    """Data for all frames of one file."""

    job: Job
    options: Options
    fmt: Format
    settings: Settings
    stop: Event | None
    routes: list[str] = field(default_factory=list)


def sink_image(run: FileRun, info: ImageInfo, metadata: Metadata, resolved: Resolved) -> dict[str, Any]:
    """The arguments that describe an image to its sink."""
    height, width = resolved.size
    kept = kept_metadata(info, metadata, resolved.layout, run.fmt)
    return {
        "height": height,
        "width": width,
        "layout": resolved.layout,
        "metadata": metadata_for_output(kept, height, width, info),
    }


def enlarge_rows(
    run: FileRun, source: Source, sink: Sink, info: ImageInfo, metadata: Metadata, resolved: Resolved, on_rows: OnRows
) -> list[Loss]:
    """Write one image's enlarged rows to its sink, and finish the sink. Returns the losses."""
    from upsample_cli.engine.resize import resized_bands
    from upsample_cli.engine.resize_axes import filter_for

    options, size = run.options, resolved.size
    computed = computed_layout(info.layout, resolved.layout)
    light = None
    if options.linear_light:
        from upsample_cli.images.color.light import light_of

        light = light_of(run.job.input, computed, metadata.icc_profile, metadata.colour)
    settings, arithmetic = settings_and_arithmetic(
        run.settings, resolved.kernel, info.layout, resolved.layout, options, light
    )

    def read(first: int, last: int) -> Rows:
        rows = convert_rows(source.read_rows(first, last), info.layout, computed)
        return light.linear(rows) if light else rows

    shape = (info.height, info.width, info.layout.channels)
    done = 0
    if resolved.model is not None:
        run.routes.append(f"network {resolved.model.architecture}")
        network = network_run(run.job.input, info, options, resolved.model, settings)
        bands = network.bands(read, run.stop, partial(not_finite, run.job.input))
    else:
        bands = resized_bands(
            read,
            shape,
            size,
            settings=settings,
            arithmetic=arithmetic,
            weigh=filter_for(options.kernel),
            stop=run.stop,
            on_route=run.routes.append,
        )
    for band in bands:
        rows = light.levels(band) if light else band
        sink.write_rows(convert_rows(rows, computed, resolved.layout, metadata.icc_profile))
        before, done = done, done + len(band)
        on_rows(done * info.height // size[0] - before * info.height // size[0])
    sink.finish()
    return [*source.losses, *sink.losses]
