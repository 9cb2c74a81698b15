"""CUDA: exact convolutions, a stream for each thread, pinned memory, tile sizes.

A thread copies a band to the device, computes it and copies it back on the thread's own stream. Several threads do so
at the same time (`torch_device.LANES`): while one band is computed, the next is copied to the device and the previous
one back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

from upsample_cli.engine.exact import Arithmetic
from upsample_cli.engine.routes.plain import Route
from upsample_cli.engine.routes.race import raced_route
from upsample_cli.engine.torch_device import LANES, MOST_TILE_BYTES, TorchSupport
from upsample_cli.kernels.kernel import Kernel

TILE_VALUES = 2**24
"""Output values of a tile that is copied back: enough to fill a GPU, and few enough to give a photograph several
tiles."""

_OUT_OF_MEMORY = ("cuda error: out of memory", "[cuda]: out of memory", "unable to find an engine", "alloc_failed")
"""Messages of the driver, of Triton, and of cuDNN if none of its algorithms gets enough memory."""

_settings_of_process = threading.Lock()
_streams = threading.local()


class CudaSupport(TorchSupport):
    """Memory, order of work and choice of routes on a GPU."""

    def tile_bytes(self, image_bytes: int, *, bytes_per_value: int, is_resident: bool) -> int:  # noqa: ARG002
        """See `TorchSupport`. Memory that torch has reserved but does not use counts as free."""
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + unused
        return min(MOST_TILE_BYTES if is_resident else TILE_VALUES * bytes_per_value, free // (2 * LANES))

    def fastest_route(self, kernel: Kernel, arithmetic: Arithmetic, channels: int) -> Route:
        """The fastest, as measured, of all routes that give the layer's pixels."""
        with torch.cuda.device(self.device), self.exact_convolutions(stride=kernel.factor):
            return raced_route(kernel, arithmetic, channels, self.device)

    @contextmanager
    def exact_convolutions(self, *, stride: int) -> Iterator[None]:
        """Disable TF32, and allow only deterministic algorithms that sum unrounded products.

        Winograd and Fourier algorithms round intermediate results. cuDNN uses them for stride 1, so for stride 1
        torch's own algorithm, a matrix product, is used. The settings of single operators override the global one
        (`torch.backends.fp32_precision`). Setting them is safe in processes that use the older names (`allow_tf32`), or
        both.

        The settings are global, so a lock keeps threads from restoring them while another thread needs them.
        """
        with _settings_of_process, ExitStack() as restored:
            cudnn = torch.backends.cudnn
            settings: list[tuple[Any, str, object]] = [
                (cudnn, "enabled", cudnn.enabled and stride > 1),
                (cudnn, "benchmark", False),
                (cudnn, "deterministic", True),
                (cudnn.conv, "fp32_precision", "ieee"),  # type: ignore[attr-defined]
                (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
            ]
            for owner, name, value in settings:
                restored.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            yield

    def event_of_caller(self) -> torch.cuda.Event:
        """See `TorchSupport`."""
        event: torch.cuda.Event = torch.cuda.current_stream(self.device).record_event()
        return event

    def wait_for_caller(self) -> None:
        """See `TorchSupport`."""
        torch.cuda.current_stream(self.device).synchronize()

    @contextmanager
    def own_stream(self, after: Any) -> Iterator[None]:
        """See `TorchSupport`."""
        of_thread = vars(_streams)
        if str(self.device) not in of_thread:
            of_thread[str(self.device)] = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream = of_thread[str(self.device)]
        if after is not None:
            stream.wait_event(after)
        with torch.cuda.stream(stream):
            try:
                yield
            finally:
                stream.synchronize()

    def empty_for_transfer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """See `TorchSupport`. The memory is pinned if possible, so that copies overlap with other work."""
        with suppress(RuntimeError):
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        return super().empty_for_transfer(shape, dtype)

    def _send(self, tile: torch.Tensor) -> torch.Tensor:
        """See `TorchSupport`."""
        return tile.to(self.device, non_blocking=True)

    def _fetch(self, made: torch.Tensor, out: torch.Tensor) -> None:
        """See `TorchSupport`."""
        if out.is_contiguous() and out.is_pinned():
            out.copy_(made, non_blocking=True)
            return
        staged = self.empty_for_transfer(tuple(out.shape), out.dtype)
        staged.copy_(made, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        out.copy_(staged)

    def is_out_of_memory(self, error: RuntimeError) -> bool:
        """See `TorchSupport`. The driver, Triton and cuDNN have different messages."""
        message = str(error).lower()
        return super().is_out_of_memory(error) or any(words in message for words in _OUT_OF_MEMORY)

    def release_memory(self) -> None:
        """See `TorchSupport`."""
        torch.cuda.empty_cache()
