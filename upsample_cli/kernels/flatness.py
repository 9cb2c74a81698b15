"""Warn if flat images do not stay flat with given weights. numpy, no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from upsample_cli.geometry.sizes import MAX_FACTOR

_UNSEEN = 2.0**-9
"""Phases that differ from 1 by less are accepted: they change white by less than half of one of 255 levels."""


def unflat_warning(weight: NDArray[np.float64], factor: int) -> str | None:
    """A warning if a flat image does not stay flat, with the factors at which it does; None if it stays flat.

    The sum of a phase is the value of its outputs if all inputs are 1 in every channel, as in a flat grey image.

    Args:
        weight: (C, 1, k, k) with groups = C, or (C, C, k, k), dense; `k - factor` is even and not negative.
        factor: the stride.

    >>> sixteenths = np.outer([1, 3, 3, 1], [1, 3, 3, 1])[None, None] / 16
    >>> unflat_warning(sixteenths, 2) is None
    True
    >>> print(unflat_warning(sixteenths, 4))  # doctest: +NORMALIZE_WHITESPACE
    at factor 4 the weights' phases sum to 0.0625 to 0.5625, not to 1: the image gets darker and patterned; they suit
    factor 2
    """
    if not weight.any():
        return "the weights are all 0: the image gets black"
    planes = weight.sum(axis=0) if weight.shape[1] > 1 else weight[:, 0]
    sums = _phase_sums(planes, factor)
    if _is_flat(sums):
        return None
    least, most = (f"{value:.4g}" for value in (sums.min(), sums.max()))
    effects = ["darker"] * bool(sums.max() <= 1 + _UNSEEN) + ["brighter"] * bool(sums.min() >= 1 - _UNSEEN)
    effects += ["patterned"] * (least != most)
    sums_text = least if least == most else f"{least} to {most}"
    size = planes.shape[-1]
    candidates = range(2 - size % 2, min(size, MAX_FACTOR) + 1, 2)
    suited = [candidate for candidate in candidates if _is_flat(_phase_sums(planes, candidate))]
    advice = f"; they suit factor {_listed(suited)}" if suited else ""
    effect = " and ".join(effects)
    return f"at factor {factor} the weights' phases sum to {sums_text}, not to 1: the image gets {effect}{advice}"


def _phase_sums(planes: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """(channels, k, k) -> (channels, factor, factor)."""
    channels, size, _ = planes.shape
    more = -size % factor
    padded = np.pad(planes, ((0, 0), (0, more), (0, more)))
    times = (size + more) // factor
    sums: NDArray[np.float64] = padded.reshape(channels, times, factor, times, factor).sum(axis=(1, 3))
    return sums


def _is_flat(sums: NDArray[np.float64]) -> bool:
    return bool((np.abs(sums - 1) <= _UNSEEN).all())


def _listed(factors: Sequence[int]) -> str:
    return ", ".join(map(str, factors[:-1])) + " or " * (len(factors) > 1) + str(factors[-1])
