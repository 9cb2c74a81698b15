"""Enlarge 16-bit RGB PNG files twice: this package, OpenCV and libvips."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness import Row, process, race
from benchmarks.images import photograph
from upsample_cli import upsample_file

OPENCV_SCRIPT = """
import sys, cv2
image = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
cv2.imwrite(sys.argv[2], cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))
"""


def png16(rounds: int, height: int = 2000, width: int = 3000) -> Iterator[list[Row]]:
    """In a running process, and as new processes. For a peer that is not installed, a line says so."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in.png"
        grain = np.random.default_rng(0).integers(0, 257, (height, width, 3), np.uint16)  # noise of a sensor
        cv2.imwrite(source, photograph(height, width).astype(np.uint16) * 255 + grain)
        size = f"16-bit RGB PNG x2, {height * width / 1e6:.0f} MP in, {height * width / 250_000:.0f} MP out"
        yield race(f"{size}, in a running process", _in_process(source, folder), rounds=min(rounds, 3))
        yield race(f"{size}, as a process", _as_processes(source, folder), rounds=min(rounds, 3))


def _in_process(source: str, folder: str) -> dict[str, Callable[[], Any]]:
    ours, theirs = f"{folder}/ours.png", f"{folder}/opencv.png"

    def enlarged() -> str:
        upsample_file(source, ours, overwrite=True)
        return _megabytes(ours)

    def by_opencv() -> str:
        image = cv2.imread(source, cv2.IMREAD_UNCHANGED)
        if image is None:
            raise OSError(f"OpenCV cannot read {source}")
        cv2.imwrite(theirs, cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))
        return _megabytes(theirs)

    return {"upsample_file": enlarged, "OpenCV": by_opencv}


def _as_processes(source: str, folder: str) -> dict[str, Callable[[], Any]]:
    command = shutil.which("upsample", path=str(Path(sys.executable).parent)) or "upsample"
    runs: dict[str, Callable[[], Any]] = {
        "upsample": process([command, source, "-o", f"{folder}/a.png", "--overwrite", "-q"]),
        "OpenCV script": process([sys.executable, "-c", OPENCV_SCRIPT, source, f"{folder}/b.png"]),
    }
    vips = shutil.which("vips")
    if vips is None:
        print("libvips is missing here (Debian: libvips-tools); its row is left out")
    else:
        runs["vips resize --kernel linear"] = process(
            [vips, "resize", source, f"{folder}/c.png", "2", "--kernel", "linear"]
        )
    return runs


def _megabytes(path: str) -> str:
    return f"{Path(path).stat().st_size / 1e6:.1f} MB"
