"""What the engine needs from the device that computes. This module serves the CPU and MPS, `cuda.py` serves CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from upsample_cli.engine import cores
from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import PlainRoute, Route
from upsample_cli.errors import DeviceError, Setting
from upsample_cli.kernels.kernel import Kernel

CACHE_BYTES = 12 * 2**20
"""Working memory of a tile on the CPU: small enough for the cache, large enough to make calls few. Measured."""

_LEAST_SHARE_BYTES = 2**20
"""Working memory below which a tile is not split to give another core a share: the calls would cost more."""

MOST_TILE_BYTES = 2**30
"""Working memory of a tile that stays on the device: far from the 2**31 elements at which tensors misbehave."""

LANES = 3
"""Bands in flight on a device other than the CPU: one on its way there, one being computed, one on its way back."""


def pick_device(name: str) -> torch.device:
    """The device of that name: "auto" (CUDA if available, otherwise the CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: if it is not available; the message names the devices that are.
    """
    if name == "cpu":
        return torch.device("cpu")  # always available, and looking for the others takes a third of a millisecond
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in available else "cpu")
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)  # torch numbers the device of a tensor
    if wanted not in available:
        raise DeviceError(
            f"there is no device {name!r} here",
            ("choose ", Setting("device", "auto"), f" or one of {', '.join(available)}"),
        )
    return torch.device(wanted)


def device_support(device: torch.device) -> DeviceSupport:
    """What the engine needs from a device. CUDA code is imported here and only for a CUDA device."""
    if device.type == "cuda":
        from upsample_cli.engine.cuda import CudaSupport

        return CudaSupport(device)
    return DeviceSupport(device)


class DeviceSupport:
    """Memory, order of work and choice of routes on one device; here on the CPU and MPS."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def bands_in_flight(self) -> int:
        """How many bands are computed at once, counting the one that is waited for."""
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
        """Settings of torch under which convolutions sum their products exactly. Here those of the caller are."""
        yield

    def work_of_caller(self, *tensors: torch.Tensor | None) -> torch.cuda.Event | None:
        """What the calling thread has queued on this device so far, for `own_stream` to wait for.

        When this returns, what the thread has queued on the other devices of the tensors is done.
        """
        for tensor in tensors:
            if tensor is not None and tensor.device != self.device:
                device_support(tensor.device).wait_for_caller()
        return None

    def wait_for_caller(self) -> None:
        """Wait until what the calling thread has queued on this device is done."""

    @contextmanager
    def own_stream(self, after: torch.cuda.Event | None) -> Iterator[None]:  # noqa: ARG002
        """Run the block's work in a stream of this thread, after `after`; it is done when the block ends."""
        yield

    def empty_for_transfer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory of the CPU for pixels on their way to or from the device."""
        return torch.empty(shape, dtype=dtype)

    def empty_like(self, out: torch.Tensor) -> torch.Tensor:
        """Memory of the device for what `fetch` will copy to `out`."""
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
