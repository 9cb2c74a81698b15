"""The choice of the route: for a kernel and a kind of pixels, the fastest here that gives the layer's pixels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import torch

from upsample_cli.engine.devices import device_support
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.engine.routes.quantized import QuantizedRoute, int8_copies
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.engine.routes.separable import SeparableRoute
from upsample_cli.engine.routes.uniform_alpha import UniformAlphaRoute
from upsample_cli.kernels.kernel import Kernel

FastRoute = SeparableRoute | QuantizedRoute | RowPhaseRoute

_MOST_COPIES = 3
"""With more copies of the pixels than this, float sums are faster than sums of bytes. Measured."""


@functools.lru_cache(maxsize=64)
def chosen_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, device: torch.device) -> Route:
    """The fastest route that gives the plain layer's pixels on this machine.

    Correctness never depends on a fast route: one that raises or differs in a single pixel is not used. On a CPU the
    first in a measured order is used, on a GPU the winner of a race of all of them.
    """
    if device.type != "cpu":
        return device_support(device).fastest_route(kernel, arithmetic, channels)
    plain = PlainRoute(kernel, arithmetic, device)
    made = [partial(route, kernel, arithmetic, channels) for route in _fast_routes(kernel, arithmetic)]
    route = next(agreeing(made, plain, kernel, arithmetic, channels), plain)
    if arithmetic.has_alpha:
        straight = chosen_route(kernel, replace(arithmetic, has_alpha=False), channels, device)
        return UniformAlphaRoute(straight, route)
    return route


def _fast_routes(kernel: Kernel, arithmetic: Arithmetic) -> list[type[FastRoute]]:
    """Candidates of a CPU, fastest first. Constructing one may fail."""
    bytes_only = arithmetic.pixel_dtype == torch.uint8 and not arithmetic.has_alpha
    is_quantized = bytes_only and int8_copies(kernel) <= _MOST_COPIES
    return [SeparableRoute, QuantizedRoute, RowPhaseRoute] if is_quantized else [SeparableRoute, RowPhaseRoute]


def agreeing(
    candidates: Iterable[Callable[[], Route]], plain: PlainRoute, kernel: Kernel, arithmetic: Arithmetic, channels: int
) -> Iterator[Route]:
    """The candidates that can be made here and give the pixels of the plain layer, in their order."""
    for candidate in candidates:
        try:
            route = candidate()
            agrees = _agrees(route, plain, kernel, arithmetic, channels)
        except Exception:  # builds of torch and processors without the operators raise various errors
            continue
        if agrees:
            yield route


def _agrees(route: Route, plain: PlainRoute, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> bool:
    """Whether two routes give the same pixels on a tile of extremes, flat runs and noise.

    Float pixels may differ by a few roundings, because their sums are added up in another order.
    """
    height = min(13, max(3, 104 // kernel.factor))  # a large factor has many outputs
    width = min(70, max(17, 560 // kernel.factor))
    generator = torch.Generator().manual_seed(0)
    shape = (height + 2 * kernel.halo, width + 2 * kernel.halo, channels)
    tile = torch.rand(shape, generator=generator, dtype=torch.float64)
    tile[:, : width // 3] = tile[:, : width // 3].round()
    tile[:, -width // 4 :] = 1
    if arithmetic.has_alpha and not arithmetic.is_exact:  # near zero opacity no correct digits would remain
        tile[..., -1] = 1 - tile[..., -1] / 8
    tile = (tile * arithmetic.largest_pixel).round() if arithmetic.is_exact else tile
    tile = tile.to(arithmetic.pixel_dtype).to(plain.device)
    found, expected = (applied(candidate, tile, kernel) for candidate in (route, plain))
    if arithmetic.is_exact:
        return torch.equal(found, expected)
    eps = torch.finfo(arithmetic.pixel_dtype).eps
    spread_of_sums = len(kernel.phases[0]) * float(arithmetic.gain) * eps if arithmetic.overshoots else 0.0
    return torch.allclose(found, expected, rtol=8 * eps, atol=4 * spread_of_sums)


def applied(route: Route, tile: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """What a route makes of a padded tile (height + 2*halo, width + 2*halo, channels)."""
    height, width = ((length - 2 * kernel.halo) * kernel.factor for length in tile.shape[:2])
    out = torch.empty(height, width, tile.shape[2], dtype=tile.dtype, device=tile.device)
    route(tile, out)
    return out
