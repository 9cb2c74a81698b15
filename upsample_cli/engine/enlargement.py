"""An enlargement: its settings, its route, and how one tile or band of an image is computed."""

from __future__ import annotations

from threading import Event
from typing import Any, NamedTuple

from upsample_cli.engine.devices import device_support
from upsample_cli.engine.exact import Arithmetic, Pixels
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.routes.early import early_route
from upsample_cli.engine.routes.plain import Route
from upsample_cli.errors import Interrupted, Setting, UsageError
from upsample_cli.geometry.borders import Border
from upsample_cli.geometry.tiles import LEAST_ROWS, Plan, Tile, plan_for_budget
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import AnyKernel, Network

_LEAST_TILE_PIXELS = 64
"""Tiles of this size or smaller are not halved when memory runs out."""

_ROWS_PER_HALO = 12
"""Rows of a network's tile for each row of its halo. A network computes the activations in its halo again for every
tile, which takes an eighth more time in low and wide tiles (measured); other kernels only read the halo."""


class Settings(NamedTuple):
    """Settings of an enlargement that do not depend on the image.

    Args:
        kernel: the kernel, including the factor.
        border: how the halo outside the image is filled.
        device: device of the layer: "cpu", "cuda:N" or "mps".
        budget_bytes: working memory of the convolution for all threads together; None for the default.
        tile_size: side of a tile's core in input pixels; None to derive it from the budget.
        engine: the routes that may be used.
        is_early: a route on the CPU may compute before it has been checked; see `routes.early`.
    """

    kernel: AnyKernel
    border: Border
    device: str
    budget_bytes: int | None = None
    tile_size: int | None = None
    engine: EngineName = "auto"
    is_early: bool = False


def route_of(settings: Settings, arithmetic: Arithmetic, channels: int) -> Route:
    """The route for images of this kind. It is chosen on the first call.

    Raises:
        UsageError: if the settings name a route that cannot be used.
    """
    if settings.is_early and settings.device == "cpu" and isinstance(settings.kernel, Kernel):
        return early_route(settings.kernel, arithmetic, channels, settings.engine)
    return device_support(settings.device).route(settings.kernel, arithmetic, channels, settings.engine)


def raise_if_set(stop: Event | None) -> None:
    """Raise `Interrupted` if the event is set."""
    if stop is not None and stop.is_set():
        raise Interrupted


class BandTask(NamedTuple):
    """A band to compute.

    Args:
        band: its tiles, from left to right.
        rows: its rows of the input, with the halo: (rows, width, channels).
        out: the memory for the result; None for new memory of the device.
        after: an event that its device waits for; see `devices.work_of_caller`.
    """

    band: tuple[Tile, ...]
    rows: Pixels
    out: Pixels | None
    after: Any


class Enlargement:
    """Enlarges one image with one route, and remembers which tile size fits into the memory of the device."""

    def __init__(self, settings: Settings, arithmetic: Arithmetic, channels: int) -> None:
        self.device = device_support(settings.device)
        self._settings = settings
        self._arithmetic = arithmetic
        self._channels = channels
        self.route = route_of(settings, arithmetic, channels)
        self._largest_tile: int | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether any thread may compute: torch's operators run only in threads that are limited to one core."""
        return self.route.is_compiled

    def plan(self, height: int, width: int, *, is_resident: bool = False) -> Plan:
        """The tiles of an image.

        Args:
            height, width: of the image.
            is_resident: whether its pixels are in memory of the device already.

        Raises:
            UsageError: if the memory budget is too small for a tile.
        """
        settings = self._settings
        halo = settings.kernel.halo
        share = self.device.bands_in_flight if settings.budget_bytes else 1
        budget = settings.budget_bytes // share if settings.budget_bytes else None
        bytes_per_value = self.route.bytes_per_value
        bytes_per_pixel = self._channels * settings.kernel.factor**2 * bytes_per_value
        preferred = self.device.tile_bytes(
            height * width * bytes_per_pixel, bytes_per_value=bytes_per_value, is_resident=is_resident
        )
        if budget is not None and budget < bytes_per_pixel * _LEAST_TILE_PIXELS:
            least = bytes_per_pixel * _LEAST_TILE_PIXELS * share
            raise UsageError(
                "the memory budget is too small for a single tile",
                ("give ", Setting("memory_bytes", least), " or more"),
            )
        plan = plan_for_budget(
            height,
            width,
            halo=halo,
            bytes_per_pixel=bytes_per_pixel,
            budget_bytes=preferred if budget is None else min(preferred, budget),
            tile_size=settings.tile_size,
            least_rows=_ROWS_PER_HALO * halo if isinstance(settings.kernel, Network) else LEAST_ROWS,
        )
        return plan._replace(wraps=True) if settings.border == "wrap" and plan.halo else plan

    def compute_band(self, task: BandTask) -> Pixels:
        """Enlarge one band."""
        band, rows, out, after = task
        factor = self._settings.kernel.factor
        span = band[0].rows
        if out is None:
            shape = ((span.stop - span.start) * factor, band[-1].columns.stop * factor, self._channels)
            out = self.device.empty(shape, self._arithmetic.out_dtype)
        with self.device.own_work(after):
            for tile in band:
                columns = slice(tile.columns.start * factor, tile.columns.stop * factor)
                self.compute_tile(tile, rows, span.first, out[:, columns])
        return out

    def compute_tile(self, tile: Tile, rows: Pixels, first_row: int, out: Pixels) -> None:
        """Enlarge one tile, in parts if memory runs out. `rows` begin with the row `first_row` of the image."""
        pixels = (tile.rows.stop - tile.rows.start) * (tile.columns.stop - tile.columns.start)
        if self._largest_tile is None or pixels <= self._largest_tile:
            try:
                self._run_route(tile, rows, first_row, out)
            except RuntimeError as error:
                if pixels <= _LEAST_TILE_PIXELS or not self.device.is_out_of_memory(error):
                    raise
                self._largest_tile = pixels // 2
                self.device.release_memory()
            else:
                return
        near, far = tile.halves()
        factor = self._settings.kernel.factor
        height, width = ((span.stop - span.start) * factor for span in (near.rows, near.columns))
        parts = (out[:, :width], out[:, width:]) if near.rows == far.rows else (out[:height], out[height:])
        for half, part in zip((near, far), parts, strict=True):
            self.compute_tile(half, rows, first_row, part)

    def _run_route(self, tile: Tile, rows: Pixels, first_row: int, out: Pixels) -> None:
        taken = rows[tile.rows.first - first_row : tile.rows.last - first_row]
        columns = tile.columns
        if columns.wraps:
            taken = self.device.joined([taken[:, start:stop] for start, stop in columns.runs], 1)
        else:
            taken = taken[:, columns.first : columns.last]
        settings = self._settings
        self.device.compute(self.route, taken, tile, settings.border, out, stride=settings.kernel.factor)
