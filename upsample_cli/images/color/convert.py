"""Convert rows from one layout to another, a band at a time. `nearest_form` chooses the layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.color.lab import level_steps, white
from upsample_cli.images.model import LAB_COLOURS, Layout, Rows


def convert_rows(rows: Rows, source: Layout, target: Layout, icc_profile: bytes | None = None) -> Rows:
    """Convert rows to layout `target`, with the same size.

    The order is: a gain in depth (8 to 16 bits: times 257, or exactly as `lab.level_steps` says), transparency over
    white (CMYK: no ink), colour, a loss of depth. Each is done once, and rounds half up.

    Rounding to 16 bits in the layer and then to 8 bits gives the same as rounding once: a step of 8 bits is 257 steps
    of 16 bits, which is odd, so every boundary between two 8-bit levels is also one between two 16-bit levels. For a*
    and b* it is 256 steps, so a value just below a boundary can be rounded up twice.

    For floating point, 0 to 1 is black to white; values outside are clipped, and NaN becomes 0.

    Args:
        rows: (rows, width, channels) in layout `source`; returned unchanged if the layouts are equal.
        source: layout of `rows`.
        target: layout of the result. Its colour is "rgb" or that of `source`; it has alpha only if `source` has; it has
            32 bits only if `source` has.
        icc_profile: profile of `source`, used to convert CMYK of whole numbers to sRGB. Without a usable profile, CMYK
            becomes white multiplied by the part that each ink leaves. Ignored for other colours.

    Raises:
        ValueError: if `output_form.nearest_form` never chooses `target` for `source`.

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
        rows = _over_white(rows[..., :-1], rows[..., -1:], _white(source._replace(depth=depth)))
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
    """Convert floating-point levels to whole numbers. float64 holds the product of a float32 and 65535 exactly."""
    with np.errstate(invalid="ignore"):  # a signalling NaN would warn
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
        with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
            blended: Rows = colour * alpha + paper * (1 - alpha)
        return blended
    # 32 bits suffice: the sum is at most 65535 squared plus 32767.
    full = np.uint32(np.iinfo(colour.dtype).max)
    opacity = alpha.astype(np.uint32)
    rows: Rows = ((colour * opacity + paper * (full - opacity) + full // 2) // full).astype(colour.dtype)
    return rows


def _rgb(colour: NDArray[Any], layout: Layout, icc_profile: bytes | None) -> Rows:
    if layout.colour == "grey":
        return np.repeat(colour, 3, axis=2)
    if layout.colour in LAB_COLOURS:
        from upsample_cli.images.color.profiles import rgb_of_lab  # imports imagecodecs and LittleCMS

        return rgb_of_lab(colour, layout)
    return _rgb_of_cmyk(colour, icc_profile)


def _rgb_of_cmyk(cmyk: NDArray[Any], icc_profile: bytes | None) -> Rows:
    """Without a profile: white times the part that each ink leaves, times the part that black leaves, as in Pillow."""
    if cmyk.dtype.kind == "f":
        with np.errstate(all="ignore"):
            rgb: Rows = (1 - cmyk[..., :3]) * (1 - cmyk[..., 3:])
        return rgb
    if icc_profile is not None:
        from upsample_cli.images.color.profiles import rgb_of_cmyk  # imports Pillow and LittleCMS

        through = rgb_of_cmyk(cmyk, icc_profile)
        if through is not None:
            return through
    full = np.uint32(np.iinfo(cmyk.dtype).max)
    key = full - cmyk[..., 3:].astype(np.uint32)
    # Pillow subtracts the rounded product; key * (full - ink) would round halves the other way.
    covered = (cmyk[..., :3] * key + full // 2) // full
    rows: Rows = (key - covered).astype(cmyk.dtype)
    return rows
