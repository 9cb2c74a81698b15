"""Print the results of `tconv checkerboard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from upsample_cli.cli.tconv.printing import print_notes, result_console
from upsample_cli.tconv.checkerboard import FLAT_LEVEL, Verdict, map_input
from upsample_cli.tconv.shape_report import reach_remarks

if TYPE_CHECKING:
    from rich.console import Console

    from upsample_cli.tconv.checkerboard_weights import Gains

_SHADES = " ░▒▓█"
_MOST_CELLS, _MOST_GAINS = 60, 64
"""The most rows and columns of a map, and the most gains of a channel, to print."""


def print_finding(
    verdict: Verdict, cells: Sequence[Sequence[float]], measured: Gains | None, cured: Gains | None
) -> None:
    """Print a map and the verdict.

    Args:
        verdict: the verdict on the settings.
        cells: the values of the map.
        measured: gains of the given weights; None if only settings are given.
        cured: gains of the cured weights that were written; None if none were.
    """
    console = result_console()
    console.print(str(verdict.layer), style="bold")
    console.print(*_settings_lines(verdict), sep="\n")
    if measured is None:
        even = verdict.is_even
        what = f"taps that meet at each output sample of a {map_input(verdict.axes)}-sample input"
    else:
        even, what = measured.is_even, f"output channel {measured.worst_channel} for a flat input of 1"
        console.print(*_weights_lines(measured), sep="\n")
    largest = max((abs(value) for row in cells for value in row), default=0)
    console.print(f"\n{what} ({_SHADES[0]!r} is 0, {_SHADES[-1]} is {largest:.4g}):")
    for row in cells[:_MOST_CELLS]:
        console.print("".join(2 * _shade(value / (largest or 1)) for value in row[:_MOST_CELLS]))
    console.print("\n" + _verdict_text(verdict, measured), style="bold green" if even else "bold red")
    if verdict.cures:
        console.print("the same output sizes, but even:", *(f"  {cure}" for cure in verdict.cures), sep="\n")
        _print_neighbours(console, verdict)
    elif not verdict.is_even:
        console.print("no kernel_size is even at this stride and dilation: they share a divisor")
    print_notes(console, dict.fromkeys(text for axis in verdict.axes for text in reach_remarks(axis)))
    if cured is not None:
        console.print(f"cured: a flat {FLAT_LEVEL} becomes uneven by {cured.amplitude_levels:.4g} levels")
    elif measured is not None and not measured.is_even and not verdict.has_gaps:  # weights cannot fill gaps
        named = "--cure icnr or --cure sums" if verdict.is_even else "--cure sums"
        console.print(f"{named}, with -o FILE, writes weights that leave a flat input flat")


def _shade(value: float) -> str:
    """A block character for a value from -1 to 1. The sign is not shown, and only 0 is blank."""
    return _SHADES[ceil(abs(value) * (len(_SHADES) - 1))]


def _settings_lines(verdict: Verdict) -> list[str]:
    """A line for each axis, or one line if all are equal."""
    axes = verdict.axes[:1] if len(set(verdict.axes)) == 1 else verdict.axes
    return [f"taps per phase {_listed(axis.taps_per_phase, str)}" for axis in axes]


def _weights_lines(measured: Gains) -> list[str]:
    gains = measured.per_channel[measured.worst_channel].reshape(-1).tolist()
    return [
        f"gain per phase of the worst of {len(measured.per_channel)} output channels, number "
        f"{measured.worst_channel}: {_listed(gains, '{:.6g}'.format)}",
        f"a flat {FLAT_LEVEL} in every input channel becomes uneven by {measured.amplitude_levels:.4g} levels, in one "
        f"channel alone {FLAT_LEVEL * measured.worst_pair:.4g}",
    ]


def _listed(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """All values, or their range if there are many."""
    if len(values) > _MOST_GAINS:
        return f"{shown(min(values))} to {shown(max(values))}"
    return " ".join(map(shown, values))


def _verdict_text(verdict: Verdict, measured: Gains | None) -> str:
    if verdict.is_even:
        overlap = "the overlap is even"
    else:
        gaps = ", and some samples meet no tap at all" if verdict.has_gaps else ""
        uneven = f"with equal taps a flat {FLAT_LEVEL} becomes uneven by {verdict.amplitude_levels:.4g} levels"
        overlap = f"the overlap is uneven{gaps}: {uneven}"
    if measured is None:
        return overlap + ("; weights decide the rest: every phase must sum to the same" if verdict.is_even else "")
    if measured.is_even:
        return f"no checkerboard: the phase sums of these weights are equal; {overlap}"
    visible = "a checkerboard" if measured.amplitude_levels >= 0.5 else "a checkerboard below half a level"
    return f"{visible}: {measured.amplitude_levels:.4g} levels of a flat {FLAT_LEVEL}; {overlap}"


def _print_neighbours(console: Console, verdict: Verdict) -> None:
    from rich.table import Table

    near = verdict.neighbours[next(number for number, axis in enumerate(verdict.axes) if not axis.is_even)]
    sizes = sorted({size for size, _ in near})
    table = Table("along one axis", *(f"kernel_size {size}" for size in sizes))
    for stride in sorted({stride for _, stride in near}):
        table.add_row(f"stride {stride}", *(f"{near[size, stride]:.4g}" for size in sizes))
    console.print(
        "a larger stride or a smaller kernel is not a cure; a kernel_size that is a multiple of the stride is. "
        "By how many levels a flat 128 becomes uneven:"
    )
    console.print(table)
