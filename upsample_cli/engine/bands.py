"""Apply a kernel to the rows of an image, one band at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import NamedTuple

from upsample_cli.engine.borders import WrappedRows
from upsample_cli.engine.devices import work_of_caller
from upsample_cli.engine.enlargement import BandTask, Enlargement, Settings, raise_if_set
from upsample_cli.engine.exact import Arithmetic, Pixels
from upsample_cli.engine.pool import computed_ahead, computed_together
from upsample_cli.geometry.tiles import Tile, whole_image

ReadRows = Callable[[int, int], Pixels]
"""A function that reads rows `first` to `last` (exclusive) of the input: (rows, width, channels), in memory of the
device or of the CPU."""

OnRoute = Callable[[str], None]


def enlarged_bands(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    *,
    settings: Settings,
    arithmetic: Arithmetic,
    out: Pixels | None = None,
    stop: Event | None = None,
    on_route: OnRoute = lambda _name: None,
) -> Iterator[Pixels]:
    """Enlarge an image, and yield its rows from top to bottom.

    While the caller uses a band, a bounded number of the next bands is computed.

    Args:
        read_rows: reads rows of the input. It is called in the iterating thread, with increasing ranges that overlap by
            a few rows; with the border "wrap", the first call reads the last rows.
        shape: (height, width, channels) of the input.
        settings: the kernel and how to apply it.
        arithmetic: the arithmetic for these pixels and `settings.kernel`.
        out: (height*factor, width*factor, channels): an array for the result, in memory of the device or of the CPU. By
            default, each band is a new numpy array.
        stop: an event; if it is set, the iteration ends with `Interrupted` at the next band.
        on_route: called with the name of the route in use.

    Yields:
        (rows*factor, width*factor, channels) of `arithmetic.out_dtype`.
    """
    height, width, channels = shape
    run = Enlargement(settings, arithmetic, channels)
    on_route(run.route.name)
    plan = run.plan(height, width, is_resident=out is not None and str(out.device) == settings.device)
    factor = settings.kernel.factor

    def read(first: int, last: int) -> Pixels:
        return run.device.taken(read_rows(first, last))

    read_band = WrappedRows(read, height, plan.halo, run.device.joined) if plan.wraps else read

    def tasks() -> Iterator[BandTask]:
        for band in plan.bands():
            raise_if_set(stop)
            span = band[0].rows
            target = None if out is None else out[span.start * factor : span.stop * factor]
            rows = read_band(span.first, span.last)
            yield BandTask(band, rows, target, work_of_caller(run.device, rows, target))

    for made in computed_ahead(run.compute_band, tasks(), count=run.device.bands_in_flight - 1):
        raise_if_set(stop)
        yield run.device.array(made) if out is None else made


class Whole(NamedTuple):
    """Enlarges images of one size as one tile, in the calling thread.

    Args:
        route: name of the route.
        enlarged: returns an image enlarged, (height*factor, width*factor, channels), as a new numpy array.
    """

    route: str
    enlarged: Callable[[Pixels], Pixels]


def whole_of(shape: tuple[int, int, int], *, settings: Settings, arithmetic: Arithmetic) -> Whole | None:
    """What enlarges images of this shape, if they are small; None for others, which `enlarged_bands` enlarges.

    Args:
        shape, settings, arithmetic: see `enlarged_bands`.
    """
    height, width, channels = shape
    run, factor = Enlargement(settings, arithmetic, channels), settings.kernel.factor
    plan = run.plan(height, width)
    if not plan.is_one_tile or not run.is_compiled or plan.wraps:
        return None
    tile, size = whole_image(height, width, plan.halo), (height * factor, width * factor, channels)
    device, route, dtype = run.device, run.route, arithmetic.out_dtype

    def enlarged(pixels: Pixels) -> Pixels:
        out = device.empty(size, dtype)
        device.compute(route, pixels, tile, settings.border, out, stride=factor)
        return out

    return Whole(route.name, enlarged)


def enlarge(pixels: Pixels, out: Pixels, *, settings: Settings, arithmetic: Arithmetic) -> None:
    """Enlarge an image in memory. For a small one, what happens before its first pixel takes most of the time.

    Args:
        pixels, out: the image, and the array for the result; see `enlarged_bands`.
        settings, arithmetic: see `enlarged_bands`.
    """
    height, width, channels = pixels.shape
    run = Enlargement(settings, arithmetic, channels)
    if settings.border == "wrap" or not run.is_compiled:
        shape = (height, width, channels)
        for _ in enlarged_bands(
            lambda first, last: pixels[first:last], shape, settings=settings, arithmetic=arithmetic, out=out
        ):
            pass
        return
    plan = run.plan(height, width)
    if plan.is_one_tile:
        run.compute_tile(whole_image(height, width, plan.halo), pixels, 0, out)
        return
    factor = settings.kernel.factor

    def compute(tile: Tile) -> None:
        rows, columns = (slice(span.start * factor, span.stop * factor) for span in (tile.rows, tile.columns))
        run.compute_tile(tile, pixels, 0, out[rows, columns])

    computed_together(compute, [tile for band in plan.bands() for tile in band])
