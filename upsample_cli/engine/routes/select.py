"""Which route computes: for a kernel and a kind of pixels, the fastest here that gives the layer's pixels."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch

from upsample_cli.engine.cuda import exact_convolutions, seconds
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.engine.routes.quantized import QuantisedRoute, int8_copies
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.engine.routes.separable import SeparableRoute
from upsample_cli.engine.routes.uniform_alpha import UniformAlphaRoute
from upsample_cli.kernels.kernel import Kernel, spread

FastRoute = SeparableRoute | QuantisedRoute | RowPhaseRoute

_MOST_COPIES = 3
"""Copies of the pixels beyond which float sums are faster than sums of bytes. Measured."""

_TIMED_OUTPUTS = 2**24
"""Numbers of the tile by which routes of a GPU are timed: large enough to fill it."""

_TIMINGS = 5


@functools.lru_cache(maxsize=64)
def chosen_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """The fastest route that gives the plain layer's pixels on this machine.

    Correctness never depends on a fast route: one that raises or differs in a single pixel is passed over. On a CPU the
    first in an order that was measured is taken, on a GPU the fastest in a race of all of them.
    """
    plain = PlainRoute(kernel, arithmetic, device)
    if device.type == "cuda":
        with torch.cuda.device(device), exact_convolutions(device, stride=kernel.factor):
            agreeing = _agreeing(cuda_routes(kernel, arithmetic, channels, device), plain, kernel, arithmetic, channels)
            return _fastest([*agreeing, plain], kernel, arithmetic, channels, device)
    if device.type != "cpu":
        return plain
    made = [partial(route, kernel, arithmetic, channels) for route in _fast_routes(kernel, arithmetic)]
    route = next(_agreeing(made, plain, kernel, arithmetic, channels), plain)
    if arithmetic.has_alpha:
        straight = chosen_route(kernel, replace(arithmetic, has_alpha=False), channels, device)
        return UniformAlphaRoute(straight, route)
    return route


def _fast_routes(kernel: Kernel, arithmetic: Arithmetic) -> list[type[FastRoute]]:
    """Candidates of a CPU, fastest first; some cannot be made."""
    bytes_only = arithmetic.pixel_dtype == torch.uint8 and not arithmetic.has_alpha
    is_quantised = bytes_only and int8_copies(kernel) <= _MOST_COPIES
    return [SeparableRoute, QuantisedRoute, RowPhaseRoute] if is_quantised else [SeparableRoute, RowPhaseRoute]


def cuda_routes(
    kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device
) -> Iterator[Callable[[], Route]]:
    """Candidates of a GPU: one kernel for all, and the layer with its channels in groups or in one dense weight."""

    def fused() -> Route:
        from upsample_cli.engine.routes.triton import FusedRoute  # Triton is not everywhere

        return FusedRoute(kernel, arithmetic, channels, device)

    yield fused
    if kernel.channels == 1 < channels:
        for is_dense in (False, True) if arithmetic.is_exact else (False,):  # a NaN would spread through zeros
            yield partial(PlainRoute, spread(kernel, channels, is_dense=is_dense), arithmetic, device)


def _agreeing(
    candidates: Iterable[Callable[[], Route]], plain: PlainRoute, kernel: Kernel, arithmetic: Arithmetic, channels: int
) -> Iterator[Route]:
    for candidate in candidates:
        try:
            route = candidate()
            agrees = _agrees(route, plain, kernel, arithmetic, channels)
        except Exception:  # whatever a build of torch or a processor without the operators answers
            continue
        if agrees:
            yield route


def _agrees(route: Route, plain: PlainRoute, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> bool:
    """Whether two routes give the same pixels on a tile of extremes, flat runs and noise.

    Float pixels may differ by a few roundings, as their sums are taken in another order.
    """
    height = min(13, max(3, 104 // kernel.factor))  # of a large factor fewer: its outputs are many
    width = min(70, max(17, 560 // kernel.factor))
    generator = torch.Generator().manual_seed(0)
    shape = (height + 2 * kernel.halo, width + 2 * kernel.halo, channels)
    tile = torch.rand(shape, generator=generator, dtype=torch.float64)
    tile[:, : width // 3] = tile[:, : width // 3].round()
    tile[:, -width // 4 :] = 1
    if arithmetic.has_alpha and not arithmetic.is_exact:  # with opacity about zero nothing would be left of digits
        tile[..., -1] = 1 - tile[..., -1] / 8
    tile = (tile * arithmetic.largest_pixel).round() if arithmetic.is_exact else tile
    tile = tile.to(arithmetic.pixel_dtype).to(plain.device)
    found, expected = (_applied(each, tile, kernel) for each in (route, plain))
    if arithmetic.is_exact:
        return torch.equal(found, expected)
    eps = torch.finfo(arithmetic.pixel_dtype).eps
    spread_of_sums = len(kernel.phases[0]) * float(arithmetic.gain) * eps if arithmetic.overshoots else 0.0
    return torch.allclose(found, expected, rtol=8 * eps, atol=4 * spread_of_sums)


def _applied(route: Route, tile: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    height, width = ((length - 2 * kernel.halo) * kernel.factor for length in tile.shape[:2])
    out = torch.empty(height, width, tile.shape[2], dtype=tile.dtype, device=tile.device)
    route(tile, out)
    return out


def _fastest(routes: list[Route], kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """The route that takes a large tile through a GPU in the least time: the median of some, after one not counted.

    One that takes twice as long as the fastest before it runs no second time; one for which the tile is too large, or
    that fails otherwise, comes last.
    """
    side = max(1, round((_TIMED_OUTPUTS / channels) ** 0.5 / kernel.factor))
    shape = ((side + 2 * kernel.halo), (side + 2 * kernel.halo), channels)
    taken, least = routes[-1], math.inf
    for route in routes:
        with suppress(RuntimeError):
            tile = torch.zeros(shape, dtype=arithmetic.pixel_dtype, device=device)
            run = partial(_applied, route, tile, kernel)
            run()
            times = [seconds(run, device)]
            if times[0] < 2 * least:
                times += [seconds(run, device) for _ in range(_TIMINGS - 1)]
            if statistics.median(times) < least:
                taken, least = route, statistics.median(times)
    return taken
