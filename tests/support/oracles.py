"""Enlarged pixels computed independently: geometry and integers, only numpy, nothing from the package.

An output sample is a point on the input's axis, given by the positions of pixel centres. Its value is on the line
between the two input samples around it: no kernel, no taps, no convolution, no floating point. For the other kernels,
it is the sum of the input samples around it, weighted by the kernel's profile at their distances, in integers or
fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_PAD_MODES = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap", "zeros": "constant"}


def expected_pixels(
    pixels: Array, factor: int, *, kernel: str = "bilinear", border: str = "replicate", has_alpha: bool = False
) -> Array:
    """The enlarged pixels of (height, width, channels) unsigned integers: exact values, rounded half up.

    The largest number is `2 * 65535**2 * (2*64)**2 + ...` < 2**48, far from the end of int64.
    """
    numbers = pixels.astype(np.int64)
    if kernel in CUBICS:
        enlarged = _weighted_by(exact_weights(CUBICS[kernel], factor))
    else:
        enlarged = {"bilinear": _bilinear_sums, "nearest": _nearest_sums}[kernel]
    return _finished(numbers, pixels.dtype, lambda amounts: enlarged(amounts, factor, border), has_alpha)


def weighted_pixels(
    pixels: Array, factor: int, weights: Array, total: int, *, border: str = "replicate", has_alpha: bool = False
) -> Array:
    """The enlarged pixels for integer weights with this total; see `_weighted_by` for their shape."""
    enlarged = _weighted_by((weights, total))
    numbers = pixels.astype(np.int64)
    return _finished(numbers, pixels.dtype, lambda amounts: enlarged(amounts, factor, border), has_alpha)


def _finished(numbers: Array, dtype: Any, enlarged: Callable[[Array], tuple[Array, int]], has_alpha: bool) -> Array:
    """Exact quotients, rounded half up and then clipped to the range of the pixels."""
    largest = int(np.iinfo(dtype).max)
    if not has_alpha:
        sums, total = enlarged(numbers)
        return rounded_half_up(sums, total).clip(0, largest).astype(dtype)
    alpha = numbers[..., -1:]
    colour_sums, _ = enlarged(numbers[..., :-1] * alpha)
    alpha_sums, total = enlarged(alpha)
    colour = np.where(alpha_sums <= 0, 0, rounded_half_up(colour_sums, np.maximum(alpha_sums, 1)))
    found = np.concatenate([colour, rounded_half_up(alpha_sums, total)], axis=2)
    return found.clip(0, largest).astype(dtype)


def rounded_half_up(dividend: Array, divisor: Array | int) -> Array:
    """`floor(dividend / divisor + 1/2)` in integers."""
    return (2 * dividend + divisor) // (2 * divisor)


def _bilinear_sums(numbers: Array, factor: int, border: str) -> tuple[Array, int]:
    """Interpolated values multiplied by a factor, and that factor."""
    outside = np.pad(numbers, ((1, 1), (1, 1), (0, 0)), mode=_PAD_MODES[border])
    left, weight = _line(numbers.shape[0], factor)
    rows = outside[left] * (2 * factor - weight)[:, None, None] + outside[left + 1] * weight[:, None, None]
    left, weight = _line(numbers.shape[1], factor)
    sums = rows[:, left] * (2 * factor - weight)[:, None] + rows[:, left + 1] * weight[:, None]
    return sums, (2 * factor) ** 2


def _line(length: int, factor: int) -> tuple[Array, Array]:
    """For each output sample the input sample to its left, counted with the padding, and the weight of the next one.

    Output sample o has its centre at `(o + 1/2) / factor - 1/2` input samples, which is `(2o + 1 - factor)` counted in
    parts of `1 / (2*factor)`.
    """
    parts = 2 * np.arange(length * factor) + 1 - factor
    return parts // (2 * factor) + 1, parts % (2 * factor)


def _nearest_sums(numbers: Array, factor: int, border: str) -> tuple[Array, int]:
    """Each pixel repeated `factor` times in both directions; the border has no effect."""
    rows, columns = (np.arange(length * factor) // factor for length in numbers.shape[:2])
    return numbers[rows][:, columns], 1


def _piecewise(*pieces: str) -> list[list[Fraction]]:
    """Coefficients of 1, x, x**2, x**3 for distances from 0 to 1, and from 1 to 2."""
    return [[Fraction(coefficient) for coefficient in piece.split()] for piece in pieces]


CUBICS = {
    "bicubic": _piecewise("1 0 -5/2 3/2", "2 -4 5/2 -1/2"),  # Keys, a = -1/2: (a+2)|x|^3 - (a+3)x^2 + 1, ...
    "catmull-rom": _piecewise("1 0 -5/2 3/2", "2 -4 5/2 -1/2"),
    "bicubic-0.75": _piecewise("1 0 -9/4 5/4", "3 -6 15/4 -3/4"),
    "mitchell": _piecewise(
        "8/9 0 -2 7/6", "16/9 -10/3 2 -7/18"
    ),  # Mitchell & Netravali, section 5: sixths of 7, -12 ...
    "bspline": _piecewise("2/3 0 -1 1/2", "4/3 -2 1 -1/6"),  # (4 - 6x^2 + 3x^3)/6 and (2 - x)^3/6
}
"""The kernels whose weights are fractions, in powers of the distance."""


def cubic_value(pieces: list[list[Fraction]], distance: Fraction) -> Fraction:
    """A cubic profile at a distance, zero from 2 on."""
    if distance >= 2:
        return Fraction(0)
    return sum((c * distance**power for power, c in enumerate(pieces[int(distance)])), start=Fraction(0))


def exact_weights(pieces: list[list[Fraction]], factor: int) -> tuple[Array, int]:
    """(factor, 5) integer weights of the input samples -2 ... 2 around an output sample's own, one row per phase."""
    rows = []
    for phase in range(factor):
        position = Fraction(2 * phase + 1 - factor, 2 * factor)
        rows.append([cubic_value(pieces, abs(position - offset)) for offset in range(-2, 3)])
    total = math.lcm(*(weight.denominator for row in rows for weight in row))
    return np.array([[int(weight * total) for weight in row] for row in rows]), total


def _weighted_by(weights_and_total: tuple[Array, int]) -> Callable[[Array, int, str], tuple[Array, int]]:
    """Sums with integer weights.

    Weights are (factor, n) along each axis, or (factor, factor, n, n), or with the output and input channels first, for
    the n samples around an output sample's own on each axis.
    """
    weights, total = weights_and_total
    if weights.ndim == 2:
        weights, total = np.einsum("rm,qn->rqmn", weights, weights), total**2

    def sums(numbers: Array, factor: int, border: str) -> tuple[Array, int]:
        reach = weights.shape[-1] // 2
        outside = np.pad(numbers, ((reach, reach), (reach, reach), (0, 0)), mode=_PAD_MODES[border])
        height, width, channels = numbers.shape
        found = np.zeros((height * factor, width * factor, channels), dtype=np.int64)
        for row, column in np.ndindex(weights.shape[-2:]):
            part = outside[row : row + height, column : column + width]
            for top, left in np.ndindex(factor, factor):
                weight = weights[..., top, left, row, column]
                found[top::factor, left::factor] += part * weight if weight.ndim == 0 else part @ weight.T
        return found, total

    return sums


def assert_same_pixels(found: Array, expected: Array) -> None:
    """Fail, with statistics of the errors, unless two arrays of pixels have the same shape, type and numbers."""
    assert found.shape == expected.shape, f"shape {found.shape} instead of {expected.shape}"
    assert found.dtype == expected.dtype, f"type {found.dtype} instead of {expected.dtype}"
    error = found.astype(np.float64) - expected.astype(np.float64)
    wrong = np.argwhere(error != 0)
    if len(wrong):
        sizes, counts = np.unique(error, return_counts=True)
        histogram = ", ".join(f"{size:+g}: {count}" for size, count in list(zip(sizes, counts, strict=True))[:12])
        first = tuple(int(index) for index in wrong[0])
        raise AssertionError(
            f"{len(wrong)} of {error.size} numbers differ, first at {first}: {found[first]} instead of "
            f"{expected[first]}; mean error {error.mean():.3g}, largest {np.abs(error).max():g}; errors {{{histogram}}}"
        )


def hostile_pixels(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Noise over the whole range, with adjacent extremes and a flat corner at the largest value."""
    generator = np.random.default_rng([seed, *shape])
    largest = int(np.iinfo(dtype).max)
    pixels = generator.integers(0, largest + 1, shape, dtype=np.int64)
    extreme = generator.random(shape) < 0.4
    pixels[extreme] = np.where(generator.random(shape) < 0.5, 0, largest)[extreme]
    pixels[shape[0] // 2 :, shape[1] // 2 :] = largest
    return pixels.astype(dtype)
