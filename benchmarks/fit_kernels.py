"""Fit the kernels that come with the package: `python -m benchmarks.fit_kernels [--scores]`.

It writes upsample_cli/kernels/fitted.json with the same bytes each time: pixels are whole numbers, so the sums for the
fit are exact, and the rounding of the numerators is far coarser than differences of float64 between machines.

`--scores` prints the tables of docs/model-card.md and writes no file. Each photograph is scored by kernels that were
fitted to the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import skimage.data
import typer

from upsample_cli.kernels.kernel import Kernel, kernel_named
from upsample_cli.kernels.shipped import FITTED_FILE
from upsample_cli.quality.degrade import Degradation, degradation_named
from upsample_cli.quality.equations import Equations, no_equations
from upsample_cli.quality.fit import errors_of, fitted_kernel, mean_scores
from upsample_cli.quality.photos import Recipe, equations_of
from upsample_cli.quality.pieces import Part, whole_part
from upsample_cli.quality.score import Errors

FACTORS = (2, 3, 4)
SUPPORT = 7
DEGRADATION = Degradation("bicubic")
DENOMINATORS = range(64, 128)

PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
"""The photographs in the scikit-image package that need no download, and that its documentation says are CC0, in the
public domain, or without known copyright restrictions. Left out are drawings and masks; the moon, in which every pixel
is repeated four times; two images without fine detail, an out-of-focus cell and a moving clock; and the motorcycle and
the page, whose licence the documentation does not state."""

_PEERS = ("nearest", "bilinear", "bicubic", "lanczos3")
_OTHER_DEGRADATIONS = ("bicubic", "area", "lanczos", "jpeg95", "jpeg75")


def parts(factor: int, names: Sequence[str] = PHOTOGRAPHS) -> list[Part]:
    """The photographs as parts."""
    folder = Path(skimage.data.__file__).parent
    return [whole_part(folder / name, factor=factor, support=SUPPORT) for name in names]


def equations(recipe: Recipe, names: Sequence[str] = PHOTOGRAPHS) -> list[Equations]:
    """The normal equations of each photograph."""
    return [equations_of(part, recipe) for part in parts(recipe.factor, names)]


def fitted(factor: int) -> Kernel:
    """The kernel that the package contains for a factor."""
    recipe = Recipe(factor, SUPPORT, DEGRADATION)
    return fitted_kernel(sum(equations(recipe), no_equations(factor, SUPPORT)), recipe, DENOMINATORS)


def document(kernels: Sequence[Kernel]) -> str:
    """The text of the file with these kernels."""
    found: dict[str, Any] = {}
    for kernel in kernels:
        size = kernel.kernel_size
        rows = [kernel.weights[at : at + size] for at in range(0, size**2, size)]
        found[str(kernel.factor)] = {
            "denominator": kernel.denominator,
            "weights": [" ".join(f"{weight:4}" for weight in row) for row in rows],
        }
    about = {"support": SUPPORT, "degradation": str(DEGRADATION), "photographs": PHOTOGRAPHS}
    return json.dumps(about | {"kernels": found}, indent=1) + "\n"


def held_out(factor: int, supports: Sequence[int]) -> list[dict[str, Kernel]]:
    """For each photograph, the kernels fitted to the others, and the kernels with a formula."""
    by_photograph: list[dict[str, Kernel]] = [
        {name: kernel_named(name, factor) for name in _PEERS} for _ in PHOTOGRAPHS
    ]
    for support in supports:
        recipe = Recipe(factor, support, DEGRADATION)
        found = equations(recipe)
        total = sum(found, no_equations(factor, support))
        for kernels, own in zip(by_photograph, found, strict=True):
            kernels[f"fitted {support}x{support}"] = fitted_kernel(total - own, recipe, DENOMINATORS)
    return by_photograph


def scores(factor: int, by_photograph: list[dict[str, Kernel]], degradation: Degradation) -> list[dict[str, Errors]]:
    """For each photograph, the errors of its kernels."""
    return [errors_of(part, kernels, degradation) for part, kernels in zip(parts(factor), by_photograph, strict=True)]


def _row(first: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"


def _head(first: str, names: Sequence[str]) -> list[str]:
    return [_row(first, names), "|---" * (len(names) + 1) + "|"]


def _means(found: list[dict[str, Errors]]) -> list[str]:
    return [f"{mean.psnr_db:.2f} / {mean.ssim:.4f}" for mean in mean_scores(found).values()]


def tables() -> list[str]:
    """Tables of scores: all kernels for all factors; for x2 after other degradations; and for each image."""
    lines: list[str] = []
    for factor in FACTORS:
        by_photograph = held_out(factor, (3, 5, 7))
        found = scores(factor, by_photograph, DEGRADATION)
        lines += [] if lines else _head("PSNR in dB / SSIM", list(by_photograph[0]))
        lines.append(_row(f"x{factor}", _means(found)))
        if factor == 2:
            doubled, images = by_photograph, found
    lines += ["", *_head("x2 after", list(doubled[0]))]
    for name in _OTHER_DEGRADATIONS:
        lines.append(_row(name, _means(scores(2, doubled, degradation_named(name)))))
    shown = ("bilinear", "bicubic", "lanczos3", f"fitted {SUPPORT}x{SUPPORT}")
    lines += ["", *_head("x2, PSNR in dB", shown)]
    for photograph, errors in zip(PHOTOGRAPHS, images, strict=True):
        lines.append(_row(photograph.partition(".")[0], [f"{errors[name].psnr_db:.2f}" for name in shown]))
    return lines


def main(*, only_scores: bool = typer.Option(False, "--scores", help="Print the scores; write nothing.")) -> None:
    """Write the kernels, or print their scores."""
    if only_scores:
        print("\n".join(tables()))
    else:
        FITTED_FILE.write_text(document([fitted(factor) for factor in FACTORS]), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
