"""Times the routes of a GPU on a large tile, and chooses the fastest that gives the layer's pixels."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import torch

from upsample_cli.engine.exact import Arithmetic, Pixels
from upsample_cli.engine.pytorch import torch_dtype
from upsample_cli.engine.routes.agreement import agrees, applied
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.torch_device import device_layer
from upsample_cli.kernels.kernel import Kernel, spread

_TIMED_OUTPUTS = 2**24
"""Outputs of the tile on which routes are timed: large enough to fill a GPU."""

_TIMINGS = 5


@functools.lru_cache(maxsize=64)
def raced_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """The fastest route of a GPU that gives the layer's pixels."""
    plain = device_layer(kernel, arithmetic, device)
    routes: list[Route] = []
    for candidate in cuda_routes(kernel, arithmetic, channels, device):
        with suppress(Exception):  # builds of torch and GPUs without the operators raise various errors
            route = candidate()
            if agrees(route, plain, kernel, arithmetic, channels, send=_sender(device), fetch=_fetched):
                routes.append(route)
    return _fastest([*routes, plain], kernel, arithmetic, channels, device)


def _sender(device: torch.device) -> Callable[[Pixels], Pixels]:
    return lambda tile: torch.from_numpy(tile).to(device)


def _fetched(made: Pixels) -> Pixels:
    return made.cpu().numpy()


def cuda_routes(
    kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device
) -> Iterator[Callable[[], Route]]:
    """Candidates for a GPU: one fused kernel, and the layer with its channels in groups or in one dense weight."""

    def fused() -> Route:
        from upsample_cli.engine.routes.triton import FusedRoute  # Triton may be missing

        return FusedRoute(kernel, arithmetic, channels, device)

    yield fused
    if kernel.channels == 1 < channels:
        for is_dense in (False, True) if arithmetic.is_exact else (False,):  # a NaN would spread through zeros
            yield partial(device_layer, spread(kernel, channels, is_dense=is_dense), arithmetic, device)


def _fastest(routes: list[Route], kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """The route with the lowest median time on a large tile. The first run of a route is not counted.

    A route that takes twice as long as the fastest before it is timed only once. If a route fails, for example because
    memory is short, it is not chosen. If all routes fail, the last one is chosen.
    """
    side = max(1, round((_TIMED_OUTPUTS / channels) ** 0.5 / kernel.factor))
    shape = ((side + 2 * kernel.halo), (side + 2 * kernel.halo), channels)
    taken, least = routes[-1], math.inf
    for route in routes:
        with suppress(RuntimeError):
            tile = torch.zeros(shape, dtype=torch_dtype(arithmetic.pixel_dtype), device=device)
            run = partial(applied, route, tile, kernel, arithmetic)
            run()
            times = [seconds(run, device)]
            if times[0] < 2 * least:
                times += [seconds(run, device) for _ in range(_TIMINGS - 1)]
            if statistics.median(times) < least:
                taken, least = route, statistics.median(times)
    return taken


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long some work takes on a GPU, measured by the GPU's clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):
        start.record()
        work()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000
