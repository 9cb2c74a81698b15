"""Rows of one layout made into rows of another, a band at a time: what `formats.fit` asks for, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.pictures.model import Layout, Rows


def convert_rows(rows: Rows, source: Layout, target: Layout) -> Rows:
    """Rows of layout `target`, of the same size.

    Transparency goes first, laid over white (for CMYK: no ink), then colour, then depth: each once, rounded half up.

    Args:
        rows: (rows, width, channels) as `source` says; may come back unchanged where there is nothing to do.
        source: their layout.
        target: no deeper, no more transparent; "rgb" or the same colour.

    Raises:
        ValueError: if `target` is not one that `formats.fit` answers for `source`.

    >>> half_black = np.array([[[0, 128]]], np.uint8)
    >>> convert_rows(half_black, Layout("grey", alpha=True), Layout("rgb")).tolist()
    [[[127, 127, 127]]]
    """
    gained = target.depth > source.depth or target.alpha > source.alpha
    if gained or target.colour not in {source.colour, "rgb"}:
        raise ValueError(f"{source} is not made into {target}")
    if source.alpha and not target.alpha:
        rows = _over_white(rows[..., :-1], rows[..., -1:], ink=source.colour == "cmyk")
    if source.colour != target.colour:
        colour, alpha = (rows[..., :-1], [rows[..., -1:]]) if target.alpha else (rows, [])
        rgb = np.repeat(colour, 3, axis=2) if source.colour == "grey" else _rgb_of_cmyk(colour)
        rows = np.concatenate([rgb, *alpha], axis=2) if alpha else rgb
    if target.depth < source.depth:
        rows = ((rows.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return rows


def _over_white(colour: NDArray[Any], alpha: NDArray[Any], *, ink: bool) -> Rows:
    # In 32 bits, and no more is needed: the sum is at most 65535 squared plus 32767.
    full = np.uint32(np.iinfo(colour.dtype).max)
    opacity = alpha.astype(np.uint32)
    white = 0 if ink else full * (full - opacity)
    rows: Rows = ((colour * opacity + white + full // 2) // full).astype(colour.dtype)
    return rows


def _rgb_of_cmyk(cmyk: NDArray[Any]) -> Rows:
    """What is left of white under each ink and then under the key: Pillow's arithmetic, with no profile."""
    full = np.uint32(np.iinfo(cmyk.dtype).max)
    key = full - cmyk[..., 3:].astype(np.uint32)
    # key * (full - ink) would round the other way at the half: Pillow subtracts the rounded product
    covered = (cmyk[..., :3] * key + full // 2) // full
    rows: Rows = (key - covered).astype(cmyk.dtype)
    return rows
