"""Runs a kernel over the rows of an image, band by band. The only module that knows devices and threads."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Event, Lock
from typing import NamedTuple, TypeVar

import torch

from upsample_cli.engine.borders import padded_tile
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.cuda import (
    LANES,
    callers_work,
    empty_for_bus,
    empty_on,
    exact_convolutions,
    fetch,
    is_out_of_memory,
    own_stream,
    tile_bytes,
    to_device,
)
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.select import chosen_route
from upsample_cli.errors import DeviceError, Interrupted, UsageError
from upsample_cli.geometry.tiles import Border, Plan, Tile, plan_for_budget
from upsample_cli.kernels.kernel import Kernel

Item = TypeVar("Item")
Made = TypeVar("Made")
ReadRows = Callable[[int, int], torch.Tensor]
"""Rows `first` to `last` of the input as (rows, width, channels), in memory of the device or of the CPU."""

_CACHE_BYTES = 12 * 2**20
"""Working memory of a tile on the CPU: small enough for the cache, large enough to make calls few. Measured."""

_KEPT_BYTES = 31 * 2**20
"""A piece that, taken and given back once, teaches glibc to keep pieces up to this size. Else it returns those of each
tile to the system, which hands them out again page by page: half of a float tile's time. It stops learning at 32 MiB.
Source: mallopt(3), M_MMAP_THRESHOLD.
"""

_LEAST_TILE_PIXELS = 64

_LEAST_SHARE_BYTES = 2**20
"""Working memory below which a tile is not made smaller for a further core to have one: calls would cost more."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to enlarge, whatever the image.

    Args:
        kernel: taps and factor.
        border: what lies outside the image.
        device: where the layer runs.
        budget_bytes: working memory of the convolution, all threads together; None for the default.
        tile_size: side of a tile's core in input pixels; None to derive it from the budget.
    """

    kernel: Kernel
    border: Border
    device: torch.device
    budget_bytes: int | None = None
    tile_size: int | None = None


def pick_device(name: str) -> torch.device:
    """The device of that name: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: if it is not there, naming the devices that are.
    """
    if name == "cpu":
        return torch.device("cpu")  # always there; to ask for the others takes a third of a millisecond
    there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in there else "cpu")
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)  # torch calls a tensor's device by its number
    if wanted not in there:
        raise DeviceError(f"there is no device {name!r} here", f"choose --device auto or one of {', '.join(there)}")
    return torch.device(wanted)


def compute_pool() -> ThreadPoolExecutor:
    """The threads that compute, one per core this process may use, each running torch on itself alone."""
    with _pool_lock:
        return _started_pool()


@functools.cache
def _started_pool() -> ThreadPoolExecutor:
    torch.empty(_KEPT_BYTES, dtype=torch.uint8)  # and given back
    count = core_count()
    pool = ThreadPoolExecutor(count, thread_name_prefix="upsample-compute")
    # Setting a thread's number also sets the default that threads started later inherit: put the caller's back.
    before = torch.get_num_threads()
    barrier = Barrier(count)

    def settle() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread's first look replaces what was set by the default: look while that is one
        barrier.wait()

    for each in [pool.submit(settle) for _ in range(count)]:
        each.result()
    torch.set_num_threads(before)
    return pool


_pool_lock = Lock()


def _forget_pool() -> None:
    _started_pool.cache_clear()
    _pool_lock.release()


if hasattr(os, "register_at_fork"):  # threads do not live on in a forked process (a DataLoader's workers, say)
    os.register_at_fork(before=_pool_lock.acquire, after_in_parent=_pool_lock.release, after_in_child=_forget_pool)


def computed_ahead(make: Callable[[Item], Made], items: Iterable[Item], *, count: int | None = None) -> Iterator[Made]:
    """`map` in the threads that compute, in order; items are taken in the thread that iterates.

    Args:
        count: items at most that are computed ahead of the one yielded; by default enough to keep the threads busy.
    """
    count = core_count() + 1 if count is None else count
    pending: deque[Future[Made]] = deque()
    try:
        for item in items:
            pending.append(compute_pool().submit(make, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def enlarged_bands(
    read_rows: ReadRows,
    shape: tuple[int, int, int],
    *,
    settings: Settings,
    arithmetic: Arithmetic,
    out: torch.Tensor | None = None,
    stop: Event | None = None,
) -> Iterator[torch.Tensor]:
    """Enlarge an image, yielding its rows from top to bottom.

    While a band is consumed, a bounded number of following ones is computed.

    Args:
        read_rows: called with rising, slightly overlapping ranges, from the thread that iterates.
        shape: (height, width, channels) of the input.
        arithmetic: of its pixels through `settings.kernel`.
        out: where to put the result, (height*factor, width*factor, channels); by default each band is a new tensor in
            memory of the CPU.
        stop: set it to end the iteration with `Interrupted` at the next band.

    Yields:
        (rows*factor, width*factor, channels) of `arithmetic.pixel_dtype`.
    """
    height, width, channels = shape
    run = _Run(settings, arithmetic, channels)
    plan = run.plan(height, width, is_resident=out is not None and out.device == settings.device)
    factor = settings.kernel.factor

    def taken() -> Iterator[_Taken]:
        for band in plan.bands():
            raise_if_set(stop)
            span = band[0].rows
            target = None if out is None else out[span.start * factor : span.stop * factor]
            rows = read_rows(span.first, span.last)
            yield _Taken(band, rows, target, callers_work(settings.device, rows, target))

    for made in computed_ahead(run.compute_band, taken(), count=run.count_ahead):
        raise_if_set(stop)
        yield made


def raise_if_set(stop: Event | None) -> None:
    """End with `Interrupted` if somebody asked to stop."""
    if stop is not None and stop.is_set():
        raise Interrupted


class _Taken(NamedTuple):
    """A band to compute: its rows, halo included, where it goes, and what its device has to have done before."""

    band: tuple[Tile, ...]
    rows: torch.Tensor
    out: torch.Tensor | None
    after: torch.cuda.Event | None


class _Run:
    """One image's way through one route; remembers how large a tile the device's memory allows."""

    def __init__(self, settings: Settings, arithmetic: Arithmetic, channels: int) -> None:
        self._settings = settings
        self._arithmetic = arithmetic
        self._channels = channels
        # In the pool, like the bands: the threads that torch gives a caller hang after a fork.
        self._route = compute_pool().submit(_route, settings, arithmetic, channels).result()
        self._largest_tile: int | None = None

    @property
    def count_ahead(self) -> int:
        """How many bands are computed beside the one that is waited for."""
        return core_count() + 1 if self._settings.device.type == "cpu" else LANES - 1

    def plan(self, height: int, width: int, *, is_resident: bool = False) -> Plan:
        settings = self._settings
        share = self.count_ahead + 1
        budget = settings.budget_bytes // share if settings.budget_bytes else None
        bytes_per_value = self._route.bytes_per_value
        bytes_per_pixel = self._channels * settings.kernel.factor**2 * bytes_per_value
        if settings.device.type == "cpu":
            each_core = height * width * bytes_per_pixel // core_count()
            preferred = min(_CACHE_BYTES, max(_LEAST_SHARE_BYTES, each_core))
        else:
            preferred = tile_bytes(settings.device, bytes_per_value=bytes_per_value, is_resident=is_resident)
        if budget is not None and budget < bytes_per_pixel * _LEAST_TILE_PIXELS:
            least = bytes_per_pixel * _LEAST_TILE_PIXELS * share
            raise UsageError("the memory budget is too small for a single tile", f"give --memory {least} or more")
        return plan_for_budget(
            height,
            width,
            halo=settings.kernel.halo,
            bytes_per_pixel=bytes_per_pixel,
            budget_bytes=preferred if budget is None else min(preferred, budget),
            tile_size=settings.tile_size,
        )

    def compute_band(self, taken: _Taken) -> torch.Tensor:
        """Enlarge one band."""
        band, rows, out, after = taken
        device, factor = self._settings.device, self._settings.kernel.factor
        span = band[0].rows
        if out is None:
            shape = ((span.stop - span.start) * factor, band[-1].columns.stop * factor, self._channels)
            out = empty_for_bus(shape, self._arithmetic.pixel_dtype, device)
        with torch.inference_mode(), own_stream(device, after):
            for tile in band:
                columns = slice(tile.columns.start * factor, tile.columns.stop * factor)
                self._compute_tile(tile, rows, span.first, out[:, columns])
        return out

    def _compute_tile(self, tile: Tile, rows: torch.Tensor, first_row: int, out: torch.Tensor) -> None:
        pixels = (tile.rows.stop - tile.rows.start) * (tile.columns.stop - tile.columns.start)
        if self._largest_tile is None or pixels <= self._largest_tile:
            try:
                self._run_route(tile, rows, first_row, out)
            except RuntimeError as error:
                if pixels <= _LEAST_TILE_PIXELS or not is_out_of_memory(error):
                    raise
                self._largest_tile = pixels // 2
                torch.cuda.empty_cache()
            else:
                return
        near, far = tile.halves()
        factor = self._settings.kernel.factor
        height, width = ((span.stop - span.start) * factor for span in (near.rows, near.columns))
        parts = (out[:, :width], out[:, width:]) if near.rows == far.rows else (out[:height], out[height:])
        for half, part in zip((near, far), parts, strict=True):
            self._compute_tile(half, rows, first_row, part)

    def _run_route(self, tile: Tile, rows: torch.Tensor, first_row: int, out: torch.Tensor) -> None:
        device = self._settings.device
        taken = rows[tile.rows.first - first_row : tile.rows.last - first_row, tile.columns.first : tile.columns.last]
        padded = to_device(padded_tile(taken, tile, self._settings.border, bound_for=device), device)
        target = out if out.device == device else empty_on(device, out)
        with exact_convolutions(device, stride=self._settings.kernel.factor):
            self._route(padded, target)
        if target is not out:
            fetch(target, out)


def _route(settings: Settings, arithmetic: Arithmetic, channels: int) -> Route:
    if settings.device.type == "mps" and arithmetic.sum_dtype == torch.float64:
        raise DeviceError("mps has no float64, which exact sums of this image at this factor need", "use --device cpu")
    with torch.inference_mode():
        return chosen_route(settings.kernel, arithmetic, channels, settings.device)
