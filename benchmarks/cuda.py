"""The engine on a GPU: images that stay there, images that are copied over the bus, and each route separately."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.engine import Case, has_alpha, image
from benchmarks.harness import Row, race
from upsample_cli import upsample
from upsample_cli.engine.cuda import CudaSupport
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.routes.race import cuda_routes
from upsample_cli.engine.torch_device import device_layer
from upsample_cli.kernels.kernel import kernel_named

CASES = (
    Case(),
    *(Case(kind=kind) for kind in ("noise", "flat")),
    *(Case(factor=factor) for factor in (3, 4, 8)),
    *(Case(megapixels=megapixels) for megapixels in (0.1, 1, 100)),
    *(Case(layout=layout) for layout in ("grey", "RGBA opaque", "RGBA ramp")),
    *(Case(layout=layout, dtype="uint16") for layout in ("RGB", "grey", "RGBA ramp")),
    *(Case(kernel=kernel) for kernel in ("bicubic", "lanczos3", "fitted")),
)


def cuda(rounds: int) -> Iterator[list[Row]]:
    """Each case on the first GPU. The ratio of a limit compares the engine with plain copies on the device."""
    for case in CASES:
        yield race(f"CUDA: {str(case).removeprefix('engine ')}", contenders(case), rounds=rounds)


def contenders(case: Case) -> dict[str, Callable[[], Any]]:
    """The engine, its routes and its limits. All wait for the device."""
    pixels = image(case)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    there = torch.from_numpy(pixels).cuda()
    resident = there.permute(2, 0, 1)[None]  # channels last
    moved = torch.empty(pixels.nbytes * (1 + case.factor**2) // 2, dtype=torch.uint8, device="cuda")
    copied = torch.empty_like(moved)
    keywords: dict[str, Any] = {"kernel": case.kernel, "has_alpha": has_alpha(case)}
    found: dict[str, Callable[[], Any]] = {
        "upsample, stays on the device": partial(upsample, resident, case.factor, **keywords),
        "upsample, from and to memory of the CPU": partial(upsample, pixels, case.factor, device="cuda", **keywords),
        "upsample, on the CPU": partial(upsample, pixels, case.factor, **keywords),
        **{f"route alone: {name}": run for name, run in _routes(case, there).items()},
        "limit: as many bytes copied on the device": partial(copied.copy_, moved),
        "limit: bytes over the bus, pinned": _over_the_bus(there, case.factor),
    }
    if case.dtype == "uint8" and case.kernel in ("bilinear", "bicubic"):
        found["F.interpolate float32 channels_last"] = partial(
            torch.nn.functional.interpolate, resident.float(), scale_factor=case.factor, mode=case.kernel
        )
    return {name: partial(_waited_for, run) for name, run in found.items()}


def _routes(case: Case, there: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Every available route, on one tile that is the whole image. The first one is the chosen route."""
    device, channels = there.device, there.shape[2]
    kernel, arithmetic = exact_form(
        kernel_named(case.kernel, case.factor), np.dtype(case.dtype), has_alpha=has_alpha(case)
    )
    core = [length - 2 * kernel.halo for length in there.shape[:2]]
    out = torch.empty(core[0] * case.factor, core[1] * case.factor, channels, dtype=there.dtype, device=device)
    support = CudaSupport(str(device))
    taken = support.route(kernel, arithmetic, channels, "auto")
    made = {
        f"the one taken, {type(taken).__name__}": taken,
        "layer, channels in the batch": device_layer(kernel, arithmetic, device),
    }
    for name, make in zip(
        ("fused", "layer, grouped", "layer, dense"), cuda_routes(kernel, arithmetic, channels, device), strict=False
    ):
        try:
            made[name] = make()
        except Exception as error:  # printed as a missing route
            print(f"{case}: no route {name}: {error}")

    def run(route: Any) -> None:
        with torch.inference_mode(), support.exact_convolutions(stride=case.factor):
            route(there, out)

    return {name: partial(run, route) for name, route in made.items()}


def _over_the_bus(there: torch.Tensor, factor: int) -> Callable[[], Any]:
    """Copy an image to the device while another, enlarged one is copied back: the bus carries both at the same time."""
    up = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
    upwards = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    down = torch.empty(there.nbytes * factor**2, dtype=torch.uint8, pin_memory=True)
    arrived, made = torch.empty_like(there), torch.empty(down.shape, dtype=torch.uint8, device="cuda")

    def run() -> None:
        down.copy_(made, non_blocking=True)
        with torch.cuda.stream(upwards):
            arrived.copy_(up, non_blocking=True)

    return run


def _waited_for(run: Callable[[], Any]) -> Any:
    made = run()
    torch.cuda.synchronize()
    return made
