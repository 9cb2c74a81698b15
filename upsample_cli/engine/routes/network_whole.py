"""A network in plain whole numbers, and the check that another route gives its pixels.

It follows the definition, in numpy's int64, and shares no operators with the other routes. It is slow, so it computes
an image only if every other route has given other pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from upsample_cli.engine.exact import Arithmetic, Pixels
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.agreement import noise_tile
from upsample_cli.engine.routes.plain import Route
from upsample_cli.kernels.network import Network
from upsample_cli.kernels.weights.network_file import phases_of_linear

_LEAST_VALUES = 21000
"""ATen computes smaller convolutions on the CPU by another algorithm than larger ones, so the tile is not smaller.
Source: `use_mkldnn` in aten/src/ATen/native/Convolution.cpp of torch 2.10 to 2.14."""


class WholeRoute:
    """Sums of whole numbers in numpy, for pixels without alpha on the CPU."""

    name = "whole numbers"
    is_compiled = True  # without operators of torch

    def __init__(self, network: Network, arithmetic: Arithmetic, channels: int) -> None:
        self._network, self._arithmetic = network, arithmetic
        self.bytes_per_value = 24 + 24 * len(network.layers[0].weight) // (channels * network.factor**2)

    def __call__(self, padded: Array, out: Array) -> None:
        """See `plain.Route`."""
        network, is_deep, factor = self._network, self._arithmetic.largest_pixel > 255, self._network.factor
        whole = padded.astype(np.int64)
        level = whole[..., 0]
        if whole.shape[2] == 3:
            level = (whole @ np.array([19595, 38470, 7471]) + 32768) >> 16
        planes = _inner((level + 128) // 257 if is_deep else level, network.halo - network.detail_halo)[None]
        for weight, bias, shift in network.layers:
            planes = (_convolved(planes, weight, bias) >> shift[:, None, None]).clip(0, 255)
        detail = _convolved(planes, network.detail, network.offset) * (257 if is_deep else 1)
        weights, none = phases_of_linear(network)[:, None], np.zeros(1, np.int64)
        for channel in range(whole.shape[2]):
            plane = _inner(whole[..., channel], network.halo - network.linear.halo)[None]
            for phase, weight in enumerate(weights):
                sums = _convolved(plane, weight[None], none)[0] + detail[phase] + 2 ** (network.bits - 1)
                made = (sums >> network.bits).clip(0, self._arithmetic.largest_pixel)
                out[phase // factor :: factor, phase % factor :: factor, channel] = made


def _inner(plane: Array, margin: int) -> Array:
    return plane[margin : len(plane) - margin, margin : plane.shape[1] - margin]


def _convolved(planes: Array, weight: Array, bias: Array) -> Array:
    taps = weight.shape[2]
    height, width = planes.shape[1] - taps + 1, planes.shape[2] - taps + 1
    made = np.broadcast_to(bias.astype(np.int64)[:, None], (len(weight), height * width))
    for down in range(taps):
        for across in range(taps):
            taken = planes[:, down : down + height, across : across + width].reshape(len(planes), -1)
            made = made + weight[:, :, down, across].astype(np.int64) @ taken
    return made.reshape(-1, height, width)


def agrees_with_whole(
    route: Route,
    network: Network,
    arithmetic: Arithmetic,
    channels: int,
    *,
    send: Callable[[Pixels], Pixels] = lambda tile: tile,
    fetch: Callable[[Pixels], Pixels] = lambda made: made,
) -> bool:
    """Whether a route gives the pixels of whole numbers on a hard tile: extremes, a flat run, and noise.

    Args:
        send: copies the tile to the device of the route.
        fetch: copies outputs back to the CPU.
    """
    tile = hard_network_tile(network, arithmetic, channels)
    height, width = ((length - 2 * network.halo) * network.factor for length in tile.shape[:2])
    expected, found = (np.zeros((height, width, channels), arithmetic.pixel_dtype) for _ in range(2))
    WholeRoute(network, arithmetic, channels)(tile, expected)
    target = send(found)
    route(send(tile), target)
    return np.array_equal(fetch(target), expected)


def hard_network_tile(network: Network, arithmetic: Arithmetic, channels: int) -> Pixels:
    """A padded tile on which a route must agree."""
    height = max(13, -(-_LEAST_VALUES // (71 * len(network.layers[0].weight))))
    return noise_tile((height + 2 * network.halo, 71 + 2 * network.halo, channels), 71, arithmetic)
