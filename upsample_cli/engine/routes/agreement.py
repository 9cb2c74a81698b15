"""The check that a route gives the pixels of the plain layer. A route must pass it before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from upsample_cli.engine.exact import Arithmetic, Pixels
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import AnyKernel


def agrees(
    route: Route,
    plain: PlainRoute,
    kernel: Kernel,
    arithmetic: Arithmetic,
    channels: int,
    *,
    send: Callable[[Pixels], Pixels] = lambda tile: tile,
    fetch: Callable[[Pixels], Pixels] = lambda made: made,
) -> bool:
    """Whether two routes give the same pixels on a tile of extremes, flat runs and noise.

    Float pixels may differ by a few roundings, because their sums are added up in another order.

    Args:
        send: copies the tile to the device of the routes.
        fetch: copies outputs back to the CPU.
    """
    tile = send(hard_tile(kernel, arithmetic, channels))
    found, expected = (fetch(applied(candidate, tile, kernel, arithmetic)) for candidate in (route, plain))
    if arithmetic.is_exact:
        return np.array_equal(found, expected)
    eps = float(np.finfo(arithmetic.pixel_dtype).eps)
    spread_of_sums = len(kernel.phases[0]) * float(arithmetic.gain) * eps if arithmetic.overshoots else 0.0
    return np.allclose(found, expected, rtol=8 * eps, atol=4 * spread_of_sums)


def hard_tile(kernel: AnyKernel, arithmetic: Arithmetic, channels: int) -> Pixels:
    """A padded tile: extremes at the left, a flat run at the right, noise between them."""
    height = min(13, max(3, 104 // kernel.factor))  # a large factor has many outputs
    width = min(71, max(17, 560 // kernel.factor)) | 1  # odd: rows end inside a vector wherever any row can
    return noise_tile((height + 2 * kernel.halo, width + 2 * kernel.halo, channels), width, arithmetic)


def noise_tile(shape: tuple[int, int, int], width: int, arithmetic: Arithmetic) -> Pixels:
    """Extremes in a third of `width` at the left, a flat run in a quarter of it at the right, noise between them."""
    tile = _noise(math.prod(shape)).reshape(shape)
    tile[:, : width // 3] = tile[:, : width // 3].round()
    tile[:, -width // 4 :] = 1
    if arithmetic.has_alpha and not arithmetic.is_exact:  # near zero opacity no correct digits would remain
        tile[..., -1] = 1 - tile[..., -1] / 8
    return (
        (tile * arithmetic.largest_pixel).round().astype(arithmetic.pixel_dtype)
        if arithmetic.is_exact
        else (tile.astype(arithmetic.pixel_dtype))
    )


def _noise(count: int) -> Pixels:
    """Numbers from 0 to 1, the same in every process. Source: SplitMix (Steele et al. 2014)."""
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state >> np.uint64(11)) / 2**53


def applied(route: Route, tile: Pixels, kernel: Kernel, arithmetic: Arithmetic) -> Pixels:
    """The outputs of a route for a padded tile (height + 2*halo, width + 2*halo, channels)."""
    height, width = ((length - 2 * kernel.halo) * kernel.factor for length in tile.shape[:2])
    shape = (height, width, tile.shape[2])
    out = np.empty(shape, arithmetic.out_dtype) if isinstance(tile, np.ndarray) else tile.new_empty(shape)
    route(tile, out)
    return out
