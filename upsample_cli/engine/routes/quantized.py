"""The layer as convolutions of 8-bit integers, one for each row phase. CPU."""

from __future__ import annotations

import numpy as np
import torch

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.operators import Array
from upsample_cli.engine.routes.phases import INT8, RowPhase, best_blocks, int8_copies, row_phases
from upsample_cli.kernels.kernel import Kernel


class QuantizedRoute:
    """One 8-bit integer convolution per row phase: bytes in, bytes out, no pass before or after. CPU, uint8, no alpha.

    The operators are those of torch's x86 quantized export. They multiply bytes by the int8 numerators, sum in int32,
    scale by `1 / divisor` and round half to even. Adding half of the smallest step turns that into half up for an even
    divisor; with an odd divisor no fraction is one half. The operators may change, so `chosen_route` checks them.

    A numerator outside the range of int8 is split into several inside it. Each multiplies its own copy of the pixels.
    """

    name = "quantized"
    bytes_per_value = 2

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> None:
        divisor = arithmetic.divisor
        self._blocks = best_blocks(kernel, channels, products=4, least_depth=4)
        bias = np.full(channels, 0.0 if divisor % 2 else 0.5 / divisor, np.float32)
        lanes = self._blocks.pixels * kernel.factor * channels
        self._scales = torch.full((lanes,), 1 / divisor)
        self._zero_points = torch.zeros(lanes, dtype=torch.int64)
        self._copies = int8_copies(kernel)
        phases = row_phases(kernel, self._blocks, np.eye(channels, dtype=np.float32), bias)
        self._phases = [(phase, self._packed(phase), torch.from_numpy(phase.bias)) for phase in phases]

    def _packed(self, phase: RowPhase) -> torch.Tensor:
        parts, rest = list[Array](), phase.weight
        for _ in range(self._copies):
            parts.append(rest.clip(INT8.min, INT8.max))
            rest = rest - parts[-1]
        weight = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int8, order="C"))
        packed: torch.Tensor = torch.ops.onednn.qconv_prepack(
            weight, self._scales, 1.0, 0, phase.stride, [0, 0], [1, 1], 1, None
        )
        return packed

    @torch.inference_mode()
    def __call__(self, padded: Array, out: Array) -> None:
        """See `Route`."""
        factor = len(self._phases)
        grouped = self._blocks.grouped(self._blocks.widened(padded, out.shape[1] // factor)[None])
        if self._copies > 1:
            grouped = np.concatenate([grouped] * self._copies, axis=1)
        for number, (phase, packed, bias) in enumerate(self._phases):
            pixels = torch.ops.onednn.qconv_pointwise(
                torch.from_numpy(phase.taken(grouped, out.shape[0] // factor)), 1.0, 0,
                packed, self._scales, self._zero_points, bias,
                phase.stride, [0, 0], [1, 1], 1, 1.0, 0, torch.uint8, "none", [], "",
            )  # fmt: skip
            phase.write(pixels.numpy(), out[number::factor])
