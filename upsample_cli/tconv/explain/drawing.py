"""Draw small arrays with Pillow, as cells with numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import UsageError
from upsample_cli.tconv.explain.grids import Grid, number_text

_CELL, _GAP, _MARGIN, _TITLE, _TEXT, _LIMIT = 36, 28, 24, 26, 15, 1400
_PAPER, _INK, _LINE, _FAINT = (255, 255, 255), (20, 24, 32), (150, 158, 170), (176, 182, 192)
_COLOURS = ((37, 99, 180), (196, 78, 40))
"""The colours of positive and of negative numbers at full strength; 0 has the colour of the background."""

Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class Panel:
    """One array with a title.

    Args:
        array: (rows, columns).
        kept: the rows and columns (start, stop) to frame.
        scale: the magnitude shown at full strength; None for the largest in the array.
    """

    title: str
    array: Grid
    kept: tuple[tuple[int, int], tuple[int, int]] | None = None
    scale: float | None = None


def check_drawable(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that `write_panels` cannot write to, before any work is done.

    Raises:
        UsageError: if the path does not end in .png.
        OutputExistsError: if the file exists and `overwrite` is not set.
        ImageError: if the file cannot be written, for example because its folder does not exist.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the image is a PNG", "give a name that ends in .png")
    check_writable(path, overwrite=overwrite)


def write_panels(rows: Sequence[tuple[str, Sequence[Panel]]], path: Path, *, overwrite: bool) -> None:
    """Write rows of panels with headings to a PNG.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is not set.
    """
    image = panels(rows)
    with new_file(path, overwrite=overwrite) as file:
        image.save(file, format="PNG")


def panels(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Image.Image:
    """Draw rows of panels. Long rows are wrapped."""
    font, bold = ImageFont.load_default(_TEXT), ImageFont.load_default(_TEXT + 3)
    lines: list[tuple[str, list[Panel]]] = []
    for heading, row in rows:
        lines.append((heading, []))
        for panel in row:
            if lines[-1][1] and _width([*lines[-1][1], panel], font) > _LIMIT:
                lines.append(("", []))
            lines[-1][1].append(panel)
    width = max(max(_width(line, font), math.ceil(bold.getlength(heading))) for heading, line in lines) + 2 * _MARGIN
    heights = [(_TITLE + 8 if heading else 0) + _height(line) for heading, line in lines]
    image = Image.new("RGB", (width, sum(heights) + 2 * _MARGIN), _PAPER)
    draw = ImageDraw.Draw(image)
    top = _MARGIN
    for (heading, line), height in zip(lines, heights, strict=True):
        if heading:
            draw.text((_MARGIN, top), heading, fill=_INK, font=bold)
        left, start = _MARGIN, top + (_TITLE + 8 if heading else 0)
        for panel in line:
            _draw(draw, panel, left, start, font)
            left += _panel_width(panel, font) + _GAP
        top += height
    return image


def _cell_width(panel: Panel, font: Font) -> int:
    width: int = max(_CELL, *(math.ceil(font.getlength(number_text(value))) + 12 for value in panel.array.flat))
    return width


def _panel_width(panel: Panel, font: Font) -> int:
    return max(_cell_width(panel, font) * int(panel.array.shape[1]), math.ceil(font.getlength(panel.title)))


def _width(line: Sequence[Panel], font: Font) -> int:
    return sum(_panel_width(panel, font) + _GAP for panel in line)


def _height(line: Sequence[Panel]) -> int:
    return _TITLE + max((panel.array.shape[0] for panel in line), default=0) * _CELL + _GAP


def _draw(draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int, font: Font) -> None:
    draw.text((left, top), panel.title, fill=_INK, font=font)
    top += _TITLE
    cell = _cell_width(panel, font)
    largest = panel.scale or max((abs(float(value)) for value in panel.array.flat), default=0.0) or 1.0
    for row, values in enumerate(panel.array):
        for column, value in enumerate(values):
            x, y = left + column * cell, top + row * _CELL
            fill = _colour(float(value) / largest)
            draw.rectangle((x, y, x + cell, y + _CELL), fill=fill, outline=_LINE)
            ink = _FAINT if value == 0 else _INK if sum(fill) > 420 else _PAPER
            draw.text((x + cell / 2, y + _CELL / 2), number_text(float(value)), fill=ink, font=font, anchor="mm")
    if panel.kept is not None:
        (first, last), (start, stop) = panel.kept
        box = (left + start * cell, top + first * _CELL, left + stop * cell, top + last * _CELL)
        draw.rectangle(box, outline=_INK, width=3)


def _colour(strength: float) -> tuple[int, int, int]:
    colour, share = _COLOURS[strength < 0], min(abs(strength), 1.0)
    red, green, blue = (round(paper + (full - paper) * share) for paper, full in zip(_PAPER, colour, strict=True))
    return red, green, blue
