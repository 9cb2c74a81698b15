"""The layer as convolutions of 8-bit integers, one for each row phase. CPU."""

from __future__ import annotations

import torch

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.phases import RowPhase, best_blocks, row_phases
from upsample_cli.kernels.kernel import Kernel

_INT8 = torch.iinfo(torch.int8)


class QuantizedRoute:
    """One 8-bit integer convolution per row phase: bytes in, bytes out, no pass before or after. CPU, uint8, no alpha.

    The operators are those of torch's x86 quantized export. They multiply bytes by the int8 numerators, sum in int32,
    scale by `1 / divisor` and round half to even. Adding half of the smallest step turns that into half up for an even
    divisor; with an odd one no quotient is a half. The operators are not stable, so `chosen_route` checks them.

    A numerator outside int8 is the sum of several inside it, each of which multiplies its own copy of the pixels.
    """

    bytes_per_value = 2

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> None:
        divisor = arithmetic.divisor
        self._blocks = best_blocks(kernel, channels, products=4, least_depth=4)
        bias = torch.full((channels,), 0.0 if divisor % 2 else 0.5 / divisor)
        lanes = self._blocks.pixels * kernel.factor * channels
        self._scales = torch.full((lanes,), 1 / divisor)
        self._zero_points = torch.zeros(lanes, dtype=torch.int64)
        self._copies = int8_copies(kernel)
        phases = row_phases(kernel, self._blocks, torch.eye(channels), bias)
        self._phases = [(phase, self._packed(phase)) for phase in phases]

    def _packed(self, phase: RowPhase) -> torch.Tensor:
        parts, rest = list[torch.Tensor](), phase.weight
        for _ in range(self._copies):
            parts.append(rest.clamp(_INT8.min, _INT8.max))
            rest = rest - parts[-1]
        weight = torch.cat(parts, dim=1).to(torch.int8).contiguous()
        packed: torch.Tensor = torch.ops.onednn.qconv_prepack(
            weight, self._scales, 1.0, 0, phase.stride, [0, 0], [1, 1], 1, None
        )
        return packed

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        factor = len(self._phases)
        grouped = self._blocks.grouped(self._blocks.widened(padded, out.shape[1] // factor)[None])
        if self._copies > 1:
            grouped = torch.cat([grouped] * self._copies, dim=1)
        for number, (phase, packed) in enumerate(self._phases):
            pixels = torch.ops.onednn.qconv_pointwise(
                phase.taken(grouped, out.shape[0] // factor), 1.0, 0,
                packed, self._scales, self._zero_points, phase.bias,
                phase.stride, [0, 0], [1, 1], 1, 1.0, 0, torch.uint8, "none", [], "",
            )  # fmt: skip
            phase.write(pixels, out[number::factor])


def int8_copies(kernel: Kernel) -> int:
    """How many int8 weights must be added up to represent the kernel's largest.

    >>> from upsample_cli.kernels.kernel import kernel_named
    >>> [int8_copies(kernel_named("bilinear", factor)) for factor in (4, 8, 10)]  # the largest are 49, 225 and 361
    [1, 2, 3]
    """
    return max(-(-max(kernel.weights) // _INT8.max), -(min(kernel.weights) // -_INT8.min), 1)
