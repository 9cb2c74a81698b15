"""Find and rank all layers that lead from one size to another, for `tconv solve`. Integers only: no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from math import prod

from upsample_cli.errors import GeometryError, Setting, Text
from upsample_cli.geometry.axes import axis_names, located
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.solutions import Solution, Solutions, best_along, ranked

MOST_COMBINED = 20_000
"""The most combinations over the axes to compare. If there are more, only the best of each axis are combined."""
MOST_TRIED = 2**17
"""The most settings to try along one axis: enough for a ratio of about 70, in a second."""


def solve(
    sizes: Sequence[int], wanted: Sequence[int], *, conv: bool = False, any_size: bool = False, **allowed: Sequence[int]
) -> Solutions:
    """Find layers that lead from `sizes` to `wanted`.

    Args:
        sizes: sizes before the layer, one number for each axis.
        wanted: sizes after the layer, one number for each axis.
        conv: search for ordinary convolutions, not transposed ones.
        any_size: search only for layers that are exact for every size.
        allowed: the allowed values of kernel_size, stride, padding, output_padding and dilation. By default: stride up
            to the ratio of the sizes plus 1, kernel_size up to twice the stride plus 3, padding up to the kernel's span
            minus 1, every output_padding below the stride, and dilation 1.

    Raises:
        GeometryError: if no layer within the bounds is found; the message names the nearest size.

    >>> for solution in solve((112,), (224,), kernel_size=(3, 4)).found:
    ...     print(solution.layer, solution.exact, *solution.shift)
    ConvTranspose1d(kernel_size=4, stride=2, padding=1) True 0
    ConvTranspose1d(kernel_size=3, stride=2, padding=1, output_padding=1) True -1/2
    """
    transposed, pairs = not conv, list(zip(sizes, wanted, strict=False))
    if len(sizes) != len(wanted) or not 1 <= len(sizes) <= 3:
        raise GeometryError(
            f"{len(sizes)} axes before and {len(wanted)} after", "give the same 1 to 3 axes: 112x112 and 224x224"
        )
    for name, values in (("size", (*sizes, *wanted)), *allowed.items()):
        if any(value < (name in ("size", "kernel_size", "stride", "dilation")) for value in values):
            raise GeometryError(f"{name} {min(values)} is too small", "use 1 or more")
    found: dict[tuple[int, int], list[LayerAxis]] = {}
    for name, pair in zip(axis_names(len(sizes)), pairs, strict=True):
        with located(name if len(sizes) > 1 else ""):
            if pair not in found:
                found[pair] = _axis_solutions(*pair, transposed, any_size, allowed)
    complete = prod(len(found[pair]) for pair in pairs) <= MOST_COMBINED
    most = MOST_COMBINED if complete else int(MOST_COMBINED ** (1 / len(pairs)))
    along = {pair: best_along(axes, most) for pair, axes in found.items()}
    if len(pairs) == 1:
        solutions = along[pairs[0]]
    else:
        combined = itertools.product(*([one.along[0] for one in along[pair]] for pair in pairs))
        solutions = ranked(map(Solution, combined))
    bounds = _bounds_text(max(_ratio(*pair, transposed) for pair in pairs), transposed, allowed)
    return Solutions(solutions, bounds, complete)


def _ratio(before: int, after: int, transposed: bool) -> int:
    large, small = (after, before) if transposed else (before, after)
    return max(1, -(-large // small))


def _axis_solutions(
    before: int, after: int, transposed: bool, any_size: bool, allowed: Mapping[str, Sequence[int]]
) -> list[LayerAxis]:
    """The solutions for one axis. Strides and kernels are tried; padding and output_padding follow from the sizes."""
    found, nearest = [], None
    for axis, reached in _candidates(before, after, transposed, allowed):
        if reached != after:
            if nearest is None or abs(reached - after) < abs(nearest - after):
                nearest = reached
        elif axis.is_exact or not any_size:
            found.append(axis)
    if not found:
        raise GeometryError(
            f"no layer within the bounds leads {before} to {after}" + " at every size" * any_size,
            _next_step(before, after, transposed, any_size, nearest),
        )
    return found


def _next_step(before: int, after: int, transposed: bool, any_size: bool, nearest: int | None) -> Text:
    if transposed and after < before:
        return "add ", Setting("conv", True), ": it is ordinary convolutions that make sizes smaller"
    if not transposed and after > before:
        return "leave out ", Setting("conv"), ": it is transposed convolutions that make sizes larger"
    if any_size and (after % before if transposed else before % after):
        return f"{after} is not a whole multiple of {before}, or the other way round"
    return f"the nearest is {nearest}; " * (nearest is not None) + "allow more values"


def _candidates(
    before: int, after: int, transposed: bool, allowed: Mapping[str, Sequence[int]]
) -> Iterable[tuple[LayerAxis, int]]:
    """All settings that lead to `after`, and settings that lead to the nearest other sizes; each with its size."""
    ratio = _ratio(before, after, transposed)
    strides, dilations = allowed.get("stride", range(1, ratio + 2)), allowed.get("dilation", (1,))
    kernel_sizes = allowed.get("kernel_size", range(1, 2 * ratio + 4))
    left = MOST_TRIED
    # Not `itertools.product`, which first makes lists of all values.
    for stride, dilation, kernel_size in ((s, d, k) for s in strides for d in dilations for k in kernel_sizes):
        bare = LayerAxis(kernel_size, stride, dilation=dilation, transposed=transposed)
        paddings = allowed.get("padding") or _paddings(bare, before, after)
        extras = allowed.get("output_padding", (None,)) if transposed else (0,)
        left -= 1 + (paddings[-1] - paddings[0] if isinstance(paddings, range) else len(paddings)) * len(extras)
        if left < 0:
            raise GeometryError(
                f"there are too many layers to try from {before} to {after}",
                ("give ", Setting("stride"), " and ", Setting("kernel_size")),
            )
        most, missing = max(stride, dilation) - 1, after - bare.output_size(before)
        for padding, given in itertools.product(paddings, extras):
            extra = min(max(missing + 2 * padding, 0), most) if given is None else given
            axis = LayerAxis(kernel_size, stride, padding, extra, dilation, transposed)
            if extra <= most and (reached := axis.output_size(before)) >= 1:
                yield axis, reached


def _paddings(bare: LayerAxis, before: int, after: int) -> range:
    """The paddings that lead to a size, and one more at each end. Beyond these, sizes are farther from it."""
    if bare.transposed:
        surplus, choices = bare.output_size(before) - after, max(bare.stride, bare.dilation)
    else:
        surplus, choices = (after - 1) * bare.stride + bare.span - before, bare.stride
    first, last = -(-surplus // 2), (surplus + choices - 1) // 2
    return range(min(max(first - 1, 0), bare.reach), max(min(last + 1, bare.reach), 0) + 1)


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
