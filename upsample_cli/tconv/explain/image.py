"""Draw the steps of an explanation as an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from upsample_cli.errors import UsageError
from upsample_cli.tconv.explain.drawing import Cells, Panel, Row, write_panels
from upsample_cli.tconv.explain.explain import WAYS, Explanation
from upsample_cli.tconv.explain.grids import Grid, as_planes

_MOST_CELLS = 20_000
"""The most cells of all panels together; an image with more is too large to look at."""


def write_image(explanation: Explanation, path: Path, *, overwrite: bool = False) -> None:
    """Draw input, kernel, every contribution, their sum, zero insertion, the matrix and the output into a PNG.

    Raises:
        UsageError: if the image would be too large to look at.
        OutputExistsError: if the file exists and `overwrite` is not set.
    """
    rows = _rows(explanation)
    cells = sum(panel.array.size for _, panels in rows for panel in panels)
    if cells > _MOST_CELLS:
        raise UsageError(f"{cells} cells are too many to look at", "use a smaller example")
    write_panels(rows, path, overwrite=overwrite)


def kept_cells(explanation: Explanation) -> list[Cells | None]:
    """What padding leaves of each plane of the canvas; None for a plane that it crops."""
    parts = [(part.start, part.stop) for part in explanation.example.kept[1:]]
    cells = ((0, 1), parts[0]) if len(parts) == 1 else (parts[-2], parts[-1])
    depth = explanation.canvas.shape[1] if len(parts) == 3 else 1
    first, last = parts[0] if len(parts) == 3 else (0, 1)
    return [cells if first <= plane % depth < last else None for plane in range(len(explanation.canvas) * depth)]


def _rows(explanation: Explanation) -> list[Row]:
    shown = explanation.example
    largest = float(np.abs(explanation.canvas).max())
    kept = kept_cells(explanation)
    headings = [f"({letter}) {meaning}" for letter, meaning in zip("abcde", WAYS.values(), strict=True)]
    return [
        (
            str(shown.layer),
            [*_panels("X", shown.input), *_panels("K", shown.kernel.reshape(-1, *shown.kernel.shape[2:]))],
        ),
        (headings[0], [panel for title, canvas in explanation.titled for panel in _panels(title, canvas, largest)]),
        (
            "sum; the frame is what padding leaves" if explanation.crops else "sum",
            [
                Panel(title, plane, cells if explanation.crops else None, scale=largest)
                for (title, plane), cells in zip(planes("sum", explanation.canvas), kept, strict=True)
            ],
        ),
        (
            headings[1],
            [
                *_panels("X with zeros", explanation.inserted),
                *_panels("flipped K", explanation.flipped.reshape(-1, *explanation.flipped.shape[2:])),
                *_panels("output", explanation.outputs["insertion"], largest),
            ],
        ),
        (
            headings[2],
            [
                Panel("transpose of the convolution's matrix", explanation.matrix.T),
                Panel("X", shown.input.reshape(-1, 1)),
                Panel("output", explanation.output.reshape(-1, 1), scale=largest),
            ],
        ),
        (f"{headings[3]}; {headings[4]}", _panels("output", explanation.outputs["layer"], largest)),
    ]  # fmt: skip


def planes(title: str, array: Grid) -> list[tuple[str, Grid]]:
    """A title and rows of numbers for each channel, and with three axes for each depth, of (channels, *sizes)."""
    several, depth = as_planes(array), array.shape[1] if array.ndim == 4 else 1
    names = []
    for number in range(len(several)):
        channel = f" #{number // depth}" if len(array) > 1 else ""
        names.append(title + channel + (f" depth {number % depth}" if array.ndim == 4 else ""))
    return list(zip(names, several, strict=True))


def _panels(title: str, array: Grid, scale: float | None = None) -> list[Panel]:
    return [Panel(name, plane, scale=scale) for name, plane in planes(title, array)]
