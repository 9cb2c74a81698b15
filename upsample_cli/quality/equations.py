"""The least squares of a fitted kernel: normal equations with exact sums, and their solution.

Output pixel `i * factor + phase` of an axis depends on the `support` input pixels around input pixel `i`, through the
taps `phase + (reach - offset) * factor` of the transposed convolution, where `offset` runs from `-reach` to `reach` and
`support == 2 * reach + 1`. So each phase is a separate least-squares problem over the same neighbourhoods, and together
the solutions fill a kernel of `support * factor` taps.

Pixels are whole numbers up to 255, so the sums of products below are whole numbers. float64 holds them exactly up to
2**53, which is enough for 138 billion pixels. So bands, threads and the order of addition do not change the result, and
subtracting the sums of some images leaves exactly the sums of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64)

_CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """Sums over neighbourhoods, for one factor and support. They can be added and subtracted like numbers.

    Args:
        factor: factor of the enlargement.
        support: input pixels along one side of a neighbourhood, an odd number.
        gram: (support**2, support**2), products of a neighbourhood's pixels with each other.
        cross: (support**2, factor**2), products of a neighbourhood's pixels with the output pixels of each phase.
        count: number of neighbourhoods.
    """

    factor: int
    support: int
    gram: Sums
    cross: Sums
    count: int

    def __add__(self, other: Equations) -> Equations:
        return Equations(
            self.factor, self.support, self.gram + other.gram, self.cross + other.cross, self.count + other.count
        )

    def __sub__(self, other: Equations) -> Equations:
        return Equations(
            self.factor, self.support, self.gram - other.gram, self.cross - other.cross, self.count - other.count
        )


def no_equations(factor: int, support: int) -> Equations:
    """Sums over no neighbourhoods: all zero."""
    taps = support**2
    return Equations(factor, support, np.zeros((taps, taps)), np.zeros((taps, factor**2)), 0)


def equations(high: NDArray[np.uint8], low: NDArray[np.uint8], factor: int, support: int) -> Equations:
    """The sums over all neighbourhoods that are completely inside the image.

    Args:
        high: (height * factor, width * factor), the wanted result of the enlargement.
        low: (height, width), the input of the enlargement.
        factor: factor of the enlargement.
        support: input pixels along one side of a neighbourhood, an odd number.

    >>> found = equations(np.ones((6, 8), np.uint8), np.ones((3, 4), np.uint8), factor=2, support=3)
    >>> found.count, float(found.gram[0, 0]), found.cross.shape
    (2, 2.0, (9, 4))
    """
    found, count = no_equations(factor, support), 0
    for around, phases in _samples(high, low, factor, support):
        found.gram[:] += around.T @ around
        found.cross[:] += around.T @ phases
        count += len(around)
    return replace(found, count=count)


def _samples(high: NDArray[np.uint8], low: NDArray[np.uint8], factor: int, support: int) -> Iterator[tuple[Sums, Sums]]:
    """Neighbourhoods (n, support**2) and their output pixels (n, factor**2), a few rows at a time."""
    reach, taps = support // 2, support**2
    height, width = low.shape
    if min(height, width) < support:
        return
    windows = np.lib.stride_tricks.sliding_window_view(low, (support, support))
    # (rows, columns, row phase, column phase)
    blocks = high.reshape(height, factor, width, factor).transpose(0, 2, 1, 3)[
        reach : -reach or None, reach : -reach or None
    ]
    step = max(1, _CHUNK_BYTES // (8 * taps * width))
    for top in range(0, len(windows), step):
        yield (
            windows[top : top + step].reshape(-1, taps).astype(np.float64),
            blocks[top : top + step].reshape(-1, factor**2).astype(np.float64),
        )


def solved(found: Equations, *, noise: float, symmetric: bool = True) -> Sums:
    """The kernel with the least squared error among the kernels whose phases all sum to 1.

    Source: least squares under a linear constraint, with a Lagrange multiplier; one `solve` for all phases.

    Args:
        found: sums over at least one neighbourhood.
        noise: variance of an assumed noise of the input, in squared levels. This ridge keeps weights small if the
            images do not determine them.
        symmetric: solve for the sums over all eight symmetries of the square, so that the kernel does not change when
            it is turned by 90 degrees or mirrored.

    Returns:
        (support * factor, support * factor), the weight of a transposed convolution with stride `factor` and padding
        `(support - 1) // 2 * factor`.
    """
    sums = symmetrized(found) if symmetric else found
    taps = len(sums.gram)
    system = np.ones((taps + 1, taps + 1))
    system[-1, -1] = 0
    system[:taps, :taps] = sums.gram / sums.count + noise * np.eye(taps)
    wanted = np.ones((taps + 1, sums.cross.shape[1]))
    wanted[:taps] = sums.cross / sums.count
    phases = np.asarray(np.linalg.solve(system, wanted)[:taps], np.float64)
    return kernel_of_phases(phases, found.factor, found.support)


def symmetrized(found: Equations) -> Equations:
    """The sums over all images in all eight orientations."""
    side, factor = found.support, found.factor
    gram, cross = np.zeros_like(found.gram), np.zeros_like(found.cross)
    for pixels, phases in zip(symmetries(side), symmetries(factor), strict=True):
        gram += found.gram[np.ix_(pixels, pixels)]
        cross += found.cross[np.ix_(pixels, phases)]
    return Equations(factor, side, gram, cross, 8 * found.count)


def symmetries(side: int) -> list[NDArray[np.intp]]:
    """The flattened cells of a square, permuted by each of the eight symmetries of the square."""
    cells = np.arange(side**2).reshape(side, side)
    turned = [np.rot90(cells, quarter) for quarter in range(4)]
    return [image.reshape(-1) for turn in turned for image in (turn, turn[::-1])]


def kernel_of_phases(phases: NDArray[Number], factor: int, support: int) -> NDArray[Number]:
    """Arrange weights (support**2, factor**2), one column for each phase, as a transposed convolution's kernel.

    >>> kernel_of_phases(np.arange(4.0)[None], factor=2, support=1)
    array([[0., 1.],
           [2., 3.]])
    """
    # Later taps belong to earlier inputs: the tap of input i + offset is phase + (reach - offset) * factor.
    cells = phases.reshape(support, support, factor, factor)[::-1, ::-1]
    return cells.transpose(0, 2, 1, 3).reshape(support * factor, support * factor)


def phases_of_kernel(kernel: NDArray[Number], factor: int, support: int) -> NDArray[Number]:
    """The inverse of `kernel_of_phases`."""
    cells = kernel.reshape(support, factor, support, factor).transpose(0, 2, 1, 3)[::-1, ::-1]
    return cells.reshape(support**2, factor**2)
