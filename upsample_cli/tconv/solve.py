"""Every layer that leads one size to another, ranked: what `tconv solve` computes. Integers only: no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import axis_names, located, split_axes
from upsample_cli.geometry.sizes import conv_shift, transposed_shift
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model import collapsed
from upsample_cli.tconv.layers.symbolic import SizeRule, conv_rule, transposed_rule

MOST_COMBINED = 20_000
"""Combinations over the axes that are compared; of axes with more, only the best of each are combined."""
MOST_TRIED = 2**17
"""Settings that are tried along one axis: those of sizes that differ about seventy times, in a few seconds."""
_NAMES = ("kernel_size", "stride", "padding", "output_padding", "dilation")


@dataclass(frozen=True, slots=True)
class Solution:
    """A layer that leads the one size to the other.

    Args:
        exact: whether it enlarges (or reduces) every size by the same factor, not only this one; a convolution, every
            size that the factor divides.
        shift: against half-pixel alignment, per axis, in output pixels; 0 is centred.
        even: whether kernel_size % stride == 0 on every axis: all outputs have equally many taps, no checkerboards
            by overlap.
        taps: weights each input meets (transposed), or each output: what it costs.
    """

    layer: Convolution | TransposedConvolution
    exact: bool
    shift: tuple[Fraction, ...]
    even: bool
    taps: int

    @property
    def rank(self) -> tuple[Any, ...]:
        """What solutions are ordered by: exact, centred, even, the same on all axes, then few taps."""
        uneven_axes = sum(isinstance(getattr(self.layer, name, 0), tuple) for name in _NAMES)
        return (not self.exact, sum(map(abs, self.shift)), not self.even, uneven_axes, self.taps, str(self.layer))


@dataclass(frozen=True, slots=True)
class Solutions:
    """All solutions within the bounds, best first.

    Args:
        bounds: the values tried, in words.
        complete: False where the axes had too many solutions to combine them all.
    """

    found: tuple[Solution, ...]
    bounds: str
    complete: bool


def solve(
    sizes: Sequence[int],
    wanted: Sequence[int],
    *,
    transposed: bool = True,
    any_size: bool = False,
    **allowed: Sequence[int],
) -> Solutions:
    """Layers that lead `sizes` to `wanted`.

    Args:
        sizes: before the layer, one number per axis.
        wanted: after the layer, as many.
        transposed: a transposed convolution, else an ordinary one.
        any_size: only layers that are exact for every size.
        allowed: the values that kernel_size, stride, padding, output_padding or dilation may take. Where not given:
            stride to one more than the ratio of the sizes, kernel_size to twice the stride plus 3, padding to the
            kernel's span less one, every output_padding below the stride, dilation 1.

    Raises:
        GeometryError: if no layer within the bounds does it; the message says which sizes come nearest.

    >>> for solution in solve((112,), (224,), kernel_size=(3, 4)).found:
    ...     print(solution.layer, solution.exact, *solution.shift)
    ConvTranspose1d(kernel_size=4, stride=2, padding=1) True 0
    ConvTranspose1d(kernel_size=3, stride=2, padding=1, output_padding=1) True -1/2
    """
    if len(sizes) != len(wanted) or not 1 <= len(sizes) <= 3:
        raise GeometryError(
            f"{len(sizes)} axes before and {len(wanted)} after", "give the same 1 to 3 axes: 112x112 and 224x224"
        )
    for name, values in (("size", (*sizes, *wanted)), *allowed.items()):
        if any(value < (name in ("size", "kernel_size", "stride", "dilation")) for value in values):
            raise GeometryError(f"{name} {min(values)} is too small", "use 1 or more")
    found: dict[tuple[int, int], list[Solution]] = {}
    for name, before, after in zip(axis_names(len(sizes)), sizes, wanted, strict=True):
        with located(name if len(sizes) > 1 else ""):
            found.setdefault((before, after), [])
            found[before, after] = found[before, after] or _axis_solutions(before, after, transposed, any_size, allowed)
    per_axis = [found[pair] for pair in zip(sizes, wanted, strict=True)]
    complete = prod(map(len, per_axis)) <= MOST_COMBINED
    if not complete:
        each = int(MOST_COMBINED ** (1 / len(per_axis)))
        best = {pair: sorted(solutions, key=lambda one: one.rank)[:each] for pair, solutions in found.items()}
        per_axis = [best[pair] for pair in zip(sizes, wanted, strict=True)]
    combined = [_combined(axes, transposed) for axes in itertools.product(*per_axis)]
    ratio = max(_ratio(before, after, transposed) for before, after in zip(sizes, wanted, strict=True))
    return Solutions(
        tuple(sorted(combined, key=lambda solution: solution.rank)), _bounds_text(ratio, transposed, allowed), complete
    )


def why_best(best: Solution) -> str:
    """Why a solution stands first, in words.

    >>> why_best(solve((112,), (224,), kernel_size=(4,)).found[0])
    'exact at every size, centred, every output gets equally many taps (kernel_size % stride == 0), 4 taps'
    """
    shift = ", ".join(str(value) for value in best.shift)
    return ", ".join(
        (
            "exact at every size" if best.exact else "none is exact at every size",
            "centred" if not any(best.shift) else f"moved by {shift} pixel",
            "every output gets equally many taps (kernel_size % stride == 0)"
            if best.even
            else "outputs get unequally many taps (kernel_size % stride != 0)",
            f"{best.taps} taps",
        )
    )


def smooth_alternative(solutions: Solutions) -> Solution | None:
    """The first solution as exact and centred as the best whose windows overlap, where those of the best do not.

    A transposed layer with kernel_size == stride paints separate blocks; only from 2*stride - stride%2 on can it hold
    the bilinear kernel.

    >>> print(smooth_alternative(solve((112,), (224,))).layer)
    ConvTranspose1d(kernel_size=4, stride=2, padding=1)
    """
    best = solutions.found[0]
    if not isinstance(best.layer, TransposedConvolution) or _overlaps(best):
        return None
    alike = (one for one in solutions.found if one.rank[:3] == best.rank[:3])
    return next((one for one in alike if _overlaps(one)), None)


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
            }
            for one in solutions.found
        ],
    }


def _overlaps(solution: Solution) -> bool:
    settings = {"kernel_size": solution.layer.kernel_size, "stride": solution.layer.stride}
    each = split_axes(solution.layer.axes, settings)
    return all(axis["kernel_size"] >= 2 * axis["stride"] - axis["stride"] % 2 for axis in each)


def _ratio(before: int, after: int, transposed: bool) -> int:
    large, small = (after, before) if transposed else (before, after)
    return max(1, -(-large // small))


def _axis_solutions(
    before: int, after: int, transposed: bool, any_size: bool, allowed: Mapping[str, Sequence[int]]
) -> list[Solution]:
    """The solutions of one axis. Stride and kernel are tried; padding and output_padding follow from the sizes."""
    found, nearest = [], None
    for settings, reached in _candidates(before, after, transposed, allowed):
        if reached != after:
            if nearest is None or abs(reached - after) < abs(nearest - after):
                nearest = reached
            continue
        rule_of: Callable[..., SizeRule] = transposed_rule if transposed else conv_rule
        exact = _is_exact(rule_of(**settings), transposed)
        if exact or not any_size:
            found.append(_solution(settings, transposed, exact))
    if not found:
        cause = f"no layer within the bounds leads {before} to {after}" + " at every size" * any_size
        if transposed and after < before:
            raise GeometryError(cause, "add --conv: it is ordinary convolutions that make sizes smaller")
        if not transposed and after > before:
            raise GeometryError(cause, "leave out --conv: it is transposed convolutions that make sizes larger")
        if any_size and (after % before if transposed else before % after):
            raise GeometryError(cause, f"{after} is no whole multiple of {before}, or the other way round")
        raise GeometryError(cause, f"the nearest is {nearest}; " * (nearest is not None) + "allow more values")
    return found


def _candidates(
    before: int, after: int, transposed: bool, allowed: Mapping[str, Sequence[int]]
) -> Iterable[tuple[dict[str, int], int]]:
    """Settings and the size that each leads to: all that lead to `after`, and of the others the nearest."""
    ratio = _ratio(before, after, transposed)
    strides, dilations = allowed.get("stride", range(1, ratio + 2)), allowed.get("dilation", (1,))
    kernel_sizes = allowed.get("kernel_size", range(1, 2 * ratio + 4))
    left = MOST_TRIED
    for stride, dilation, kernel_size in ((s, d, k) for s in strides for d in dilations for k in kernel_sizes):
        reach = dilation * (kernel_size - 1)
        paddings = allowed.get("padding") or _paddings(before, after, stride, dilation, reach, transposed)
        extras = allowed.get("output_padding", (None,)) if transposed else (None,)
        left -= 1 + (paddings[-1] - paddings[0] if isinstance(paddings, range) else len(paddings)) * len(extras)
        if left < 0:
            raise GeometryError(
                f"there are too many layers to try from {before} to {after}", "give --stride and --kernel-size"
            )
        settings = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        for padding, extra in itertools.product(paddings, extras):
            if not transposed:
                if before + 2 * padding > reach:
                    yield settings | {"padding": padding}, (before + 2 * padding - reach - 1) // stride + 1
                continue
            least, beyond = (before - 1) * stride + reach + 1 - 2 * padding, max(stride, dilation)
            chosen = min(max(after - least, 0), beyond - 1) if extra is None else extra
            if chosen < beyond and least + chosen >= 1:
                yield settings | {"padding": padding, "output_padding": chosen}, least + chosen


def _paddings(before: int, after: int, stride: int, dilation: int, reach: int, transposed: bool) -> range:
    """The paddings that lead to a size, and one more at each end: from there on the sizes get farther from it."""
    if transposed:
        uncropped = (before - 1) * stride + reach + 1
        first, last = -(-(uncropped - after) // 2), (uncropped - after + max(stride, dilation) - 1) // 2
    else:
        least = (after - 1) * stride + reach + 1 - before
        first, last = -(-least // 2), (least + stride - 1) // 2
    return range(min(max(first - 1, 0), reach), max(min(last + 1, reach), 0) + 1)


def _is_exact(rule: SizeRule, transposed: bool) -> bool:
    """Whether n becomes stride*n, or every multiple stride*n becomes n."""
    if transposed:
        return rule.add == 0
    return rule.add // rule.divide + rule.after == 0


def _solution(settings: dict[str, int], transposed: bool, exact: bool) -> Solution:
    moving = {name: value for name, value in settings.items() if name != "output_padding"}
    return Solution(
        _layer(1, settings, transposed),
        exact,
        ((transposed_shift if transposed else conv_shift)(**moving),),
        settings["kernel_size"] % settings["stride"] == 0,
        settings["kernel_size"],
    )


def _layer(axes: int, settings: Mapping[str, Any], transposed: bool) -> Convolution | TransposedConvolution:
    return (TransposedConvolution if transposed else Convolution)(axes, **settings)


def _combined(axes: Sequence[Solution], transposed: bool) -> Solution:
    if len(axes) == 1:
        return axes[0]
    names = _NAMES if transposed else [name for name in _NAMES if name != "output_padding"]
    settings = {name: collapsed(getattr(one.layer, name) for one in axes) for name in names}
    return Solution(
        _layer(len(axes), settings, transposed),
        all(one.exact for one in axes),
        tuple(one.shift[0] for one in axes),
        all(one.even for one in axes),
        prod(one.taps for one in axes),
    )


def _bounds_text(ratio: int, transposed: bool, allowed: Mapping[str, Sequence[int]]) -> str:
    defaults = {
        "kernel_size": f"1 to {2 * ratio + 3}",
        "stride": f"1 to {ratio + 1}",
        "padding": "0 to dilation*(kernel_size-1)",
        "output_padding": "any legal",
        "dilation": "1",
    }
    shown = {name: ", ".join(map(str, allowed[name])) if name in allowed else text for name, text in defaults.items()}
    return "; ".join(f"{name} {text}" for name, text in shown.items() if transposed or name != "output_padding")
