"""Round weights to whole numerators over one denominator, so that each phase still sums to exactly 1."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from upsample_cli.quality.equations import Equations, Sums, kernel_of_phases, phases_of_kernel, symmetries, symmetrized

Whole = NDArray[np.int64]

LARGEST = 127
"""The largest signed 8-bit number, which is the limit of the engine's fastest route."""

_LEAST_GAIN = 1e-9
"""The fraction of the error that a step must remove. It is far above the rounding of float64, so the steps do not
depend on the order of addition, which differs between processors."""


def numerators(kernel: Sums, *, factor: int, denominator: int) -> Whole:
    """Round the kernel times `denominator` to whole numbers that sum to `denominator` for each phase.

    The remainder is added to the tap of the input pixel that contains the output pixel. Symmetries of the square
    exchange these taps only with each other, so a symmetric kernel stays symmetric.

    Args:
        kernel: (support * factor, support * factor) with odd support; each phase sums to 1.
        factor: factor of the kernel.
        denominator: common denominator of the result.

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
    """The numerators up to `LARGEST`, and their denominator, that increase the squared error of the fit least.

    Plain rounding is improved by steps that reduce the error. A step moves one unit between two sets of taps, each of
    which is closed under the symmetries. So 8 bits lose almost nothing compared with the unrounded kernel.

    Args:
        kernel: the result of `solved` for `found`, `noise` and `symmetric`.
        found, noise, symmetric: see `solved`.
        denominators: the denominators to try; those that make numerators too large are skipped.

    Raises:
        ValueError: if all denominators make numerators too large.
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
    """Plain rounding, improved step by step. Phases that a symmetry exchanges are improved together."""
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
    """(steps, taps): each step adds to one set of taps that symmetries exchange, and subtracts as much from another.

    If the sets have different sizes, the sum over each set is the least common multiple of the sizes.
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
    """Apply the best step repeatedly, as long as it reduces `(whole - wanted)' weight (whole - wanted)`."""
    own = np.einsum("st,st->s", steps @ weight, steps)
    while True:
        error = whole - wanted
        pull = weight @ error
        gains = 2 * (steps @ pull) + own
        best = int(np.argmin(gains))
        if gains[best] >= -_LEAST_GAIN * (error @ pull):
            return whole
        whole = whole + steps[best]
