"""The check that a route gives the pixels of the plain layer, which it must pass before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.kernels.kernel import Kernel


def agreeing(
    candidates: Iterable[Callable[[], Route]], plain: PlainRoute, kernel: Kernel, arithmetic: Arithmetic, channels: int
) -> Iterator[Route]:
    """The candidates that this machine can run and that give the pixels of the plain layer, in their order."""
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
    """The outputs of a route for a padded tile (height + 2*halo, width + 2*halo, channels)."""
    height, width = ((length - 2 * kernel.halo) * kernel.factor for length in tile.shape[:2])
    out = torch.empty(height, width, tile.shape[2], dtype=tile.dtype, device=tile.device)
    route(tile, out)
    return out
