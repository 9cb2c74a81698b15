"""What a route is, and the one that runs the `nn.ConvTranspose2d` itself: the reference for all others."""

from __future__ import annotations

from typing import Protocol

import torch

from upsample_cli.engine.exact import Arithmetic, finish, prepare
from upsample_cli.engine.layer import integer_layer
from upsample_cli.kernels.kernel import Kernel


class Route(Protocol):
    """Computes tiles on one device."""

    bytes_per_value: int
    """Working memory for each number of the output, in bytes."""

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """Enlarge one tile.

        Args:
            padded: (height + 2*halo, width + 2*halo, channels), contiguous.
            out: (height*factor, width*factor, channels), rows may be strided; written.
        """
        ...


class PlainRoute:
    """The layer as torch runs it, with channels as a batch if one kernel serves all of them. Any device, any pixels."""

    def __init__(self, kernel: Kernel, arithmetic: Arithmetic, device: torch.device) -> None:
        self.device = device
        self._arithmetic = arithmetic
        self._crop = kernel.halo * kernel.factor
        self._batch_axis = 1 if kernel.channels == 1 else 0
        self._layer = integer_layer(kernel, dtype=arithmetic.sum_dtype, device=device)
        self.bytes_per_value = 4 * arithmetic.sum_dtype.itemsize

    def __call__(self, padded: torch.Tensor, out: torch.Tensor) -> None:
        """See `Route`."""
        numbers = prepare(padded, self._arithmetic).permute(2, 0, 1)
        sums = self._layer(numbers.unsqueeze(self._batch_axis)).squeeze(self._batch_axis).permute(1, 2, 0)
        height, width, _ = out.shape
        finish(sums[self._crop : self._crop + height, self._crop : self._crop + width], self._arithmetic, out)
