"""Tiles of constant alpha, computed without alpha."""

from __future__ import annotations

from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.plain import Route


class UniformAlphaRoute:
    """For pixels with alpha: a tile whose alpha is constant (most are opaque) uses the route for pixels without alpha.

    Exact, because a positive constant alpha cancels: `sum(w*c*a) / sum(w*a) == sum(w*c) / sum(w)`.
    """

    def __init__(self, straight: Route, premultiplied: Route) -> None:
        self.name = straight.name
        self._straight = straight
        self._premultiplied = premultiplied
        self.is_compiled = straight.is_compiled and premultiplied.is_compiled
        self.bytes_per_value = max(straight.bytes_per_value, premultiplied.bytes_per_value)

    def __call__(self, padded: Array, out: Array) -> None:
        """See `Route`."""
        alpha = padded[..., -1]
        first = alpha[0, 0]
        route = self._straight if first > 0 and (alpha == first).all() else self._premultiplied
        route(padded, out)
