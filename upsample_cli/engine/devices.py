"""The devices of this machine: which one a name means, and what the engine needs from it."""

from __future__ import annotations

import torch

from upsample_cli.engine.support import DeviceSupport
from upsample_cli.errors import DeviceError, Setting


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


def work_of_caller(device: torch.device, *tensors: torch.Tensor | None) -> torch.cuda.Event | None:
    """The work that the calling thread has queued on a device so far, for `own_stream` to wait for.

    When this returns, the other devices of the tensors have done the work that the thread has queued on them.
    """
    for tensor in tensors:
        if tensor is not None and tensor.device != device:
            device_support(tensor.device).wait_for_caller()
    return device_support(device).work_of_caller()
