"""Find a device by name, and load the code for it."""

from __future__ import annotations

from typing import Any

from upsample_cli.engine.drivers import has_cuda_driver
from upsample_cli.engine.exact import Pixels
from upsample_cli.engine.support import DeviceSupport
from upsample_cli.errors import DeviceError, Setting


def pick_device(name: str) -> str:
    """The device with the given name, as "cpu", "cuda:N" or "mps". "auto" is CUDA if available, otherwise the CPU.

    Torch is imported to find a device other than the CPU; for "auto", only if a CUDA driver is installed.

    Raises:
        DeviceError: if the device is not available; the message names the available devices.
    """
    if name == "cpu" or (name == "auto" and not has_cuda_driver()):
        return "cpu"
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return "cuda:0" if "cuda:0" in available else "cpu"
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)  # a tensor's device has a number
    if wanted not in available:
        raise DeviceError(
            f"there is no device {name!r} here",
            ("choose ", Setting("device", "auto"), f" or one of {', '.join(available)}"),
        )
    return wanted


def device_support(device: str) -> DeviceSupport:
    """The code for a device. The code for devices other than the CPU is imported here, when it is needed."""
    if device.startswith("cuda"):
        from upsample_cli.engine.cuda import CudaSupport

        return CudaSupport(device)
    if device != "cpu":
        from upsample_cli.engine.torch_device import TorchSupport

        return TorchSupport(device)
    return DeviceSupport()


def work_of_caller(device: DeviceSupport, *pixels: Pixels | None) -> Any:
    """An event for the work that the calling thread has queued on a device so far, for `own_work` to wait for.

    If pixels are on other devices, this waits until these have finished the work queued by the thread.
    """
    for array in pixels:
        if array is not None and str(array.device) != device.name:
            device_support(str(array.device)).wait_for_caller()
    return device.event_of_caller()
