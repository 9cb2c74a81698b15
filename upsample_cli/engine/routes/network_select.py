"""Chooses the CPU's route for a network: the fastest one that gives the pixels of plain whole numbers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from upsample_cli.engine.exact import Arithmetic, linear_arithmetic
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.pool import layer_pool
from upsample_cli.engine.routes.network import (
    ConvolvedNumbers,
    MultipliedNumbers,
    NetworkRoute,
    Numbers,
    OpaqueDetailRoute,
)
from upsample_cli.engine.routes.network_compiled import CompiledNetworkRoute
from upsample_cli.engine.routes.network_whole import WholeRoute, agrees_with_whole
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.engine.routes.select import chosen_route, no_compiled_route
from upsample_cli.forks import held_at_forks
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import Network

_choosing = held_at_forks()


def chosen_network_route(network: Network, arithmetic: Arithmetic, channels: int, engine: EngineName = "auto") -> Route:
    """The fastest route that gives the pixels of whole numbers on this machine, in this process.

    Args:
        engine: "layer" for operators of torch, "compiled" for the compiled route or an error.

    Raises:
        UsageError: if the compiled route is requested but cannot be used.
    """
    layer_pool()  # after a fork, a route may be cached while the threads are new

    def straight(without_alpha: Arithmetic) -> Route:
        with _choosing:  # a second thread waits for the first one's choice
            return _chosen(network, without_alpha, channels - arithmetic.has_alpha, engine)

    def premultiplied(kernel: Kernel, with_alpha: Arithmetic) -> Route:
        return chosen_route(kernel, with_alpha, channels, engine)

    return with_alpha_apart(network, arithmetic, straight, premultiplied)


def with_alpha_apart(
    network: Network,
    arithmetic: Arithmetic,
    straight: Callable[[Arithmetic], Route],
    premultiplied: Callable[[Kernel, Arithmetic], Route],
) -> Route:
    """A network's route for pixels with or without alpha, of a route without alpha and one of the linear kernel."""
    if not arithmetic.has_alpha:
        return straight(arithmetic)
    return OpaqueDetailRoute(
        network,
        arithmetic,
        straight(arithmetic._replace(has_alpha=False)),
        premultiplied(network.linear, linear_arithmetic(network, arithmetic)),
    )


@functools.lru_cache(maxsize=16)
def _chosen(network: Network, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
    # In the pool, like the bands: torch's own threads hang after a fork.
    return layer_pool().submit(_first_agreeing, network, arithmetic, channels, engine).result()


def _first_agreeing(network: Network, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
    if engine == "compiled":
        return _compiled(network, arithmetic, channels)
    for make in _candidates(network, arithmetic, channels, engine):
        with contextlib.suppress(Exception):  # builds of torch without an operator raise various errors
            route = make()
            if agrees_with_whole(route, network, arithmetic, channels):
                return route
    return WholeRoute(network, arithmetic, channels)


def _candidates(
    network: Network, arithmetic: Arithmetic, channels: int, engine: EngineName
) -> Iterator[Callable[[], Route]]:
    """Candidates, fastest first. Constructing one may fail."""
    if engine == "auto":
        yield lambda: CompiledNetworkRoute(network, arithmetic, channels)
    ways: tuple[tuple[str, type[Numbers]], ...] = ("layer", ConvolvedNumbers), ("products", MultipliedNumbers)
    for name, numbers in ways:
        yield lambda name=name, numbers=numbers: NetworkRoute(  # type: ignore[misc]
            name, network, arithmetic, channels, numbers(), PlainRoute(network.linear, arithmetic)
        )


def _compiled(network: Network, arithmetic: Arithmetic, channels: int) -> Route:
    try:
        route = CompiledNetworkRoute(network, arithmetic, channels)
    except ValueError as error:
        raise no_compiled_route(str(error)) from None
    if not agrees_with_whole(route, network, arithmetic, channels):
        raise no_compiled_route("its pixels differ from those of whole numbers on this machine")
    return route
