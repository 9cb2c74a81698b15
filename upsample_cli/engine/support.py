"""What the engine needs from the device that computes: here on the CPU and MPS, in `cuda.py` on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from upsample_cli.engine import cores
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.kernels.kernel import Kernel

CACHE_BYTES = 12 * 2**20
"""Working memory of a tile on the CPU: small enough for the cache, large enough to make calls few. Measured."""

_LEAST_SHARE_BYTES = 2**20
"""Working memory below which a tile is not split to give another core a share: the calls would cost more."""

MOST_TILE_BYTES = 2**30
"""Working memory of a tile that stays on the device: far from the 2**31 elements at which tensors misbehave."""

LANES = 3
"""Bands in flight on a device other than the CPU: one on its way there, one being computed, one on its way back."""


class DeviceSupport:
    """Memory, order of work and choice of routes on one device; here on the CPU and MPS."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def bands_in_flight(self) -> int:
        """How many bands are computed at once, including the one that the caller waits for."""
        return cores.core_count() + 2 if self.device.type == "cpu" else LANES

    def tile_bytes(self, image_bytes: int, *, bytes_per_value: int, is_resident: bool) -> int:  # noqa: ARG002
        """The preferred working memory of a tile.

        Args:
            image_bytes: working memory of the whole image as one tile.
            bytes_per_value: working memory for each number of the output.
            is_resident: the enlarged pixels stay on the device.
        """
        if self.device.type != "cpu":
            return MOST_TILE_BYTES // LANES
        return min(CACHE_BYTES, max(_LEAST_SHARE_BYTES, image_bytes // cores.core_count()))

    def fastest_route(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> Route:  # noqa: ARG002
        """The fastest route on a device other than the CPU. On MPS the layer is the only one."""
        return PlainRoute(kernel, arithmetic, self.device)

    @contextmanager
    def exact_convolutions(self, *, stride: int) -> Iterator[None]:  # noqa: ARG002
        """Settings of torch under which convolutions sum their products exactly. Here the caller's settings do."""
        yield

    def work_of_caller(self) -> torch.cuda.Event | None:
        """The work that the calling thread has queued on this device so far, for `own_stream` to wait for."""
        return None

    def wait_for_caller(self) -> None:
        """Wait until this device has done the work that the calling thread has queued on it."""

    @contextmanager
    def own_stream(self, after: torch.cuda.Event | None) -> Iterator[None]:  # noqa: ARG002
        """Run the block's work in a stream of this thread, after `after`; it is done when the block ends."""
        yield

    def empty_for_transfer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory of the CPU for pixels on their way to or from the device."""
        return torch.empty(shape, dtype=dtype)

    def empty_like(self, out: torch.Tensor) -> torch.Tensor:
        """Memory of the device for the pixels that `fetch` will copy to `out`."""
        return torch.empty(out.shape, dtype=out.dtype, device=self.device)

    def send(self, tile: torch.Tensor) -> torch.Tensor:
        """A tile on the device, or on its way there."""
        return tile.to(self.device)

    def fetch(self, made: torch.Tensor, out: torch.Tensor) -> None:
        """Copy from the device to `out`, any strides; the copy is complete when `own_stream` ends, or before."""
        out.copy_(made)

    def is_out_of_memory(self, error: RuntimeError) -> bool:
        """Whether a smaller tile may fit where this one did not."""
        return isinstance(error, torch.OutOfMemoryError)

    def release_memory(self) -> None:
        """Give memory that torch holds and does not use back to the device."""
