"""Weights rounded to whole numerators over one denominator, so that every phase still sums to 1 exactly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from upsample_cli.quality.equations import Equations, Sums, kernel_of_phases, phases_of_kernel, symmetries, symmetrized

Whole = NDArray[np.int64]

LARGEST = 127
"""The largest signed number of 8 bits, which is what the engine's fastest route takes."""

_LEAST_GAIN = 1e-9
"""The share of the error that a step must remove: far above the rounding of float64, so that the steps do not depend on
the order in which a processor adds."""


def numerators(kernel: Sums, *, factor: int, denominator: int) -> Whole:
    """The kernel times `denominator` in whole numbers, which sum to `denominator` for each phase.

    The remainder of rounding goes to the tap of the input pixel that contains the output. No symmetry of the square
    exchanges that tap of a phase for another, so a symmetric kernel stays symmetric.

    Args:
        kernel: (support * factor, support * factor) of odd support, phases summing to 1.

    >>> numerators(np.full((3, 3), 1 / 9), factor=1, denominator=16).tolist()
    [[2, 2, 2], [2, 0, 2], [2, 2, 2]]
    """
    support = len(kernel) // factor
    phases = np.floor(phases_of_kernel(kernel, factor, support) * denominator + 0.5).astype(np.int64)
    phases[support**2 // 2] += denominator - phases.sum(axis=0)
    return kernel_of_phases(phases, factor, support)


def best_numerators(
    kernel: Sums, found: Equations, denominators: Iterable[int], *, noise: float, symmetric: bool = True
) -> tuple[Whole, int]:
    """The numerators up to `LARGEST`, and their denominator, that add least to the squared error of the fit.

    Plain rounding is improved by every step that reduces the error. A step moves one unit between two sets of taps that
    belong together by symmetry. So 8 bits lose hardly anything compared with the unrounded kernel.

    Args:
        kernel: the result of `solved` for `found`, `noise` and `symmetric`.
        denominators: to try; those that make numerators too large are skipped.

    Raises:
        ValueError: if all of them do.
    """
    sums = symmetrized(found) if symmetric else found
    weight = sums.gram / sums.count + noise * np.eye(len(sums.gram))
    tried = []
    for denominator in denominators:
        if denominator * np.abs(kernel).max() > LARGEST:
            continue
        whole = _descended(kernel, found.factor, denominator, weight, symmetric=symmetric)
        if np.abs(whole).max() <= LARGEST:
            error = phases_of_kernel(whole / denominator - kernel, found.factor, found.support)
            tried.append((float(np.sum(error * (weight @ error))), denominator, whole))
    _, denominator, whole = min(tried, key=lambda result: result[:2])
    return whole, denominator


def _descended(kernel: Sums, factor: int, denominator: int, weight: Sums, *, symmetric: bool) -> Whole:
    """Plain rounding, improved step by step; phases that a symmetry exchanges are improved once."""
    support = len(kernel) // factor
    wanted = phases_of_kernel(kernel, factor, support) * denominator
    whole = phases_of_kernel(numerators(kernel, factor=factor, denominator=denominator), factor, support)
    pairs = list(zip(symmetries(support), symmetries(factor), strict=True))[: 8 if symmetric else 1]
    done: set[int] = set()
    for phase in range(factor**2):
        if phase in done:
            continue
        steps = _steps([pixels for pixels, phases in pairs if phases[phase] == phase])
        column = _improved(whole[:, phase], wanted[:, phase], steps, weight)
        for pixels, phases in pairs:
            whole[pixels, phases[phase]] = column
            done.add(int(phases[phase]))
    return kernel_of_phases(whole, factor, support)


def _steps(exchanges: list[NDArray[np.intp]]) -> Whole:
    """(steps, taps): each step adds to one set of taps that the exchanges mix, and takes as much from another.

    Between sets of different sizes, the sum over each set is their least common multiple.
    """
    taps = len(exchanges[0])
    sets = sorted({tuple(sorted({int(exchange[tap]) for exchange in exchanges})) for tap in range(taps)})
    steps = []
    for gaining in sets:
        for losing in sets:
            if gaining != losing:
                step = np.zeros(taps, np.int64)
                rounds = int(np.lcm(len(gaining), len(losing)))
                step[list(gaining)] = rounds // len(gaining)
                step[list(losing)] = -(rounds // len(losing))
                steps.append(step)
    return np.array(steps)


def _improved(whole: Whole, wanted: Sums, steps: Whole, weight: Sums) -> Whole:
    """`whole` after all steps, the best first, that make `(whole - wanted)' weight (whole - wanted)` smaller."""
    own = np.einsum("st,st->s", steps @ weight, steps)
    while True:
        error = whole - wanted
        pull = weight @ error
        gains = 2 * (steps @ pull) + own
        best = int(np.argmin(gains))
        if gains[best] >= -_LEAST_GAIN * (error @ pull):
            return whole
        whole = whole + steps[best]
