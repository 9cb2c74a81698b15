"""The benchmark suites: cases and contenders."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.batch import batch
from benchmarks.decoders import decode
from benchmarks.deep import OPENCV_SCRIPT, png16
from benchmarks.engine import engine, scaling, threads
from benchmarks.giant import giant
from benchmarks.harness import Row, process, race
from benchmarks.images import KINDS, photograph
from benchmarks.resizers import resizers
from benchmarks.sizes import sizes
from upsample_cli import upsample
from upsample_cli.engine.cores import core_count
from upsample_cli.images.codecs.png.writer import PngSink
from upsample_cli.images.model import Layout, Metadata

Contenders = dict[str, Callable[[], Any]]


def png(rounds: int) -> Iterator[list[Row]]:
    """Encode 48 MP RGB as PNG, in memory."""
    for kind in KINDS:
        pixels = upsample(KINDS[kind](3000, 4000))
        height, width, _ = pixels.shape
        image = Image.fromarray(pixels)
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        pool = ThreadPoolExecutor(core_count())

        def ours(pixels: np.ndarray[Any, Any] = pixels, pool: ThreadPoolExecutor = pool) -> str:
            file = io.BytesIO()
            sink = PngSink(file, height=len(pixels), width=pixels.shape[1], layout=Layout("rgb"), metadata=Metadata(),
                           executor=pool)  # fmt: skip
            for top in range(0, len(pixels), 64):
                sink.write_rows(pixels[top : top + 64])
            sink.finish()
            return _megabytes(file.tell())

        def pillow(image: Image.Image = image) -> str:
            file = io.BytesIO()
            image.save(file, "PNG")
            return _megabytes(file.tell())

        def opencv(bgr: np.ndarray[Any, Any] = bgr) -> str:
            return _megabytes(cv2.imencode(".png", bgr)[1].nbytes)

        case = f"PNG of {height * width / 1e6:.0f} MP RGB, {kind}"
        yield race(case, {"PngSink": ours, "Pillow default": pillow, "OpenCV default": opencv}, rounds=min(rounds, 3))


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


_PILLOW_SCRIPT = (
    "import sys; from PIL import Image; image = Image.open(sys.argv[1]);"
    "image.resize((image.width * 2, image.height * 2), Image.Resampling.BILINEAR).save(sys.argv[2], quality=95)"
)


_TOOLS = {
    "libvips": ["vips", "resize", "IN", "OUT", "2", "--kernel", "linear"],
    "GraphicsMagick": ["gm", "convert", "IN", "-filter", "Triangle", "-resize", "200%", "OUT"],
    "ffmpeg": ["ffmpeg", "-v", "error", "-y", "-i", "IN", "-vf", "scale=iw*2:ih*2:flags=bilinear", "OUT"],
}
"""Peers that are commands. Commands that are not installed are left out."""


_EXTENSIONS = ("jpg", "png", "tif", "webp")


def whole_process(rounds: int) -> Iterator[list[Row]]:
    """Enlarge one JPEG twice to several formats, as a command. All use their own default quality; Pillow uses 95."""
    command = shutil.which("upsample", path=str(Path(sys.executable).parent)) or "upsample"
    with tempfile.TemporaryDirectory() as folder:
        large, small = f"{folder}/large.jpg", f"{folder}/small.jpg"
        Image.fromarray(photograph(3000, 4000)).save(large, quality=92)
        Image.fromarray(photograph(427, 640)).save(small, quality=92)
        for source, size, extension in ((small, "0.3 MP", "jpg"), *((large, "12 MP", end) for end in _EXTENSIONS)):
            ours, theirs = f"{folder}/ours.{extension}", f"{folder}/theirs.{extension}"
            contenders: Contenders = {
                "upsample": process([command, source, "-o", ours, "--overwrite", "-q"]),
                "Pillow script": process([sys.executable, "-c", _PILLOW_SCRIPT, source, theirs]),
                "OpenCV script": process([sys.executable, "-c", OPENCV_SCRIPT, source, theirs]),
                "python -c 'import torch'": process([sys.executable, "-c", "import torch"]),
            }
            paths = {"IN": source, "OUT": theirs}
            for tool, arguments in _TOOLS.items():
                if shutil.which(arguments[0]):
                    contenders[tool] = process([paths.get(argument, argument) for argument in arguments])
            most = 5 if extension == "jpg" else 3
            yield race(f"process: {size} JPEG to {extension.upper()}", contenders, rounds=min(rounds, most))


_STARTS = (
    ("shape", "50x100", "--factor", "2"),
    ("solve", "--from", "112", "--to", "224"),
    ("invert", "Conv2d(3, 16, 3, stride=2, padding=1)", "--size", "224,225"),
    ("translate", "ConvTranspose2d(16, 8, 4, 2, 1)", "--to", "keras"),
    ("kernel", "--factor", "3"),
    ("checkerboard", "--kernel-size", "3", "--stride", "2"),
)


def start(rounds: int) -> Iterator[list[Row]]:
    """Commands that only do arithmetic, as new processes, compared with starting Python."""
    folder = Path(sys.executable).parent
    contenders: Contenders = {
        f"tconv {arguments[0]}": process([str(folder / "tconv"), *arguments]) for arguments in _STARTS
    }
    contenders["upsample --help"] = process([str(folder / "upsample"), "--help"])
    contenders["python -c 'import typer'"] = process([sys.executable, "-c", "import typer"])
    contenders["python -c pass"] = process([sys.executable, "-c", "pass"])
    yield race("process: start, each with 0.03 s or so of the measuring process", contenders, rounds=rounds)


def memory(_rounds: int) -> Iterator[list[Row]]:
    """Peak memory from a 200 MP JPEG to an 800 MP PNG. The decoded input takes 600 MB."""
    command = shutil.which("upsample", path=str(Path(sys.executable).parent)) or "upsample"
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in.jpg"
        Image.fromarray(photograph(12_500, 16_000)).save(source, quality=90)
        runs: Contenders = {"upsample": process([command, source, "-o", f"{folder}/out.png", "--overwrite", "-q"])}
        yield race("memory: 200 MP JPEG to 800 MP PNG", runs, rounds=1)


SUITES: dict[str, Callable[[int], Iterator[list[Row]]]] = {
    "engine": engine,
    "resizers": resizers,
    "sizes": sizes,
    "threads": threads,
    "scaling": scaling,
    "png": png,
    "decode": decode,
    "png16": png16,
    "process": whole_process,
    "start": start,
    "memory": memory,
    "giant": giant,
    "batch": lambda rounds: batch(min(rounds, 1)),
}
