"""Draws docs/images/, the images of the README: `python docs/make_images.py [FOLDER]`.

`rim.png` is the left edge of two samples, enlarged in three ways by this package. `net.png` is where a network is of
little use. The SVG files show what commands print, as rich draws a terminal.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from upsample_cli import upsample

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images"

FACTOR, WIDTH, GAP, LABEL = 10, 32, 8, 26
PAGE = "#e4e4e4"
CROPS = {"scene.jpg": (190, 24), "text.png": (0, 16)}
"""Sample: first row and height of a crop at its left edge, where the rim of the plain layer shows."""

WAYS: dict[str, dict[str, Any]] = {
    "nearest: the pixels": {"kernel": "nearest"},
    "plain ConvTranspose2d: dark rim": {"border": "zeros"},
    "upsample": {},
}
"""Label: arguments of `upsample`."""

KERNELS = ("bilinear", "lanczos3", "fitted", "net")
SHOWN, MAGNIFIED = (32, 20), 5
"""Width and height of a crop of an input, and how many times its enlargement is magnified to be seen."""

SCREENS = {
    "shape.svg": (
        'tconv shape 224x224 "Conv2d(3, 16, 3, stride=2, padding=1)" "ConvTranspose2d(16, 3, 3, stride=2, padding=1)"',
        120,
    ),
    "explain.svg": ("tconv explain --stride 2", 84),
}
"""File: (command, columns of the terminal)."""

_LONGEST = 37
"""Lines of a screenshot; of a longer output the last line follows."""

Pixels = NDArray[np.uint8]


def panel(sample: str, top: int, height: int, way: dict[str, Any]) -> Pixels:
    """A crop of a sample, enlarged with its surroundings, so that only the image's own edges show a rim."""
    with Image.open(ROOT / "samples" / sample) as image:
        pixels = np.asarray(image.convert("RGB"))
    above = min(top, 1)
    large = upsample(pixels[top - above : top + height + 1, : WIDTH + 1], FACTOR, **way)
    return large[above * FACTOR :][: height * FACTOR, : WIDTH * FACTOR]


def sheet() -> Image.Image:
    """A column for each way, under its label; a row for each crop."""
    height = LABEL + sum(rows * FACTOR + GAP for _, rows in CROPS.values()) - GAP
    page = Image.new("RGB", (len(WAYS) * (WIDTH * FACTOR + GAP) - GAP, height), PAGE)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(16)
    for column, (label, way) in enumerate(WAYS.items()):
        left, below = column * (WIDTH * FACTOR + GAP), LABEL
        draw.text((left + 4, 2), label, "black", font)
        for sample, (top, rows) in CROPS.items():
            page.paste(Image.fromarray(panel(sample, top, rows, way)), (left, below))
            below += rows * FACTOR + GAP
    return page


def hard_inputs() -> dict[str, Pixels]:
    """Inputs that a network was not trained for, by label."""
    samples = {}
    for name in ("text.png", "palette.png", "scene.jpg"):
        with Image.open(ROOT / "samples" / name) as image:
            samples[name] = image.convert("RGBA").convert("RGB")  # Pillow warns about a transparent palette
    file = io.BytesIO()
    samples["scene.jpg"].save(file, "JPEG", quality=15)
    scene = np.asarray(samples["scene.jpg"]).astype(np.float64)
    noisy = scene + np.random.default_rng(0).normal(0, 12, scene.shape)
    return {
        "text": _crop(np.asarray(samples["text.png"]), 10, 8),
        "pixel art": _crop(np.asarray(samples["palette.png"]), 0, 0),
        "JPEG of quality 15": _crop(np.asarray(Image.open(file)), 440, 395),
        "noise": _crop(np.clip(noisy.round(), 0, 255).astype(np.uint8), 440, 395),
    }


def _crop(pixels: Pixels, left: int, top: int) -> Pixels:
    width, height = SHOWN
    return pixels[top : top + height, left : left + width]


def kernels_sheet() -> Image.Image:
    """A column for each kernel at x2, under its label; a row for each input."""
    width, height = (2 * side * MAGNIFIED for side in SHOWN)
    inputs = hard_inputs()
    page = Image.new("RGB", (len(KERNELS) * (width + GAP) - GAP, len(inputs) * (height + LABEL)), PAGE)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for row, (label, pixels) in enumerate(inputs.items()):
        for column, kernel in enumerate(KERNELS):
            left, top = column * (width + GAP), row * (height + LABEL)
            draw.text((left + 4, top + 2), f"{label}: {kernel}", "black", font)
            large = Image.fromarray(upsample(np.ascontiguousarray(pixels), 2, kernel=kernel))
            page.paste(large.resize((width, height), Image.Resampling.NEAREST), (left, top + LABEL))
    return page


def screen(command: str, columns: int) -> str:
    """What a command prints on a terminal of that width, as SVG."""
    program, *arguments = shlex.split(command)
    code = f"from upsample_cli.cli.{program} import main; main()"
    environment = os.environ | {"COLUMNS": str(columns), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True, capture_output=True, encoding="utf-8", cwd=ROOT, env=environment,
    )  # fmt: skip
    lines = done.stdout.rstrip().splitlines()
    if len(lines) > _LONGEST:
        lines = [*lines[:_LONGEST], "...", "", lines[-1]]
    console = Console(record=True, width=columns, file=io.StringIO())
    console.print(Text(f"$ {command}", "bold"))
    console.print(Text.from_ansi("\n".join(lines)))
    svg = console.export_svg(title=program, theme=MONOKAI)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # rich would load fonts from the network


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    sheet().save(folder / "rim.png", optimize=True)
    kernels_sheet().save(folder / "net.png", optimize=True)
    for name, (command, columns) in SCREENS.items():
        (folder / name).write_text(screen(command, columns), encoding="utf-8")
