"""The engine on arrays in memory, compared with its peers and with a copy of the same number of bytes."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import Row, milliseconds, race
from benchmarks.images import KINDS
from upsample_cli import upsample
from upsample_cli.engine.bands import enlarged_bands
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.devices import pick_device
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.kernels.kernel import kernel_named

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One case. The first is x2 of 12 MP RGB with 8 bits; each other case differs from it in one or two respects."""

    factor: int = 2
    megapixels: float = 12
    layout: str = "RGB"
    dtype: str = "uint8"
    kind: str = "photograph"
    kernel: str = "bilinear"

    def __str__(self) -> str:
        return f"engine x{self.factor} {self.kernel}, {self.megapixels:g} MP {self.layout} {self.dtype}, {self.kind}"


CASES = (
    Case(),
    *(Case(kind=kind) for kind in ("noise", "flat")),
    *(Case(factor=factor) for factor in (3, 4)),
    Case(factor=8, megapixels=1),
    *(Case(megapixels=megapixels) for megapixels in (0.01, 0.1, 1, 100)),
    *(Case(layout=layout) for layout in ("grey", "RGBA opaque", "RGBA ramp")),
    *(Case(layout=layout, dtype="uint16") for layout in ("RGB", "grey", "RGBA ramp")),
    *(Case(factor=factor, dtype="uint16") for factor in (3, 4)),
    *(Case(factor=factor, kernel=kernel) for kernel in ("bicubic", "lanczos3") for factor in (2, 3)),
)

_LAYOUTS: dict[str, Callable[[Pixels], Pixels]] = {
    "RGB": lambda colour: colour,
    "grey": lambda colour: np.ascontiguousarray(colour[..., 1]),
    "RGBA opaque": lambda colour: np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)]),
    "RGBA ramp": lambda colour: np.dstack(
        [colour, np.broadcast_to(np.linspace(0, 255, colour.shape[1]).astype(np.uint8), colour.shape[:2])]
    ),
}

_PEERS = {
    "bilinear": (Image.Resampling.BILINEAR, cv2.INTER_LINEAR),
    "bicubic": (Image.Resampling.BICUBIC, cv2.INTER_CUBIC),
    "lanczos3": (Image.Resampling.LANCZOS, cv2.INTER_LANCZOS4),
}
"""The nearest equivalents in Pillow and OpenCV. OpenCV's cubic has a = -0.75, and its Lanczos has four lobes."""


def image(case: Case) -> Pixels:
    """The pixels of a case, with an aspect ratio of 4:3."""
    height = round((case.megapixels * 1e6 * 3 / 4) ** 0.5)
    pixels = _LAYOUTS[case.layout](KINDS[case.kind](height, height * 4 // 3))
    return pixels if case.dtype == "uint8" else pixels.astype(np.uint16) * 257


def has_alpha(case: Case) -> bool:
    """Whether the last channel is alpha."""
    return case.layout.startswith("RGBA")


def contenders(case: Case, pixels: Pixels) -> dict[str, Callable[[], Any]]:
    """The contenders that support a case.

    OpenCV does not premultiply, Pillow does not have 16-bit colour, and torch is measured only for 8-bit RGB.
    """
    size = (pixels.shape[1] * case.factor, pixels.shape[0] * case.factor)
    pillow, opencv = _PEERS[case.kernel]
    found: dict[str, Callable[[], Any]] = {
        "upsample": partial(upsample, pixels, case.factor, kernel=case.kernel, has_alpha=has_alpha(case)),
        f"OpenCV{' (alpha straight)' if has_alpha(case) else ''}": partial(
            cv2.resize, pixels, size, interpolation=opencv
        ),
    }
    if case.dtype == "uint8":
        found["Pillow"] = partial(Image.fromarray(pixels).resize, size, pillow)
    if (case.layout, case.dtype, case.kernel) == ("RGB", "uint8", "bilinear"):
        found["F.interpolate uint8 channels_last"] = interpolation(pixels, case.factor)
    if (case.layout, case.kernel) == ("RGB", "bilinear"):
        kept = np.zeros((size[1], size[0], 3), pixels.dtype)
        found["upsample, band by band as for a file"] = partial(_in_bands, pixels, case)
        found["OpenCV, into memory that it has"] = partial(cv2.resize, pixels, size, kept, interpolation=opencv)
    moved = torch.ones(pixels.nbytes * (1 + case.factor**2) // 2, dtype=torch.uint8)
    found["limit: as many bytes copied"] = partial(torch.empty_like(moved).copy_, moved)
    return found


def interpolation(pixels: Pixels, factor: int) -> Callable[[], torch.Tensor]:
    """Bilinear enlargement of (H, W) or (H, W, C) by torch, in the memory format that suits it."""
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)[None]
    return partial(torch.nn.functional.interpolate, planes, scale_factor=factor, mode="bilinear", align_corners=False)


def _in_bands(pixels: Pixels, case: Case) -> None:
    """Release each band when the next one is requested, so that its memory is reused."""
    kernel, arithmetic = exact_form(kernel_named(case.kernel, case.factor), pixels.dtype)
    settings = Settings(kernel, "replicate", pick_device("cpu"))
    shape = (len(pixels), pixels.shape[1], pixels.shape[2])
    bands = enlarged_bands(lambda first, last: pixels[first:last], shape, settings=settings, arithmetic=arithmetic)
    for _ in bands:
        pass


def engine(rounds: int, cases: tuple[Case, ...] = CASES) -> Iterator[list[Row]]:
    """Each case with its peers and its limit."""
    for case in cases:
        yield race(str(case), contenders(case, image(case)), rounds=rounds)


_CURVE_MP = (0.1, 1, 10, 100, 1000)


def scaling(rounds: int) -> Iterator[list[Row]]:
    """x2 of photographs with 0.1 to 1,000 megapixels of output: the cost per megapixel."""
    for megapixels in _CURVE_MP:
        case = Case(megapixels=megapixels / 4)
        known = contenders(case, image(case))
        found = {name: known[name] for name in ("upsample", "OpenCV") if megapixels < 1000 or name == "upsample"}
        rows = race(f"scaling: x2 to {megapixels:g} MP RGB uint8", found, rounds=rounds if megapixels < 1000 else 1)
        yield [replace(row, note=f"{milliseconds(row.median_s / megapixels)} ms per MP") for row in rows]


_ON_CORES = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
import time
from benchmarks.engine import Case, image
from upsample_cli import upsample
case = Case(factor=int(sys.argv[2]))
pixels = image(case)
for _ in range(int(sys.argv[3]) + 1):
    start_s = time.perf_counter()
    upsample(pixels, case.factor)
    print(time.perf_counter() - start_s)
"""


def threads(rounds: int) -> Iterator[list[Row]]:
    """The engine in a process that may use 1, 2, 4 ... cores. It runs alone: no memory of peers to reuse."""
    for factor in (2, 4):
        case, rows = f"engine x{factor}, 12 MP RGB uint8, alone in its process", list[Row]()
        counts = [1 << power for power in range(core_count().bit_length()) if 1 << power <= core_count()]
        for count in counts:
            command = [sys.executable, "-c", _ON_CORES, str(count), str(factor), str(rounds)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            times_s = [float(line) for line in printed.split()][1:]
            median_s = statistics.median(times_s)
            reference_s = rows[0].median_s if rows else median_s
            rows.append(Row(case, f"{count} cores", median_s, min(times_s), max(times_s), median_s / reference_s))
        yield rows
