"""A network by compiled sums of whole numbers: the fastest route on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.compiled import fastest_instructions, native
from upsample_cli.engine.routes.network import inner, luma
from upsample_cli.kernels.network import Network
from upsample_cli.kernels.weights.network_file import phases_of_linear


class CompiledNetworkRoute:
    """Pixels without alpha: grey or RGB, 8 or 16 bits. CPU.

    Raises:
        ValueError: if the compiled module is missing or older than networks.
    """

    name = "compiled"
    is_compiled = True

    def __init__(
        self, network: Network, arithmetic: Arithmetic, channels: int, *, instructions: str | None = None
    ) -> None:
        self._instructions = instructions or fastest_instructions()
        if not hasattr(native, "net_detail"):
            raise ValueError("the compiled module is older than networks")
        self._network, self._arithmetic = network, arithmetic
        self._layers: list[Any] = [tuple(map(np.ascontiguousarray, layer)) for layer in network.layers]
        self._detail = np.ascontiguousarray(network.detail), np.ascontiguousarray(network.offset)
        self._linear = phases_of_linear(network)
        outputs = network.factor**2
        bytes_per_pixel = 2 * len(network.layers[0].weight) + 4 * outputs + 16 * channels
        self.bytes_per_value = 2 * arithmetic.pixel_dtype.itemsize + -(-bytes_per_pixel // (channels * outputs))

    def __call__(self, padded: Array, out: Array) -> None:
        """See `plain.Route`."""
        network, dtype = self._network, self._arithmetic.pixel_dtype
        halo = network.halo
        level = inner(luma(padded, self._arithmetic), halo - network.detail_halo).astype(np.uint8)
        detail = np.empty((padded.shape[0] - 2 * halo, padded.shape[1] - 2 * halo, network.factor**2), np.int32)
        native.net_detail(level, self._layers, *self._detail, detail, self._instructions)
        pixels = np.ascontiguousarray(inner(padded, halo - network.linear.halo), dtype)
        native.net_combine(pixels, self._linear, detail, network.bits, out, self._instructions)
