"""Images larger than memory: TIFF to TIFF, with 1 to 3,600 megapixels of output, one run each."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, process
from benchmarks.images import photograph
from upsample_cli.engine.cores import core_count
from upsample_cli.images.codecs.tiff.writer import TiffSink
from upsample_cli.images.model import Layout, Metadata

SIDES = (500, 1580, 5_000, 15_000, 30_000)
_CELL = 1000


def giant(_rounds: int, sides: tuple[int, ...] = SIDES) -> Iterator[list[Row]]:
    """Seconds and peak memory of square images enlarged twice: repeated photographs, each with its own noise."""
    command = shutil.which("upsample", path=str(Path(sys.executable).parent)) or "upsample"
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            source, target = f"{folder}/in.tif", f"{folder}/out.tif"
            write_giant(source, side)
            start_s = time.perf_counter()
            peak = process([command, source, "-o", target, "-q", "--max-pixels", "2G"])()
            elapsed_s = time.perf_counter() - start_s
            megapixels = 4 * side * side / 1e6
            size_bytes = Path(target).stat().st_size
            note = f"{peak}, {elapsed_s / megapixels * 1000:.1f} ms per MP, {size_bytes / 1e6:.0f} MB out"
            case = f"TIFF x2, {megapixels:.0f} MP out"
            yield [Row(case, "upsample", elapsed_s, elapsed_s, elapsed_s, 1.0, note)]


def write_giant(path: str, side: int) -> None:
    """Write an RGB TIFF of `side` x `side` pixels, a band at a time."""
    cell = photograph(_CELL, _CELL)
    band = np.tile(cell, (1, -(-side // _CELL), 1))[:, :side]
    generator = np.random.default_rng(0)
    with Path(path).open("w+b") as file, ThreadPoolExecutor(core_count()) as pool:
        sink = TiffSink(file, height=side, width=side, layout=Layout("rgb"), metadata=Metadata(), executor=pool)
        for top in range(0, side, _CELL):
            grain = generator.integers(0, 4, band.shape, np.uint8)  # otherwise deflate would find repetitions
            sink.write_rows((band // 2 + grain)[: side - top])
        sink.finish()
