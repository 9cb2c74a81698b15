"""Whole numbers in place of weights, which still sum to what they should. No numpy, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def rounded_phases(weights: Sequence[int], phases: Iterable[Sequence[int]], denominator: int) -> list[int]:
    """Whole weights scaled so that those of each phase sum to `denominator`, and rounded.

    Each is rounded to the nearest, halves away from zero; what is then missing from a phase's sum, at most half a unit
    for each of its weights, goes to its largest weight. So kernels that are their own mirror image stay so.

    Args:
        weights: any scale; no phase may sum to zero.
        phases: the indices of the weights that meet in one output, for each kind of output.

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
