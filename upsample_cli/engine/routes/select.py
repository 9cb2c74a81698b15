"""Chooses the CPU's route for a kernel and a type of pixels: the fastest one that gives the layer's pixels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence

from upsample_cli.engine import aten
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.names import EngineName
from upsample_cli.engine.pool import layer_pool
from upsample_cli.engine.routes.agreement import agrees
from upsample_cli.engine.routes.compiled import CompiledRoute, CompiledSums
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.engine.routes.row_phases import RowPhaseRoute
from upsample_cli.engine.routes.uniform_alpha import UniformAlphaRoute
from upsample_cli.errors import Setting, UsageError
from upsample_cli.forks import held_at_forks
from upsample_cli.kernels.kernel import Kernel

_choosing = held_at_forks()


def chosen_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName = "auto") -> Route:
    """The fastest route that gives the layer's pixels on this machine, in this process.

    Correctness never depends on a fast route: a route that raises or differs in a single pixel is not used. If a route
    differs from the layer in libtorch's C interface, Python's torch is imported and the check is repeated with it.

    Args:
        engine: "layer" for the layer itself, "compiled" for the compiled route or an error.

    Raises:
        UsageError: if the compiled route is requested but cannot be used.
    """
    layer_pool()  # after a fork, a route may be cached while the threads are new
    with _choosing:  # a second thread waits for the first one's choice
        return _chosen(kernel, arithmetic, channels, engine)


@functools.lru_cache(maxsize=64)
def _chosen(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
    # In the pool, like the bands: torch's own threads hang after a fork.
    route = layer_pool().submit(_first_agreeing, kernel, arithmetic, channels, engine).result()
    if not arithmetic.has_alpha or engine == "layer" or arithmetic.sums_dtype is not None:
        return route
    return UniformAlphaRoute(_chosen(kernel, arithmetic._replace(has_alpha=False), channels, engine), route)


def unchecked_route(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
    """The compiled route that `chosen_route` returns if it gives the layer's pixels.

    Raises:
        ValueError: if there is none.
    """
    if engine == "layer" or arithmetic.sums_dtype is not None:
        raise ValueError("the compiled route is not a candidate")
    route = _built(CompiledRoute, kernel, arithmetic, channels)
    if not arithmetic.has_alpha:
        return route
    return UniformAlphaRoute(_built(CompiledRoute, kernel, arithmetic._replace(has_alpha=False), channels), route)


@functools.lru_cache(maxsize=64)
def _built(candidate: Callable[..., Route], kernel: Kernel, arithmetic: Arithmetic, channels: int) -> Route:
    """The same object for the check and for the pixels."""
    return candidate(kernel, arithmetic, channels)


def _first_agreeing(kernel: Kernel, arithmetic: Arithmetic, channels: int, engine: EngineName) -> Route:
    if engine == "compiled":
        return _compiled(kernel, arithmetic, channels)
    for candidate in () if engine == "layer" else _fast_routes(arithmetic):
        with contextlib.suppress(Exception):  # builds of torch without an operator raise various errors
            route = _built(candidate, kernel, arithmetic, channels)
            if _passes(route, kernel, arithmetic, channels):
                return route
    return PlainRoute(kernel, arithmetic)


def _fast_routes(arithmetic: Arithmetic) -> Sequence[Callable[[Kernel, Arithmetic, int], Route]]:
    """Candidates, fastest first. Constructing one may fail."""
    return (CompiledSums,) if arithmetic.sums_dtype is not None else (CompiledRoute, RowPhaseRoute)


def _compiled(kernel: Kernel, arithmetic: Arithmetic, channels: int) -> Route:
    try:
        route = _built(_fast_routes(arithmetic)[0], kernel, arithmetic, channels)
    except ValueError as error:
        raise no_compiled_route(str(error)) from None
    if not _passes(route, kernel, arithmetic, channels):
        raise no_compiled_route("its pixels differ from those of the layer on this machine")
    return route


def no_compiled_route(reason: str) -> UsageError:
    """The error for an image that the compiled route should enlarge but cannot."""
    return UsageError(
        f"the compiled route cannot enlarge this image: {reason}",
        ("choose ", Setting("engine", "auto"), " or ", Setting("engine", "layer")),
        kind="no-engine",
    )


def _passes(route: Route, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> bool:
    try:
        if agrees(route, PlainRoute(kernel, arithmetic), kernel, arithmetic, channels):
            return True
        reason = f"the route {route.name!r} gave other pixels than the layer"
    except RuntimeError as error:
        reason = str(error)
    return aten.import_torch(reason) and agrees(route, PlainRoute(kernel, arithmetic), kernel, arithmetic, channels)
