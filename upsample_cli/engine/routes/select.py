"""The choice of the route: for a kernel and a kind of pixels, the fastest here that gives the layer's pixels."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial

import torch

from upsample_cli.engine.devices import device_support
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.agreement import agreeing
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

    Correctness never depends on a fast route: a route that raises or differs in a single pixel is not used. A CPU uses
    the first in a measured order, a GPU the winner of a race of all of them.
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
