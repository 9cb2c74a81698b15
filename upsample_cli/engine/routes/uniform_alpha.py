"""Tiles of constant alpha, computed without alpha."""

from __future__ import annotations

import torch

from upsample_cli.engine.routes.plain import Route


class UniformAlphaRoute:
    """For pixels with alpha: a tile whose alpha is constant (most are opaque) uses the route for pixels without alpha.

    Exact, because a positive constant alpha cancels: `sum(w*c*a) / sum(w*a) == sum(w*c) / sum(w)`.
    """

    def __init__(self, straight: Route, premultiplied: Route) -> None:
        self._straight = straight
        self._premultiplied = premultiplied
        self.bytes_per_value = max(straight.bytes_per_value, premultiplied.bytes_per_value)

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        alpha = padded[..., -1]
        low, high = (alpha.int() if alpha.dtype == torch.uint16 else alpha).aminmax()  # torch has no aminmax for uint16
        route = self._straight if low == high and low > 0 else self._premultiplied
        route(padded, out)
