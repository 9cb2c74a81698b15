"""Round weights to whole numbers and preserve their sums. No numpy, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def rounded_phases(weights: Sequence[int], phases: Iterable[Sequence[int]], denominator: int) -> list[int]:
    """Scale and round whole weights so that the weights of each phase sum to `denominator`.

    Weights are rounded to nearest, halves away from zero. Then the sum of a phase differs from `denominator` by at most
    half a unit per weight. The difference is added to the largest weight of the phase, so symmetric kernels stay
    symmetric.

    Args:
        weights: weights of any scale; a phase must not sum to zero.
        phases: for each phase, the indices of its weights.
        denominator: the sum of each phase afterwards.

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
