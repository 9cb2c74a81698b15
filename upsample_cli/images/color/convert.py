"""Conversion of rows from one layout to another, a band at a time: the conversions that `nearest_form` chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.color.lab import level_steps, white
from upsample_cli.images.model import LAB_COLOURS, Layout, Rows


def convert_rows(rows: Rows, source: Layout, target: Layout, icc_profile: bytes | None = None) -> Rows:
    """Rows of layout `target`, of the same size.

    A gain in depth goes first (8 bits to 16: times 257, or what `lab.level_steps` says, exactly). Then transparency,
    laid over white (for CMYK: no ink), then colour, then a loss of depth: each once, rounded half up. Going from 16
    bits to 8 after the layer's own rounding is still rounding once: 65535 / 255 is odd, so no half of an 8-bit step
    falls between two 16-bit values. (Of a* and b* it is 256: what is a hair less than half a step is rounded up twice.)
    Of floating point, 0 to 1 is taken for black to white; values outside are clipped, and NaN becomes 0.

    Args:
        rows: (rows, width, channels) in layout `source`; returned unchanged if there is nothing to do.
        source: their layout.
        target: no more transparent; "rgb" or the same colour; not 32 bits deep unless `source` is.
        icc_profile: of `source`. CMYK of whole numbers becomes sRGB through it. Without a usable profile it becomes
            white multiplied by what the inks leave. Ignored for other colours.

    Raises:
        ValueError: if `target` is not one that `output_form.nearest_form` answers for `source`.

    >>> half_black = np.array([[[0, 128]]], np.uint8)
    >>> convert_rows(half_black, Layout("grey", alpha=True), Layout("rgb")).tolist()
    [[[127, 127, 127]]]
    """
    gained = target.depth > max(source.depth, 16) or target.alpha > source.alpha
    if gained or target.colour not in {source.colour, "rgb"}:
        raise ValueError(f"{source} is not made into {target}")
    depth = max(source.depth, target.depth)
    if source.depth == 8 < target.depth:
        rows = rows * level_steps(source).astype(np.uint16)
    if source.alpha and not target.alpha:
        rows = _over_white(rows[..., :-1], rows[..., -1:], _white(replace(source, depth=depth)))
    if source.colour != target.colour:
        colour, alpha = (rows[..., :-1], [rows[..., -1:]]) if target.alpha else (rows, [])
        rgb = _rgb(colour, Layout(source.colour, depth=depth), icc_profile)
        rows = np.concatenate([rgb, *alpha], axis=2) if alpha else rgb
    if target.depth < source.depth:
        rows = _whole_numbers(rows, target) if source.depth == 32 else _eight_bits(rows, target)
    return rows


def _eight_bits(rows: Rows, target: Layout) -> Rows:
    steps = level_steps(target)
    reduced: Rows = np.minimum((rows + steps // 2) // steps, 255).astype(np.uint8)
    return reduced


def _whole_numbers(rows: Rows, target: Layout) -> Rows:
    """Levels of floating point as whole numbers, computed in float64, which holds float32 times 65535 exactly."""
    with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
        bounded = np.nan_to_num(rows.astype(np.float64), nan=0.0).clip(0, 1)
    whole: Rows = np.floor(bounded * np.iinfo(target.dtype).max + 0.5).astype(target.dtype)
    return whole


def _white(layout: Layout) -> NDArray[Any]:
    if layout.colour in LAB_COLOURS:
        return white(layout)
    full = 1 if layout.depth == 32 else np.iinfo(layout.dtype).max
    return np.array(0 if layout.colour == "cmyk" else full, np.float32 if layout.depth == 32 else np.uint32)


def _over_white(colour: NDArray[Any], alpha: NDArray[Any], paper: NDArray[Any]) -> Rows:
    if colour.dtype.kind == "f":
        with np.errstate(all="ignore"):  # infinities and NaN are pixels like others
            blended: Rows = colour * alpha + paper * (1 - alpha)
        return blended
    # In 32 bits, and no more is needed: the sum is at most 65535 squared plus 32767.
    full = np.uint32(np.iinfo(colour.dtype).max)
    opacity = alpha.astype(np.uint32)
    rows: Rows = ((colour * opacity + paper * (full - opacity) + full // 2) // full).astype(colour.dtype)
    return rows


def _rgb(colour: NDArray[Any], layout: Layout, icc_profile: bytes | None) -> Rows:
    if layout.colour == "grey":
        return np.repeat(colour, 3, axis=2)
    if layout.colour in LAB_COLOURS:
        from upsample_cli.images.color.profiles import rgb_of_lab  # imagecodecs, and LittleCMS with it

        return rgb_of_lab(colour, layout)
    return _rgb_of_cmyk(colour, icc_profile)


def _rgb_of_cmyk(cmyk: NDArray[Any], icc_profile: bytes | None) -> Rows:
    """Without a profile, white multiplied by what each ink and then the key leave of it: Pillow's arithmetic."""
    if cmyk.dtype.kind == "f":
        with np.errstate(all="ignore"):
            rgb: Rows = (1 - cmyk[..., :3]) * (1 - cmyk[..., 3:])
        return rgb
    if icc_profile is not None:
        from upsample_cli.images.color.profiles import rgb_of_cmyk  # Pillow, and LittleCMS with it

        through = rgb_of_cmyk(cmyk, icc_profile)
        if through is not None:
            return through
    full = np.uint32(np.iinfo(cmyk.dtype).max)
    key = full - cmyk[..., 3:].astype(np.uint32)
    # key * (full - ink) would round the other way at the half: Pillow subtracts the rounded product
    covered = (cmyk[..., :3] * key + full // 2) // full
    rows: Rows = (key - covered).astype(cmyk.dtype)
    return rows
