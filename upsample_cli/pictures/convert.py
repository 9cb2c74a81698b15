"""Rows of one layout made into rows of another, a band at a time: what `formats.fit` asks for, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.pictures.model import Layout, Rows


def convert_rows(rows: Rows, source: Layout, target: Layout, icc_profile: bytes | None = None) -> Rows:
    """Rows of layout `target`, of the same size.

    A gain in depth goes first (8 bits to 16: times 257, exactly). Then transparency, laid over white (for CMYK: no
    ink), then colour, then a loss of depth: each once, rounded half up. Going from 16 bits to 8 after the layer's own
    rounding is still rounding once: 65535 / 255 is odd, so no half of an 8-bit step falls between two 16-bit values.
    Of floating point, 0 to 1 is taken for black to white; what lies outside is cut off, and NaN becomes 0.

    Args:
        rows: (rows, width, channels) as `source` says; may come back unchanged where there is nothing to do.
        source: their layout.
        target: no more transparent; "rgb" or the same colour; not 32 bits deep unless `source` is.
        icc_profile: of `source`. CMYK of whole numbers becomes sRGB through it, or, if there is none that a transform
            can be made of, what is left of white under the inks. Of no meaning otherwise.

    Raises:
        ValueError: if `target` is not one that `formats.fit` answers for `source`.

    >>> half_black = np.array([[[0, 128]]], np.uint8)
    >>> convert_rows(half_black, Layout("grey", alpha=True), Layout("rgb")).tolist()
    [[[127, 127, 127]]]
    """
    gained = target.depth > max(source.depth, 16) or target.alpha > source.alpha
    if gained or target.colour not in {source.colour, "rgb"}:
        raise ValueError(f"{source} is not made into {target}")
    if source.depth == 8 < target.depth:
        rows = rows.astype(np.uint16) * np.uint16(257)
    if source.alpha and not target.alpha:
        rows = _over_white(rows[..., :-1], rows[..., -1:], ink=source.colour == "cmyk")
    if source.colour != target.colour:
        colour, alpha = (rows[..., :-1], [rows[..., -1:]]) if target.alpha else (rows, [])
        rgb = np.repeat(colour, 3, axis=2) if source.colour == "grey" else _rgb_of_cmyk(colour, icc_profile)
        rows = np.concatenate([rgb, *alpha], axis=2) if alpha else rgb
    if target.depth < source.depth:
        rows = _whole_numbers(rows, target) if source.depth == 32 else _eight_bits(rows)
    return rows


def _eight_bits(rows: Rows) -> Rows:
    reduced: Rows = ((rows.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return reduced


def _whole_numbers(rows: Rows, target: Layout) -> Rows:
    """In float64, in which no product of a float32 and 65535 is rounded."""
    with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
        bounded = np.nan_to_num(rows.astype(np.float64), nan=0.0).clip(0, 1)
    whole: Rows = np.floor(bounded * np.iinfo(target.dtype).max + 0.5).astype(target.dtype)
    return whole


def _over_white(colour: NDArray[Any], alpha: NDArray[Any], *, ink: bool) -> Rows:
    if colour.dtype.kind == "f":
        with np.errstate(all="ignore"):  # infinities and NaN are pixels like others
            blended: Rows = colour * alpha + (0 if ink else 1 - alpha)
        return blended
    # In 32 bits, and no more is needed: the sum is at most 65535 squared plus 32767.
    full = np.uint32(np.iinfo(colour.dtype).max)
    opacity = alpha.astype(np.uint32)
    white = 0 if ink else full * (full - opacity)
    rows: Rows = ((colour * opacity + white + full // 2) // full).astype(colour.dtype)
    return rows


def _rgb_of_cmyk(cmyk: NDArray[Any], icc_profile: bytes | None) -> Rows:
    """Without a profile, what is left of white under each ink and then under the key: Pillow's arithmetic."""
    if cmyk.dtype.kind == "f":
        with np.errstate(all="ignore"):
            rgb: Rows = (1 - cmyk[..., :3]) * (1 - cmyk[..., 3:])
        return rgb
    if icc_profile is not None:
        from upsample_cli.pictures.colour import rgb_of_cmyk, srgb_of_profile  # Pillow, and LittleCMS with it

        transform = srgb_of_profile(icc_profile)
        if transform is not None:
            return rgb_of_cmyk(cmyk, transform)
    full = np.uint32(np.iinfo(cmyk.dtype).max)
    key = full - cmyk[..., 3:].astype(np.uint32)
    # key * (full - ink) would round the other way at the half: Pillow subtracts the rounded product
    covered = (cmyk[..., :3] * key + full // 2) // full
    rows: Rows = (key - covered).astype(cmyk.dtype)
    return rows
