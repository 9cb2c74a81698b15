"""Enlarges the rows of one image: source, layer, sink. The engine is imported with the first image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from upsample_cli.enlarge.job import Job, OnRows
from upsample_cli.enlarge.networks import network_run, not_finite
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.prepared import Prepared
from upsample_cli.errors import Loss
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.interfaces import Sink, Source
from upsample_cli.images.model import Rows

if TYPE_CHECKING:
    from upsample_cli.engine.enlargement import Settings


@dataclass(frozen=True, slots=True)
class FileRun:
    """What all frames of one file share.

    Args:
        job, options: the image, and the options of the run.
        settings: settings of the engine.
        stop: set it to end with `Interrupted`.
        routes: the name of the route of each frame is added to it.
    """

    job: Job
    options: Options
    settings: Settings
    stop: Event | None
    routes: list[str] = field(default_factory=list)


def enlarge_rows(run: FileRun, source: Source, sink: Sink, made: Prepared, on_rows: OnRows) -> list[Loss]:
    """Write one image's enlarged rows to its sink, and finish the sink. Returns the losses."""
    info, resolved, computed, light = made.info, made.resolved, made.computed, made.light

    def read(first: int, last: int) -> Rows:
        rows = convert_rows(source.read_rows(first, last), info.layout, computed)
        return light.linear(rows) if light else rows

    done, height = 0, resolved.size[0]
    for band in _bands(run, made, read):
        rows = light.levels(band) if light else band
        sink.write_rows(convert_rows(rows, computed, resolved.layout, made.metadata.icc_profile))
        before, done = done, done + len(band)
        on_rows(done * info.height // height - before * info.height // height)
    sink.finish()
    return [*source.losses, *sink.losses]


def _bands(run: FileRun, made: Prepared, read: Callable[[int, int], Rows]) -> Iterable[Rows]:
    """The enlarged rows, from top to bottom. The route that computes them is added to `run.routes`.

    Args:
        read: returns rows `first` to `last` (exclusive) of the input in the computed layout.
    """
    info, resolved = made.info, made.resolved
    if made.whole is not None:
        from upsample_cli.engine.enlargement import raise_if_set

        run.routes.append(made.whole.route)
        enlarged = made.whole.enlarged(read(0, info.height))
        raise_if_set(run.stop)
        return (enlarged,)
    if resolved.model is not None:
        run.routes.append(f"network {resolved.model.architecture}")
        network = network_run(run.job.input, info, run.options, resolved.model, made.settings)
        return network.bands(read, run.stop, partial(not_finite, run.job.input))
    from upsample_cli.engine.resize import resized_bands
    from upsample_cli.engine.resize_axes import filter_for

    return resized_bands(
        read,
        (info.height, info.width, info.layout.channels),
        resolved.size,
        settings=made.settings,
        arithmetic=made.arithmetic,
        weigh=filter_for(run.options.kernel),
        stop=run.stop,
        on_route=run.routes.append,
    )
