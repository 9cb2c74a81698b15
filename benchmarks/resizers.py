"""Bilinear enlargement in memory by all resizers that are installed: time, and distance from the exact value.

Every contender gets an array and gives an array or an image of its own. Conversions of its types are not timed.
Two contenders are processes of their own, and each of their times has 0.05 ms or so for the request: sharp, if `node`
finds it (`NODE_PATH`), and pillow-simd, if `PILLOW_SIMD_PYTHON` names the Python of an environment that has it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.engine import Case, Pixels, image, interpolation
from benchmarks.harness import Row, race
from upsample_cli import upsample

_CASES = (
    *(Case(factor=factor, megapixels=3) for factor in (2, 3, 4)),
    Case(layout="grey", megapixels=3),
    Case(megapixels=0.1),
)
Resize = tuple[Callable[[], Any], Callable[[Any], NDArray[Any]]]
"""Enlarges, and makes an array of what it gave."""


def resizers(rounds: int) -> Iterator[list[Row]]:
    """Each case with all resizers that are installed. The note of a row is its distance from the exact value."""
    for case in _CASES:
        pixels = image(case)
        with processes(case, pixels) as alone:
            found = _contenders(case, pixels) | alone
            exact = upsample(pixels, case.factor)
            runs = {name: run for name, (run, _) in found.items()}
            rows = race(f"resizer: {str(case).removeprefix('engine ')}", runs, rounds=rounds)
            yield [replace(row, note=_distance(found[row.contender], exact)) for row in rows]


def _distance(resize: Resize, exact: Pixels) -> str:
    run, as_array = resize
    found = as_array(run()).reshape(exact.shape).astype(int)
    off = np.abs(found - exact)
    return f"{(off > 0).mean():.1%} differ, at most by {off.max()}"


def _contenders(case: Case, pixels: Pixels) -> dict[str, Resize]:
    height, width = pixels.shape[0] * case.factor, pixels.shape[1] * case.factor
    loaded = Image.fromarray(pixels)
    found: dict[str, Resize] = {
        "upsample": (partial(upsample, pixels, case.factor), np.asarray),
        f"OpenCV {cv2.__version__}": (partial(cv2.resize, pixels, (width, height)), np.asarray),
        f"Pillow {metadata.version('pillow')}": (
            partial(loaded.resize, (width, height), Image.Resampling.BILINEAR),
            np.asarray,
        ),
        f"F.interpolate {metadata.version('torch')}": (
            interpolation(pixels, case.factor),
            lambda planes: planes[0].permute(1, 2, 0).numpy(),
        ),
    }
    for distribution, (module_name, make) in _OPTIONAL.items():
        try:
            module = import_module(module_name)
        except ImportError:
            continue
        if (contender := make(module, pixels, height, width)) is not None:
            found[f"{distribution} {metadata.version(distribution)}"] = contender
    return found


def _cykooz(module: Any, pixels: Pixels, height: int, width: int) -> Resize:
    kind = module.PixelType.U8x3 if pixels.ndim == 3 else module.PixelType.U8
    before = module.ImageData(pixels.shape[1], pixels.shape[0], kind, pixels.tobytes())
    options = module.ResizeOptions(module.ResizeAlg.convolution(module.FilterType.bilinear))
    resizer = module.Resizer()

    def run() -> Any:
        after = module.ImageData(width, height, kind)
        resizer.resize(before, after, options)
        return after

    return run, lambda after: np.frombuffer(after.get_buffer(), np.uint8)


def _kornia(module: Any, pixels: Pixels, height: int, width: int) -> Resize | None:
    if pixels.ndim == 2:
        return None
    return partial(module.resize, pixels, (height, width), "bilinear"), np.asarray


def _pic_scale(module: Any, pixels: Pixels, height: int, width: int) -> Resize:
    return partial(module.resize, Image.fromarray(pixels), (width, height), module.Resampling.BILINEAR), np.asarray


def _pyvips(module: Any, pixels: Pixels, height: int, _width: int) -> Resize:
    before = module.Image.new_from_array(pixels).copy_memory()
    return lambda: before.resize(height / len(pixels), kernel="linear").write_to_memory(), _of_bytes


def _of_bytes(data: Any) -> NDArray[Any]:
    return np.frombuffer(data, np.uint8)


_OPTIONAL: dict[str, tuple[str, Callable[[Any, Pixels, int, int], Resize | None]]] = {
    "cykooz-resizer": ("cykooz_resizer", _cykooz),
    "kornia-rs": ("kornia_rs.imgproc", _kornia),
    "pic-scale": ("pic_scale", _pic_scale),
    "pyvips": ("pyvips", _pyvips),
}
"""Distributions that are raced if they are installed: the module, and how it enlarges. They are not part of `bench`."""


@contextlib.contextmanager
def processes(case: Case, pixels: Pixels) -> Iterator[dict[str, Resize]]:
    """The contenders that need an environment of their own, as far as it is there. They end with the `with` block."""
    peers = Path(__file__).parent / "peers"
    commands = (
        (os.environ.get("PILLOW_SIMD_PYTHON"), peers / "pillow_resize.py"),
        (shutil.which("node"), peers / "sharp_resize.js"),
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pixels.tofile(folder / "pixels")
        height, width, channels = (*pixels.shape, 1)[:3]
        found: dict[str, Resize] = {}
        for program, script in commands:
            if program is None:
                continue
            out, sizes = folder / script.stem, map(str, (width, height, channels, case.factor))
            command = [program, str(script), str(folder / "pixels"), str(out), *sizes]
            process = stack.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
            assert process.stdout is not None
            if name := process.stdout.readline().strip():
                found[name] = (partial(_request, process, "resize"), partial(_saved, process, out))
        yield found


def _request(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    process.stdout.readline()


def _saved(process: subprocess.Popen[str], out: Path, _returned: None) -> NDArray[Any]:
    _request(process, "save")
    return np.fromfile(out, np.uint8)
