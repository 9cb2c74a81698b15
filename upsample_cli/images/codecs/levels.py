"""Stored numbers as levels of 8 or 16 bits, and straight alpha from premultiplied alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import Loss
from upsample_cli.images.model import Rows

_ABOVE_ALPHA = Loss("range", "light without opacity (colour above its alpha, which is stored multiplied) is left out")


def make_straight(rows: Rows, losses: set[Loss]) -> None:
    """Divide the colour of rows by their alpha, in place.

    Args:
        rows: rows whose last channel is alpha, with premultiplied colour.
        losses: a loss is added here if straight alpha cannot represent the pixels.
    """
    if _exceeds_alpha(rows[..., :-1], rows[..., -1:]):
        losses.add(_ABOVE_ALPHA)
    rows[..., :-1] = _straight(rows[..., :-1], rows[..., -1:])


def as_numbers(stored: NDArray[Any]) -> NDArray[Any]:
    """Convert bool (single bits) to numbers. numpy would treat a bool array used as an index as a mask."""
    return stored.view(np.uint8) if stored.dtype == bool else stored


def scaled(stored: NDArray[Any], bits: int) -> NDArray[Any]:
    """Scale whole numbers of `bits` bits to the full range of 8 or 16 bits, rounded half up. Floats do not change."""
    if not bits:
        return stored
    stored = as_numbers(stored)
    if bits in {8, 16}:
        return stored
    most, dtype = 2**bits - 1, np.uint8 if bits < 8 else np.uint16
    levels: NDArray[Any] = ((stored.astype(np.uint32) * np.iinfo(dtype).max + most // 2) // most).astype(dtype)
    return levels


def _exceeds_alpha(colour: NDArray[Any], alpha: NDArray[Any]) -> bool:
    """Whether premultiplied colour is larger than alpha somewhere, so that straight alpha cannot represent it.

    Floating point can represent it except where alpha is 0.
    """
    if colour.dtype.kind == "f":
        return bool(((colour != 0) & (alpha == 0)).any())
    return bool((colour > alpha).any())


def _straight(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide colour by alpha. Where alpha is 0, colour becomes 0."""
    if colour.dtype.kind == "f":
        with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
            quotient: NDArray[Any] = np.divide(colour, alpha, out=np.zeros_like(colour), where=alpha != 0)
        return quotient
    full = np.uint64(np.iinfo(colour.dtype).max)
    divisor = np.maximum(alpha, 1).astype(np.uint64)
    rounded = (2 * full * colour + divisor) // (2 * divisor)
    divided: NDArray[Any] = np.where(alpha == 0, 0, np.minimum(rounded, full)).astype(colour.dtype)
    return divided
