"""Draw small arrays as cells with numbers: as a PNG, or as frames of an animation."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import UsageError
from upsample_cli.tconv.explain.grids import Grid, number_text

_CELL, _GAP, _MARGIN, _TITLE, _TEXT, _HEADING, _LIMIT = 36, 28, 24, 26, 15, 18, 1400
_PAPER, _INK, _LINE, _FAINT = (255, 255, 255), (20, 24, 32), (150, 158, 170), (176, 182, 192)
_COLOURS = ((37, 99, 180), (196, 78, 40))
"""The colours of positive and of negative numbers at full strength; 0 has the colour of the background."""

Colour: TypeAlias = tuple[int, int, int]
Cells: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Rows and columns of an array, each (start, stop)."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One array with a title.

    Args:
        array: (rows, columns).
        kept: the cells to frame, those that padding leaves.
        scale: the magnitude shown at full strength; None for the largest in the array.
        marked: the row and the column of a cell to frame.
        widest: numbers for which the cells must be wide enough; None for those of the array.
    """

    title: str
    array: Grid
    kept: Cells | None = None
    scale: float | None = None
    marked: tuple[int, int] | None = None
    widest: Grid | None = None


Row: TypeAlias = tuple[str, Sequence[Panel]]
"""A heading and panels side by side."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    fill: Colour | None = None
    line: Colour = _INK
    width: int = 1


@dataclass(frozen=True, slots=True)
class Words:
    """A text. (x, y) is its upper left corner, or its middle if it is centred."""

    x: float
    y: float
    text: str
    fill: Colour = _INK
    size: int = _TEXT
    is_centred: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes in the order in which they are drawn on a white background, and the size in pixels."""

    width: int
    height: int
    shapes: Sequence[Box | Words]


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


def write_panels(rows: Sequence[Row], path: Path, *, overwrite: bool) -> None:
    """Write rows of panels with headings to a PNG.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is not set.
    """
    image = painted(arranged(rows))
    with new_file(path, overwrite=overwrite) as file:
        image.save(file, format="PNG")


def painted(drawing: Drawing) -> Image.Image:
    """The drawing as pixels."""
    image = Image.new("RGB", (drawing.width, drawing.height), _PAPER)
    draw = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, Box):
            place = (shape.left, shape.top, shape.right, shape.bottom)
            draw.rectangle(place, fill=shape.fill, outline=shape.line, width=shape.width)
        else:
            anchor = "mm" if shape.is_centred else None
            draw.text((shape.x, shape.y), shape.text, fill=shape.fill, font=_font(shape.size), anchor=anchor)
    return image


def arranged(rows: Sequence[Row]) -> Drawing:
    """Arrange rows of panels below each other. Long rows are wrapped."""
    lines: list[tuple[str, list[Panel]]] = []
    for heading, row in rows:
        lines.append((heading, []))
        for panel in row:
            if lines[-1][1] and _width([*lines[-1][1], panel]) > _LIMIT:
                lines.append(("", []))
            lines[-1][1].append(panel)
    width = max(max(_width(line), _text_width(heading, _HEADING)) for heading, line in lines) + 2 * _MARGIN
    shapes = list[Box | Words]()
    top = _MARGIN
    for heading, line in lines:
        if heading:
            shapes.append(Words(_MARGIN, top, heading, size=_HEADING))
        left, start = _MARGIN, top + (_TITLE + 8 if heading else 0)
        for panel in line:
            shapes += _shapes(panel, left, start)
            left += _panel_width(panel) + _GAP
        top = start + _height(line)
    return Drawing(width, top + _MARGIN, shapes)


@functools.cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=2**14)
def _text_width(text: str, size: int = _TEXT) -> int:
    return math.ceil(_font(size).getlength(text))


def _cell_width(panel: Panel) -> int:
    numbers = panel.array if panel.widest is None else panel.widest
    width: int = max(_CELL, *(_text_width(number_text(value)) + 12 for value in numbers.flat))
    return width


def _panel_width(panel: Panel) -> int:
    return max(_cell_width(panel) * int(panel.array.shape[1]), _text_width(panel.title))


def _width(line: Sequence[Panel]) -> int:
    return sum(_panel_width(panel) + _GAP for panel in line)


def _height(line: Sequence[Panel]) -> int:
    return _TITLE + max((panel.array.shape[0] for panel in line), default=0) * _CELL + _GAP


def _shapes(panel: Panel, left: int, top: int) -> Iterator[Box | Words]:
    yield Words(left, top, panel.title)
    top += _TITLE
    cell = _cell_width(panel)
    largest = panel.scale or max((abs(float(value)) for value in panel.array.flat), default=0.0) or 1.0
    for row, values in enumerate(panel.array):
        for column, value in enumerate(values):
            x, y = left + column * cell, top + row * _CELL
            fill = _colour(float(value) / largest)
            yield Box(x, y, x + cell, y + _CELL, fill, _LINE)
            ink = _FAINT if value == 0 else _INK if sum(fill) > 420 else _PAPER
            yield Words(x + cell / 2, y + _CELL / 2, number_text(float(value)), ink, is_centred=True)
    frames = [panel.kept] if panel.kept is not None else []
    if panel.marked is not None:
        row, column = panel.marked
        frames.append(((row, row + 1), (column, column + 1)))
    for (first, last), (start, stop) in frames:
        yield Box(left + start * cell, top + first * _CELL, left + stop * cell, top + last * _CELL, width=3)


def _colour(strength: float) -> Colour:
    colour, share = _COLOURS[strength < 0], min(abs(strength), 1.0)
    red, green, blue = (round(paper + (full - paper) * share) for paper, full in zip(_PAPER, colour, strict=True))
    return red, green, blue
