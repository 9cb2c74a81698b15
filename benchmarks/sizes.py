"""Enlargement to a size that is not a whole multiple: 1.5 times, compared with OpenCV and libvips.

Ours makes bands, as for a file; OpenCV writes into memory that it has. New memory must be cleared first, which takes as
long as some of the cases.
`process_time` is the clock, so all threads are added up, and other load of the machine changes the figures less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module, metadata
from typing import Any

import cv2
import numpy as np

from benchmarks.engine import Case, Pixels, image
from benchmarks.harness import Row, race
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize import resized_bands
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.kernels.kernel import kernel_named

_CASES = (
    *(Case(megapixels=megapixels) for megapixels in (0.1, 0.8, 12)),
    *(Case(layout=layout) for layout in ("grey", "RGBA opaque", "RGBA ramp")),
    *(Case(layout=layout, dtype="uint16") for layout in ("grey", "RGB", "RGBA ramp")),
    *(Case(kernel=kernel) for kernel in ("bicubic", "lanczos3", "fitted")),
)
_OPENCV = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos4": cv2.INTER_LANCZOS4}


def sizes(rounds: int) -> Iterator[list[Row]]:
    """Each case with all peers that are installed. Ours filters with Lanczos after its kernel."""
    for case in _CASES:
        pixels = image(case)
        height, width = (round(length * 1.5) for length in pixels.shape[:2])
        runs: dict[str, Callable[[], Any]] = {"upsample": partial(_ours, pixels, (height, width), case)}
        out = np.empty((height, width, *pixels.shape[2:]), pixels.dtype)
        for name, code in _OPENCV.items():
            runs[f"OpenCV {cv2.__version__} {name}"] = partial(
                cv2.resize, pixels, (width, height), out, interpolation=code
            )
        runs |= _vips(pixels, has_alpha="RGBA" in case.layout)
        name = f"size: {str(case).removeprefix('engine ').replace('x2', 'x1.5', 1)}, processor time"
        yield race(name, runs, rounds=rounds, clock=time.process_time)


def _ours(pixels: Pixels, size: tuple[int, int], case: Case) -> None:
    planes = pixels.reshape(*pixels.shape[:2], -1)
    kernel, arithmetic = exact_form(kernel_named(case.kernel, 2), pixels.dtype, has_alpha="RGBA" in case.layout)
    for _ in resized_bands(
        lambda first, last: planes[first:last], planes.shape, size,
        settings=Settings(kernel, "replicate", "cpu"), arithmetic=arithmetic, weigh=filter_for(case.kernel),
    ):  # fmt: skip
        pass


def _vips(pixels: Pixels, *, has_alpha: bool) -> dict[str, Callable[[], Any]]:
    """With alpha, libvips premultiplies, as ours does. OpenCV does not."""
    try:
        pyvips = import_module("pyvips")
    except ImportError:
        return {}
    before = pyvips.Image.new_from_array(pixels).copy_memory()

    def run(kernel: str) -> Any:
        made = before.premultiply() if has_alpha else before
        made = made.resize(1.5, kernel=kernel)
        return (made.unpremultiply().cast(before.format) if has_alpha else made).write_to_memory()

    return {f"pyvips {metadata.version('pyvips')} {kernel}": partial(run, kernel) for kernel in ("linear", "lanczos3")}
