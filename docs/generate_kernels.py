"""Writes the table of docs/kernels.md: `python docs/generate_kernels.py [--scores] [--times]`; without either, both.

Scores are the same each time; times depend on the machine and the moment. Both are kept in
benchmarks/results/kernels.json, so that either can be measured again alone. It needs `pip install -e ".[bench]"`.
"""

from __future__ import annotations

import datetime
import json
import os
import textwrap
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fit_kernels import DEGRADATION, FACTORS, PHOTOGRAPHS, SUPPORT, held_out, parts
from benchmarks.harness import race
from benchmarks.images import photograph
from benchmarks.machine import machine
from upsample_cli import upsample
from upsample_cli.kernels.kernel import NETWORKS
from upsample_cli.kernels.network import AnyKernel
from upsample_cli.kernels.shipped import FITTED
from upsample_cli.quality.compare import kernels_for
from upsample_cli.quality.fit import errors_by, kernel_enlargers, mean_scores
from upsample_cli.quality.pieces import Part
from upsample_cli.quality.score import Errors

ROOT = Path(__file__).parent.parent
PAGE, FIGURES = ROOT / "docs" / "kernels.md", ROOT / "benchmarks" / "results" / "kernels.json"
_START, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"
HEIGHT, WIDTH = 1000, 1500
"""Size of the RGB image on which times are measured."""

Pixels = NDArray[np.uint8]


def _pillow(pixels: Pixels, factor: int, method: Image.Resampling) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((image.width * factor, image.height * factor), method))


def _opencv(pixels: Pixels, factor: int, method: str) -> Pixels:
    import cv2  # imported here, so that the page can be checked without OpenCV

    height, width = pixels.shape[:2]
    large: Pixels = cv2.resize(pixels, (width * factor, height * factor), interpolation=getattr(cv2, method))
    return large


PEERS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "Pillow BICUBIC": lambda pixels, factor: _pillow(pixels, factor, Image.Resampling.BICUBIC),
    "Pillow LANCZOS": lambda pixels, factor: _pillow(pixels, factor, Image.Resampling.LANCZOS),
    "OpenCV INTER_CUBIC": lambda pixels, factor: _opencv(pixels, factor, "INTER_CUBIC"),
    "OpenCV INTER_LANCZOS4": lambda pixels, factor: _opencv(pixels, factor, "INTER_LANCZOS4"),
}


def scores(factor: int) -> dict[str, tuple[float, float]]:
    """Mean PSNR in dB and SSIM by contender; "fitted" on each photograph by a kernel fitted to the others.

    Networks are not scored: those that come with the package have seen the photographs.
    """
    found = []
    for part, kernels in zip(parts(factor), held_out(factor, (SUPPORT,)), strict=True):
        own = linear_kernels(factor) | {FITTED: kernels[f"fitted {SUPPORT}x{SUPPORT}"]}
        found.append(errors_on(part, factor, own))
    return {name: (round(mean.psnr_db, 2), round(mean.ssim, 4)) for name, mean in mean_scores(found).items()}


def linear_kernels(factor: int) -> dict[str, AnyKernel]:
    """All kernels that are not networks."""
    return {name: kernel for name, kernel in kernels_for(None, factor, 1).items() if name not in NETWORKS}


def errors_on(part: Part, factor: int, kernels: dict[str, AnyKernel]) -> dict[str, Errors]:
    """The errors of kernels, and of `PEERS`, on a photograph that was made small."""
    peers = {name: partial(peer, factor=factor) for name, peer in PEERS.items()}
    return errors_by(part, factor, kernel_enlargers(kernels) | peers, DEGRADATION)


def times(factor: int, rounds: int) -> dict[str, float]:
    """Milliseconds per million output pixels by contender: medians of rounds in turn."""
    pixels = photograph(HEIGHT, WIDTH)

    def ours(name: str) -> Callable[[], object]:
        return lambda: upsample(pixels, factor, kernel=name)

    def theirs(name: str) -> Callable[[], object]:
        return lambda: PEERS[name](pixels, factor)

    contenders = {name: ours(name) for name in kernels_for(None, factor, 3)} | {name: theirs(name) for name in PEERS}
    megapixels = HEIGHT * WIDTH * factor**2 / 1e6
    rows = race(f"x{factor}", contenders, rounds=rounds)
    return {row.contender: round(row.median_s * 1000 / megapixels, 2) for row in rows}


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown, with their conditions."""
    heads = [head for factor in FACTORS for head in (f"x{factor}: PSNR / SSIM", "ms per MP")]
    best = {factor: max(psnr_db for psnr_db, _ in figures["scores"][str(factor)].values()) for factor in FACTORS}
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in figures["times"][str(FACTORS[0])]:
        cells = []
        for factor in FACTORS:
            psnr_db, ssim = figures["scores"][str(factor)].get(name, (0.0, 0.0))
            score = f"{psnr_db:.2f} / {ssim:.4f}" if psnr_db else "[model card](model-card.md)"
            cells += [
                f"**{score}**" if psnr_db == best[factor] else score,
                f"{figures['times'][str(factor)][name]:.1f}",
            ]
        lines.append(f"| {name if name in PEERS else f'`{name}`'} | {' | '.join(cells)} |")
    read = figures["read"]
    on = ", ".join(f"{key} {value}" for key, value in read["machine"].items())
    about = (
        f"Scores: means over {len(PHOTOGRAPHS)} photographs of scikit-image, of luma. Times: an RGB image, "
        f"{WIDTH}x{HEIGHT} of 8 bits, in memory, per million output pixels; medians of {read['rounds']} rounds in "
        f"turn, read on {read['date']}: {on}."
    )
    return "\n".join([*lines, "", textwrap.fill(about, 120), ""])


def page(figures: dict[str, Any], text: str) -> str:
    """The page with these figures in it."""
    before, rest = text.split(_START)
    _, after = rest.split(_END)
    return before + _START + "\n" + table(figures) + "\n" + _END + after


def main(
    *,
    only_scores: bool = typer.Option(False, "--scores", help="Renew the scores alone."),
    only_times: bool = typer.Option(False, "--times", help="Renew the times alone."),
    rounds: int = typer.Option(5, min=1, help="Times are medians of so many."),
) -> None:
    """Measure figures again, and write the table."""
    figures: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    if only_scores or not only_times:
        figures["scores"] = {str(factor): scores(factor) for factor in FACTORS}
    if only_times or not only_scores:
        load = {"load before": f"{os.getloadavg()[0]:.1f}"}
        figures["times"] = {str(factor): times(factor, rounds) for factor in FACTORS}
        versions = {"opencv": version("opencv-python-headless")}
        figures["read"] = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": rounds,
            "machine": machine() | versions | load,
        }
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(page(figures, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
