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
        (self._straight if has_one_alpha(padded) else self._premultiplied)(padded, out)


def has_one_alpha(pixels: Array) -> bool:
    """Whether alpha, the last channel, is the same in all pixels and not zero."""
    alpha = pixels[..., -1]
    return bool(alpha[0, 0] > 0 and (alpha == alpha[0, 0]).all())
