"""What CUDA needs around a route: exact convolutions, a stream for each thread, memory that the bus reaches by itself.

A band goes to the device, through the route and back on the stream of the thread that computes it. Several threads do
so at once (`LANES`): while one band is computed, the next is on its way up and the last on its way down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

LANES = 3
"""Bands on their way at once: one up, one on the device, one down."""

TILE_VALUES = 2**24
"""Numbers that one tile gives if it has to be fetched back: enough to fill a GPU, and of a photograph several."""

MOST_TILE_BYTES = 2**30
"""Working memory of a tile that stays on the device: far from the 2**31 elements at which tensors misbehave."""

_OUT_OF_MEMORY = ("cuda error: out of memory", "[cuda]: out of memory", "unable to find an engine", "alloc_failed")
"""The driver's words, Triton's, and those of cuDNN when none of its algorithms got the memory that it wants."""

_settings_of_process = threading.Lock()
_streams = threading.local()


@contextmanager
def exact_convolutions(device: torch.device, *, stride: int) -> Iterator[None]:
    """On CUDA: no TF32, and only deterministic algorithms that sum products as they are.

    Winograd's and Fourier's ways round what is between, and cuDNN has them for stride 1: there torch's own is taken,
    which multiplies matrices. Operators' own settings win over those of all (`torch.backends.fp32_precision`), and to
    write them disturbs neither a process that uses the older names (`allow_tf32`) nor one that mixes both.

    They belong to the whole process: two threads that set and restore them in turn would undo each other.
    """
    if device.type != "cuda":
        yield
        return
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


def tile_bytes(device: torch.device, *, bytes_per_value: int, is_resident: bool) -> int:
    """Working memory for a tile on a device with free memory of its own; is_resident if its pixels stay there.

    Free is also what torch has taken from the device and nobody uses: it gives that back where memory runs out.
    """
    if device.type != "cuda":
        return MOST_TILE_BYTES // LANES
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    return min(MOST_TILE_BYTES if is_resident else TILE_VALUES * bytes_per_value, free // (2 * LANES))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a smaller tile may fit where this one did not: torch, the driver and cuDNN each have words for that."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(each in words for each in _OUT_OF_MEMORY)


def callers_work(device: torch.device, *tensors: torch.Tensor | None) -> torch.cuda.Event | None:
    """What the calling thread has asked of the device so far, for `own_stream` to wait for.

    What it has asked of other GPUs, where tensors are that are used too, is done when this returns.
    """
    for each in tensors:
        if each is not None and each.device.type == "cuda" and each.device != device:
            torch.cuda.current_stream(each.device).synchronize()
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None


@contextmanager
def own_stream(device: torch.device, after: torch.cuda.Event | None) -> Iterator[None]:
    """Work of this thread in a stream of its own, done when the block ends; on other devices nothing of the kind."""
    if after is None:
        yield
        return
    of_thread = vars(_streams)
    if str(device) not in of_thread:
        of_thread[str(device)] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream = of_thread[str(device)]
    stream.wait_event(after)
    with torch.cuda.stream(stream):
        try:
            yield
        finally:
            stream.synchronize()


def empty_for_bus(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Memory of the CPU: on the way to or from a GPU pinned, which it can be fetched from while others compute."""
    if device.type == "cuda":
        with suppress(RuntimeError):  # the system gives no more of it: slower, and as good
            return torch.empty(shape, dtype=dtype, pin_memory=True)
    return torch.empty(shape, dtype=dtype)


def empty_on(device: torch.device, out: torch.Tensor) -> torch.Tensor:
    """Memory of a device for what `fetch` will bring to `out`."""
    return torch.empty(out.shape, dtype=out.dtype, device=device)


def fetch(made: torch.Tensor, out: torch.Tensor) -> None:
    """Copy from a device to memory of the CPU, any strides; it is there when `own_stream` ends, or before."""
    if made.device.type != "cuda" or (out.is_contiguous() and out.is_pinned()):
        out.copy_(made, non_blocking=made.device.type == "cuda")
        return
    staged = empty_for_bus(tuple(out.shape), out.dtype, made.device)
    staged.copy_(made, non_blocking=True)
    torch.cuda.current_stream(made.device).synchronize()
    out.copy_(staged)


def to_device(tile: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tile on a device, or on its way there."""
    return tile.to(device, non_blocking=device.type == "cuda")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """What a device takes for some work, by its own clock."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):
        start.record()
        work()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000
