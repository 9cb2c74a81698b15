"""Draw a comparison as one image: crops side by side, each above its difference from the original."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from upsample_cli.atomic.files import new_file
from upsample_cli.images.model import Rows
from upsample_cli.quality.compare import Comparison, Entry
from upsample_cli.quality.pair import luma_of

_CELL, _LEAST_CELL, _GAP, _MARGIN, _LIMIT = 288, 220, 20, 28, 1900
"""Largest width of a magnified crop, least width of a cell, spaces, and largest width of a page of several columns."""

_TEXT, _LINE = 18, 26
_PAPER, _INK, _BEST, _FRAME = "#ffffff", "#14181f", "#a8441c", "#ff3b1f"
_LEAST_FRAME = 6
_MIDDLE = 128
_GAINS = (1, 2, 4, 8, 16, 32)
_USUAL = 0.95
"""The fraction of differences that must stay between black and white after the gain."""

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class _Cell:
    """Two images, one above the other, under two lines of text."""

    title: str
    subtitle: str
    upper: Image.Image
    lower: Image.Image
    is_best: bool = False


def write_sheet(comparison: Comparison, title: str, path: Path, *, overwrite: bool) -> None:
    """Write a comparison to a PNG.

    Args:
        comparison: the comparison.
        title: the first line of the page.
        path: path of the PNG.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is not set.
    """
    image = sheet(comparison, title)
    with new_file(path, overwrite=overwrite, sources=comparison.pair.sources) as file:
        image.save(file, format="PNG")


def sheet(comparison: Comparison, title: str) -> Image.Image:
    """The page: the original above the whole image, then all kernels, the closest to the original first."""
    box = comparison.box
    times = max(1, _CELL // max(box.height, box.width))
    gain = _gain(comparison)
    width = max(_LEAST_CELL, box.width * times)
    cells = list(_cells(comparison, times, gain, width))
    columns = min(len(cells), max(1, (_LIMIT - 2 * _MARGIN + _GAP) // (width + _GAP)))
    columns = math.ceil(len(cells) / math.ceil(len(cells) / columns))
    font, bold = ImageFont.load_default(_TEXT), ImageFont.load_default(_TEXT + 3)
    page_width = max(columns * (width + _GAP) - _GAP, 3 * _LEAST_CELL)
    larger, stronger = (
        f", {number} times as {what}" if number > 1 else "" for number, what in ((times, "large"), (gain, "strong"))
    )
    description = (
        f"Crops of {box}{larger}. Below each its difference from the original, in luma{stronger}: grey is none, "
        "lighter is too bright, darker too dark."
    )
    heading = [_shortened(title, bold, page_width), *_wrapped(description, font, page_width)]
    cell_height = 2 * _LINE + _GAP + box.height * times + max(cell.lower.height for cell in cells)
    top = _MARGIN + _LINE * len(heading) + _GAP
    rows = math.ceil(len(cells) / columns)
    page = Image.new("RGB", (page_width + 2 * _MARGIN, top + rows * (cell_height + _GAP) - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(heading):
        draw.text((_MARGIN, _MARGIN + number * _LINE), line, fill=_INK, font=font if number else bold)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        _draw(page, draw, cell, _MARGIN + column * (width + _GAP), top + row * (cell_height + _GAP), width)
    return page


def _cells(comparison: Comparison, times: int, gain: int, width: int) -> Iterator[_Cell]:
    yield _Cell("original", "where the crop lies", _magnified(comparison.crop, times), _overview(comparison, width))
    best = comparison.best["psnr_db"]
    for entry in comparison.entries:
        shown = np.clip(_MIDDLE + gain * _difference(comparison, entry), 0, 255).astype(np.uint8)
        score = f"{entry.errors.psnr_db:.2f} dB" if entry.errors.squared else "no error"
        ssim = "" if entry.ssim is None else f", SSIM {entry.ssim:.4f}"
        yield _Cell(
            entry.name, score + ssim, _magnified(entry.crop, times), _magnified(shown, times), entry.name in best
        )


def _difference(comparison: Comparison, entry: Entry) -> Rows:
    difference: Rows = luma_of(entry.crop).astype(np.int32) - luma_of(comparison.crop)
    return difference


def _gain(comparison: Comparison) -> int:
    """The largest of `_GAINS` with which most differences of all kernels stay between black and white."""
    strengths = np.concatenate([np.abs(_difference(comparison, entry)).ravel() for entry in comparison.entries])
    usual = float(np.quantile(strengths, _USUAL))
    return max((gain for gain in _GAINS if gain * usual < _MIDDLE), default=1)


def _magnified(pixels: Rows, times: int) -> Image.Image:
    image = Image.fromarray(pixels).convert("RGB")
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _overview(comparison: Comparison, width: int) -> Image.Image:
    """The measured piece, scaled to the width of a cell, with a frame around the crop."""
    box, measured = comparison.box, comparison.pair.box
    image = _magnified(comparison.pair.high, max(1, _CELL // max(measured.height, measured.width)))
    image.thumbnail((width, _CELL))
    scale = image.width / measured.width
    left, top = (round(offset * scale) for offset in (box.left - measured.left, box.top - measured.top))
    right, bottom = (max(_LEAST_FRAME, round(length * scale)) for length in (box.width, box.height))
    ImageDraw.Draw(image).rectangle((left, top, left + right - 1, top + bottom - 1), outline=_FRAME, width=2)
    return image


def _draw(page: Image.Image, draw: ImageDraw.ImageDraw, cell: _Cell, left: int, top: int, width: int) -> None:
    font, bold = ImageFont.load_default(_TEXT), ImageFont.load_default(_TEXT + 3)
    title = f"{cell.title} (best)" if cell.is_best else cell.title
    draw.text((left, top), _shortened(title, bold, width), fill=_BEST if cell.is_best else _INK, font=bold)
    draw.text((left, top + _LINE), cell.subtitle, fill=_INK, font=font)
    page.paste(cell.upper, (left, top + 2 * _LINE + _GAP // 2))
    page.paste(cell.lower, (left, top + 2 * _LINE + _GAP + cell.upper.height))


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _shortened(text: str, font: Font, width: int) -> str:
    """Cut the start of a text that does not fit, because the end of a path is more informative."""
    start = 0
    while font.getlength(text[start:] if start == 0 else "..." + text[start:]) > width:
        start += 1
    return text if start == 0 else "..." + text[start:]
