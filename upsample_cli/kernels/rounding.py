"""Rounding weights to whole numbers with the sums preserved. No numpy, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def rounded_phases(weights: Sequence[int], phases: Iterable[Sequence[int]], denominator: int) -> list[int]:
    """Whole weights scaled so that those of each phase sum to `denominator`, and rounded.

    Weights are rounded to nearest, halves away from zero. The difference to the sum of the phase, at most half a unit
    per weight, is added to its largest weight. So symmetric kernels stay symmetric.

    Args:
        weights: any scale; no phase may sum to zero.
        phases: the indices of the weights that contribute to one output, for each kind of output.

    >>> rounded_phases([1, 1, 4, 1, 1], [range(5)], 10)
    [1, 1, 6, 1, 1]
    """
    result = [0] * len(weights)
    for phase in phases:
        total = sum(weights[index] for index in phase)
        for index in phase:
            result[index] = rounded_ratio(weights[index] * denominator, total)
        largest = max(phase, key=lambda index: abs(result[index]))
        result[largest] += denominator - sum(result[index] for index in phase)
    return result


def rounded_ratio(dividend: int, divisor: int) -> int:
    """The whole number nearest to a ratio, halves away from zero.

    >>> rounded_ratio(-5, 2), rounded_ratio(5, 2), rounded_ratio(4, 3)
    (-3, 3, 1)
    """
    size = (2 * abs(dividend) + abs(divisor)) // (2 * abs(divisor))
    return size if (dividend < 0) == (divisor < 0) else -size
