"""Enlarged pixels computed a second way: geometry and whole numbers, numpy alone, nothing from the package.

An output sample is a point on the input's axis, found from where pixel centres lie; its value is the line between the
two input samples around it. No kernel, no taps, no convolution, no floating point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_PAD_MODES = {"replicate": "edge", "reflect": "reflect", "zeros": "constant"}


def expected_pixels(
    pixels: Array, factor: int, *, kernel: str = "bilinear", border: str = "replicate", has_alpha: bool = False
) -> Array:
    """What enlarging (height, width, channels) unsigned whole numbers must give: exact values, rounded half up.

    The largest number met is `2 * 65535**2 * (2*64)**2 + ...` < 2**48, far from the end of int64.
    """
    numbers = pixels.astype(np.int64)
    enlarged = {"bilinear": _bilinear_sums, "nearest": _nearest_sums}[kernel]
    if not has_alpha:
        sums, total = enlarged(numbers, factor, border)
        return rounded_half_up(sums, total).astype(pixels.dtype)
    alpha = numbers[..., -1:]
    colour_sums, _ = enlarged(numbers[..., :-1] * alpha, factor, border)
    alpha_sums, total = enlarged(alpha, factor, border)
    colour = np.where(alpha_sums == 0, 0, rounded_half_up(colour_sums, np.maximum(alpha_sums, 1)))
    return np.concatenate([colour, rounded_half_up(alpha_sums, total)], axis=2).astype(pixels.dtype)


def rounded_half_up(dividend: Array, divisor: Array | int) -> Array:
    """`floor(dividend / divisor + 1/2)` in whole numbers."""
    return (2 * dividend + divisor) // (2 * divisor)


def _bilinear_sums(numbers: Array, factor: int, border: str) -> tuple[Array, int]:
    """Interpolated values, and how many times too large they are."""
    outside = np.pad(numbers, ((1, 1), (1, 1), (0, 0)), mode=_PAD_MODES[border])
    left, weight = _line(numbers.shape[0], factor)
    rows = outside[left] * (2 * factor - weight)[:, None, None] + outside[left + 1] * weight[:, None, None]
    left, weight = _line(numbers.shape[1], factor)
    sums = rows[:, left] * (2 * factor - weight)[:, None] + rows[:, left + 1] * weight[:, None]
    return sums, (2 * factor) ** 2


def _line(length: int, factor: int) -> tuple[Array, Array]:
    """For each output sample the input sample to its left, counting one of padding, and the weight of the next one.

    Output sample o has its centre at `(o + 1/2) / factor - 1/2` input samples, which is `(2o + 1 - factor)` counted in
    parts of `1 / (2*factor)`.
    """
    parts = 2 * np.arange(length * factor) + 1 - factor
    return parts // (2 * factor) + 1, parts % (2 * factor)


def _nearest_sums(numbers: Array, factor: int, border: str) -> tuple[Array, int]:
    """Each pixel `factor` times in both directions; the border is never seen."""
    rows, columns = (np.arange(length * factor) // factor for length in numbers.shape[:2])
    return numbers[rows][:, columns], 1


def assert_same_pixels(found: Array, expected: Array) -> None:
    """Fail, with figures that help, unless two arrays of pixels are the same in shape, type and every number."""
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
    """Noise over the whole range, with extremes side by side and a flat corner at the largest value."""
    generator = np.random.default_rng([seed, *shape])
    largest = int(np.iinfo(dtype).max)
    pixels = generator.integers(0, largest + 1, shape, dtype=np.int64)
    extreme = generator.random(shape) < 0.4
    pixels[extreme] = np.where(generator.random(shape) < 0.5, 0, largest)[extreme]
    pixels[shape[0] // 2 :, shape[1] // 2 :] = largest
    return pixels.astype(dtype)
