"""The layers that `tconv solve` finds: ranked, explained, and as a document for programs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from upsample_cli.tconv.layers.convolution import SETTINGS, Convolution, TransposedConvolution


@dataclass(frozen=True, slots=True)
class Solution:
    """A layer that leads from the given size to the wanted size.

    Args:
        exact: whether it enlarges every size by the same factor, or reduces every size that the factor divides.
        shift: for each axis, the shift relative to half-pixel alignment, in output pixels; 0 is centred.
        even: whether the same number of taps contributes to all outputs on every axis, so that the overlap does not
            cause checkerboards.
        taps: number of weights per input (transposed) or per output, as a measure of the cost.
        unreached: a text that names outputs at the ends of axes that no tap reaches; empty if taps reach all outputs.
    """

    layer: Convolution | TransposedConvolution
    exact: bool
    shift: tuple[Fraction, ...]
    even: bool
    taps: int
    unreached: tuple[str, ...]

    @property
    def rank(self) -> tuple[Any, ...]:
        """The sort key: all outputs reached, exact, centred, even, the same on all axes, then fewer taps."""
        uneven_axes = sum(isinstance(getattr(self.layer, name, 0), tuple) for name in SETTINGS)
        moved = sum(map(abs, self.shift))
        reached = (len(self.unreached), not self.exact, moved, not self.even)
        return (*reached, uneven_axes, self.taps, str(self.layer))


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
    return next((one for one in solutions.found if one.rank[:4] == best.rank[:4] and _overlaps(one)), None)


def as_json(solutions: Solutions) -> dict[str, Any]:
    """All solutions as one document for programs."""
    return {
        "bounds": solutions.bounds,
        "complete": solutions.complete,
        "why": why_best(solutions.found[0]),
        "solutions": [
            {
                "layer": str(one.layer),
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
    return all(axis.kernel_size >= 2 * axis.stride - axis.stride % 2 for axis in solution.layer.each_axis)
