"""How close an enlarged image is to the photograph: PSNR and SSIM of luma, summed over pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upsample_cli.quality.degrade import Luma
from upsample_cli.quality.pieces import Piece

LARGEST_PSNR_DB = 100.0
"""The score of a part without errors, so that a mean over images is finite."""

_REACH = 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BELL = np.exp(-(np.arange(-_REACH, _REACH + 1) ** 2) / (2 * 1.5**2))
_WINDOW = _BELL / _BELL.sum()
"""The window and the constants of SSIM. Source: Wang, Bovik, Sheikh & Simoncelli 2004, Image quality assessment."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Sums over the pieces of a part.

    Args:
        squared: sum of squared errors in levels, over `pixels` pixels.
        similarity: sum of SSIM, over `windows` windows of 11x11 pixels that are completely inside the image.
    """

    squared: int = 0
    pixels: int = 0
    similarity: float = 0.0
    windows: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.squared + other.squared,
            self.pixels + other.pixels,
            self.similarity + other.similarity,
            self.windows + other.windows,
        )

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio in dB, at most `LARGEST_PSNR_DB`."""
        if self.squared == 0:
            return LARGEST_PSNR_DB
        return min(LARGEST_PSNR_DB, 10 * math.log10(255**2 * self.pixels / self.squared))

    @property
    def ssim(self) -> float:
        """Mean structural similarity; 1 for an image smaller than one window."""
        return self.similarity / self.windows if self.windows else 1.0


def errors(enlarged: Luma, piece: Piece) -> Errors:
    """The errors of the rows of a piece. `enlarged` also contains the enlarged margins, which are not counted."""
    factor = piece.factor
    top, bottom = piece.above * factor, len(piece.high) - piece.below * factor
    difference = enlarged[top:bottom].astype(np.int64) - piece.high[top:bottom]
    # Windows around the rows of the piece extend this far into the margins.
    around = slice(max(0, top - _REACH), bottom + _REACH)
    map_ = ssim_map(enlarged[around], piece.high[around])
    return Errors(int(np.sum(difference**2)), difference.size, float(map_.sum()), map_.size)


def ssim_map(first: Luma, second: Luma) -> NDArray[np.float64]:
    """Structural similarity of each window of 11x11 pixels, weighted by a Gaussian with standard deviation 1.5.

    Two images (height, width) -> (height - 10, width - 10), empty if an image is smaller than a window.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return alike / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in (0, 1):
        count = values.shape[axis] - 2 * _REACH
        if count <= 0:
            return np.empty((0, 0))
        parts = (np.take(values, range(at, at + count), axis) * weight for at, weight in enumerate(_WINDOW))
        values = sum(parts, start=np.zeros(()))
    return values
