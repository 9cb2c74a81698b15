"""Enlarge folders of images twice with whole processes, and compare with the usual tools.

`python -m benchmarks.batch --photographs 200 --thumbnails 10000` is the full run, which takes half an hour. The default
is a short run. All tools write JPEG with quality 95 and 4:2:0, and PNG with their own defaults.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.harness import Row, user_environment
from benchmarks.images import photograph
from benchmarks.tables import measure
from upsample_cli.engine.cores import core_count

_SET_CHILD_SUBREAPER = 36
"""Of prctl(2): processes whose parent has ended become children of this one, which can then ask for their time."""

_PEERS = Path(__file__).parent / "peers"
_XARGS = 'ls "$0" | xargs -P{cores} -I{{}} vips resize "$0/{{}}" "$1/{{}}{extension}{options}" 2 --kernel linear'
_GM_OPTIONS = "-filter Triangle -resize 200% -quality 95 -sampling-factor 2x2"


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that enlarges a folder.

    Args:
        name: the name in the table.
        needs: a program that must be installed.
        command: the command; `{in}`, `{out}` and `{extension}` (".jpg") are filled in.
        most: the most images to give it, if all would take hours.
    """

    name: str
    needs: str
    command: tuple[str, ...]
    most: int = 10**9


def contenders(extension: str, most_slow: int = 10**9) -> list[Contender]:
    """All contenders, this package first. Slow ones get at most `most_slow` images."""
    upsample = shutil.which("upsample", path=str(Path(sys.executable).parent)) or "upsample"
    options = "[Q=95,subsample_mode=on]" if extension == ".jpg" else ""
    xargs = _XARGS.format(cores=core_count(), extension=extension, options=options)
    # For PNG, GraphicsMagick's quality is a number with another meaning, so its default of 75 is used.
    gm_options = _GM_OPTIONS if extension == ".jpg" else _GM_OPTIONS.replace("-quality 95 ", "")
    return [
        Contender("upsample", upsample, (upsample, "{in}", "-o", "{out}/", "-q", "--format", extension)),
        Contender("OpenCV, threads", sys.executable,
                  (sys.executable, str(_PEERS / "opencv_pool.py"), "{in}", "{out}", extension)),
        Contender("Pillow, threads", sys.executable,
                  (sys.executable, str(_PEERS / "pillow_pool.py"), "{in}", "{out}", extension),
                  most_slow if extension == ".png" else 10**9),
        Contender("libvips, xargs -P", "vips", ("sh", "-c", xargs, "{in}", "{out}"), most_slow),
        Contender("GraphicsMagick mogrify", "gm",
                  ("sh", "-c", f'cd "$0" && gm mogrify -output-directory "$1" -format {extension[1:]} {gm_options} *',
                   "{in}", "{out}"), most_slow),
    ]  # fmt: skip


def batch(rounds: int, photographs: int = 24, thumbnails: int = 2000, most_slow: int = 24) -> Iterator[list[Row]]:
    """12 MP photographs from JPEG to JPEG and to PNG, and 128x128 thumbnails from PNG to PNG and from JPEG to JPEG."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_photographs(root / "photographs", photographs)
        for extension in (".jpg", ".png"):
            name = f"batch: {photographs} JPEGs of 12 MP to {extension[1:].upper()}, seconds an image"
            yield _race(name, root / "photographs", extension, rounds, most_slow=most_slow)
        shutil.rmtree(root / "photographs")
        for extension in (".jpg", ".png"):
            source = root / f"thumbnails{extension}"
            _write_thumbnails(source, thumbnails, extension)
            name = f"batch: {thumbnails} {extension[1:].upper()}s of 128x128 to the same, seconds an image"
            yield _race(name, source, extension, rounds, most_slow=2000)


def _race(case: str, source: Path, extension: str, rounds: int, *, most_slow: int) -> list[Row]:
    """Run all contenders in turn, round after round. Outputs are deleted at once."""
    known = contenders(extension, most_slow)
    installed = [contender for contender in known if shutil.which(contender.needs)]
    times: dict[str, list[float]] = {contender.name: [] for contender in installed}
    notes: dict[str, str] = {}
    for _ in range(rounds):
        for contender in installed:
            elapsed_s, busy_s, count, size_bytes = _timed(contender, source, extension)
            times[contender.name].append(elapsed_s / count)
            notes[contender.name] = (
                f"{count / elapsed_s:.2f} images/s, {busy_s / elapsed_s / core_count():.0%} of the cores, "
                f"{count} images, {size_bytes / count / 1e6:.2f} MB each"
            )
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    first = medians[installed[0].name]
    rows = [
        Row(case, name, medians[name], min(measured), max(measured), medians[name] / first, notes[name])
        for name, measured in times.items()
    ]
    missing = [contender.name for contender in known if contender not in installed]
    return [*rows, *(Row(case, f"{name}: not installed here", 0.0, 0.0, 0.0, 0.0) for name in missing)]


def _timed(contender: Contender, source: Path, extension: str) -> tuple[float, float, int, int]:
    """Run a contender once; return (seconds, seconds of processor time, images, bytes written)."""
    images = sorted(source.iterdir())[: contender.most]
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        given = Path(folder, "in")
        given.mkdir()
        for image in images:
            (given / image.name).hardlink_to(image)
        target = Path(folder, "out")
        target.mkdir()
        fields = {"in": str(given), "out": str(target), "extension": extension}
        # Only parts that start with a field are filled in, because shell scripts contain other braces.
        command = [part.format(**fields) if part.startswith("{") else part for part in contender.command]
        start_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=user_environment())
        _, status, usage = os.wait4(process.pid, 0)
        elapsed_s = time.perf_counter() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        busy_s = usage.ru_utime + usage.ru_stime + _left_behind_s()
        written = [path.stat().st_size for path in target.iterdir() if not path.name.startswith(".")]
        if process.returncode or len(written) != len(images):
            raise RuntimeError(f"{contender.name} ended with {process.returncode} after {len(written)} images")
    return elapsed_s, busy_s, len(images), sum(written)


def _left_behind_s() -> float:
    """Processor time of processes that the command started and did not wait for, such as its workers."""
    busy_s = 0.0
    with suppress(ChildProcessError):  # raised when no child is left
        while True:
            _, _, usage = os.wait3(0)
            busy_s += usage.ru_utime + usage.ru_stime
    return busy_s


def _write_photographs(folder: Path, count: int) -> None:
    """Write photographs of 4000x3000 pixels, each shifted by another amount, with the settings of cameras."""
    folder.mkdir()
    sheet = photograph(3000, 4000)
    generator = np.random.default_rng(0)
    for index in range(count):
        moved = np.roll(sheet, generator.integers(0, 3000, 2), (0, 1))
        Image.fromarray(moved).save(folder / f"{index:05}.jpg", quality=92)


def _write_thumbnails(folder: Path, count: int, extension: str) -> None:
    folder.mkdir()
    sheet = photograph(3000, 4000)
    generator = np.random.default_rng(0)
    for index in range(count):
        top, left = generator.integers(0, 2800, 2)
        Image.fromarray(sheet[top : top + 128, left : left + 128]).save(folder / f"{index:05}{extension}")


def main(
    photographs: Annotated[int, typer.Option(help="Photographs of 12 MP.")] = 24,
    thumbnails: Annotated[int, typer.Option(help="Thumbnails of 128x128.")] = 2000,
    most_slow: Annotated[int, typer.Option(help="Photographs that slow peers get at most.")] = 24,
    rounds: Annotated[int, typer.Option(help="Rounds in turn.")] = 1,
    save: Annotated[str, typer.Option(metavar="NAME", help="Save as benchmarks/results/DATE-NAME.json.")] = "",
) -> None:
    """Measure batches and compare them with the usual tools."""
    measure([batch(rounds, photographs, thumbnails, most_slow)], rounds, save)


if __name__ == "__main__":
    typer.run(main)
