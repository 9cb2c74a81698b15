"""The layers that `tconv solve` finds: ranked, explained, and as a document for programs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import prod
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.convolution import SETTINGS, Convolution, TransposedConvolution
from upsample_cli.tconv.shape_report import unreached_text


class AxisRank(NamedTuple):
    """The sort key of a layer along one axis, except for ties.

    Args:
        unreached: whether there are outputs at the ends of the axis that no tap reaches.
        inexact: whether some sizes are not enlarged or reduced by the same factor.
        moved: how far it shifts the image, without the sign, in halves of an output pixel: as a float, which is fast to
            compare, and as the exact number. Division rounds monotonically, so the float never contradicts it.
        uneven: whether different numbers of taps contribute to the outputs.
        taps: number of taps.
    """

    unreached: bool
    inexact: bool
    moved: tuple[float, Fraction]
    uneven: bool
    taps: int

    @classmethod
    def of(cls, axis: LayerAxis) -> AxisRank:
        """The key of a layer."""
        moved = _moved(abs(axis.halves), 1 if axis.transposed else axis.stride)
        return cls(any(axis.unreached), not axis.is_exact, moved, not axis.is_even, axis.kernel_size)


@lru_cache(2**14)
def _moved(halves: int, stride: int) -> tuple[float, Fraction]:
    return halves / stride, Fraction(halves, stride)


AlongAxis = tuple[AxisRank, LayerAxis]
"""A layer along one axis, after its sort key."""


@dataclass(frozen=True)
class Solution:
    """A layer that leads from the given size to the wanted size.

    Args:
        along: the layer along each axis.
    """

    along: tuple[AlongAxis, ...]

    @cached_property
    def layer(self) -> Convolution | TransposedConvolution:
        """The layer, without channels."""
        axes = [axis for _, axis in self.along]
        return (TransposedConvolution if axes[0].transposed else Convolution).along(axes)

    @cached_property
    def text(self) -> str:
        """The text of the layer."""
        return str(self.layer)

    @property
    def exact(self) -> bool:
        """Whether it enlarges every size by the same factor, or reduces every size that the factor divides."""
        return not any(rank.inexact for rank, _ in self.along)

    @property
    def shift(self) -> tuple[Fraction, ...]:
        """For each axis, the shift relative to half-pixel alignment, in output pixels; 0 is centred."""
        return tuple(axis.shift for _, axis in self.along)

    @property
    def even(self) -> bool:
        """Whether all outputs have equally many taps on every axis, so that their overlap causes no checkerboard."""
        return not any(rank.uneven for rank, _ in self.along)

    @property
    def taps(self) -> int:
        """Number of weights per input (transposed) or per output, as a measure of the cost."""
        return prod(rank.taps for rank, _ in self.along)

    @property
    def unreached(self) -> tuple[str, ...]:
        """Texts that name outputs at the ends of axes that no tap reaches; empty if taps reach all outputs."""
        return tuple(dict.fromkeys(unreached_text(axis) for rank, axis in self.along if rank.unreached))

    @property
    def quality(self) -> tuple[Any, ...]:
        """The first sort key: all outputs reached, exact, centred, even."""
        moved = sum(rank.moved[1] for rank, _ in self.along)
        return len(self.unreached), not self.exact, float(moved), moved, not self.even

    @property
    def rank(self) -> tuple[Any, ...]:
        """The sort key: its quality, the same on all axes, then fewer taps, then the text."""
        return (*self.quality, self._uneven_axes, self.taps, self.text)

    @property
    def _uneven_axes(self) -> int:
        if len(self.along) == 1:
            return 0
        columns = zip(*(_settings(axis) for _, axis in self.along), strict=True)
        return sum(column.count(column[0]) < len(column) for column in columns)


_settings = attrgetter(*SETTINGS)


def ranked(solutions: Iterable[Solution]) -> tuple[Solution, ...]:
    """Solutions, best first."""
    return tuple(sorted(solutions, key=lambda one: one.rank))


def best_along(axes: Iterable[LayerAxis], most: int) -> tuple[Solution, ...]:
    """The best layers along one axis, best first. Texts are made only for those that may be among them."""
    along = sorted(((AxisRank.of(axis), axis) for axis in axes), key=itemgetter(0))
    if len(along) > most:
        del along[bisect_right(along, along[most - 1][0], key=itemgetter(0)) :]
    return ranked(Solution((one,)) for one in along)[:most]


@dataclass(frozen=True, slots=True)
class Solutions:
    """All solutions within the bounds, best first.

    Args:
        bounds: the values that were tried, in words.
        complete: False if the axes had too many solutions to combine all of them.
    """

    found: tuple[Solution, ...]
    bounds: str
    complete: bool


def why_best(best: Solution) -> str:
    """Why a solution is ranked first, in words.

    >>> from upsample_cli.tconv.solve import solve
    >>> why_best(solve((112,), (224,), kernel_size=(4,)).found[0])
    'exact at every size, centred, every output gets equally many taps, 4 taps'
    """
    share = "every output gets equally" if best.even else "outputs get unequally"
    return ", ".join(
        (
            "exact at every size" if best.exact else "none is exact at every size",
            f"moved by {', '.join(map(str, best.shift))} pixel" if any(best.shift) else "centred",
            f"{share} many taps",
            f"{best.taps} taps",
            *best.unreached,
        )
    )


def smooth_alternative(solutions: Solutions) -> Solution | None:
    """The first solution with overlapping windows that is as exact and centred as the best; None if the best has them.

    A transposed layer with kernel_size == stride produces separate blocks. The bilinear kernel needs a kernel_size of
    at least 2*stride - stride%2.

    >>> from upsample_cli.tconv.solve import solve
    >>> print(smooth_alternative(solve((112,), (224,))).layer)
    ConvTranspose1d(kernel_size=4, stride=2, padding=1)
    """
    best = solutions.found[0]
    if not isinstance(best.layer, TransposedConvolution) or _overlaps(best):
        return None
    return next((one for one in solutions.found if one.quality == best.quality and _overlaps(one)), None)


def as_json(solutions: Solutions) -> dict[str, Any]:
    """All solutions as one document for programs."""
    return {
        "bounds": solutions.bounds,
        "complete": solutions.complete,
        "why": why_best(solutions.found[0]),
        "solutions": [
            {
                "layer": one.text,
                "exact": one.exact,
                "shift": [float(shift) for shift in one.shift],
                "even": one.even,
                "taps": one.taps,
                "unreached": list(one.unreached),
            }
            for one in solutions.found
        ],
    }


def _overlaps(solution: Solution) -> bool:
    return all(axis.kernel_size >= 2 * axis.stride - axis.stride % 2 for _, axis in solution.along)
