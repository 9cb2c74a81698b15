"""Print the tables of `tconv shape`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from upsample_cli.cli.tconv.printing import print_notes, result_console
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.shape import Step, size_text
from upsample_cli.tconv.shape_report import total

if TYPE_CHECKING:
    from rich.console import Console

_BORDERS, _LEAST_WIDTH = 7, 17
"""The columns that a table's borders and spaces take, and the smallest width of a layer's text ("ConvTranspose2d(")."""
_ROWS_AT_AN_END = 250
"""The most rows at each end of a table. The middle of a longer chain is left out: a row takes milliseconds to print."""


def print_steps(steps: Sequence[Step], notes: Sequence[str]) -> None:
    """Print a table of sizes with a row for each layer, a table of costs, remarks, and the result as the last line."""
    from rich.table import Column, Table

    console = result_console()
    # On a narrow terminal, the layer's text is wrapped first, then the formulas.
    shown = [step for _, step in _shown(steps)]
    formulas = max((len(" ".join(row)) for step in shown for row in _rows(step)), default=0)
    rest = console.width - _BORDERS - formulas
    table = Table()
    table.add_column("layer", max_width=rest if rest >= _LEAST_WIDTH else None, overflow="fold")
    table.add_column("size after the layer")
    for step in shown:
        lines = Table.grid("", Column(overflow="fold"), padding=(0, 1))
        for row in _rows(step):
            lines.add_row(*row)
        table.add_row(str(step.layer), lines, end_section=True)
    console.print(table)
    _print_costs(steps, console)
    if len(shown) < len(steps):
        console.print(f"{len(steps) - len(shown)} layers in the middle are left out here; --json has them")
    print_notes(console, notes)
    first, last = steps[0], steps[-1]
    before = size_text(first.input) if first.input else f"{first.input_channels} features"
    if not last.output:
        after = f"{last.channels} features"
    else:
        after = size_text(last.output) + (f", {last.channels} channels" if last.channels is not None else "")
    console.print(f"{before} -> {after}", style="bold")


def _rows(step: Step) -> list[tuple[str, str]]:
    """The name and the formula of each axis after a layer, or the number of features after a Flatten."""
    names = axis_names(len(step.formulas))
    return list(zip(names, step.formulas, strict=True)) or [("features", str(step.channels))]


def _shown(steps: Sequence[Step]) -> list[tuple[int, Step]]:
    """The steps to show in a table, with their positions."""
    numbered = list(enumerate(steps, start=1))
    return numbered if len(steps) <= 2 * _ROWS_AT_AN_END else numbered[:_ROWS_AT_AN_END] + numbered[-_ROWS_AT_AN_END:]


def _print_costs(steps: Sequence[Step], console: Console) -> None:
    """Print the shift and the receptive field of every layer, and its costs if channels are known."""
    from rich.table import Table

    costs = {"parameters": "parameters", "multiply_adds": "multiply-adds", "memory_bytes": "memory"}
    known = [name for name in costs if any(getattr(step, name) for step in steps)]
    table = Table(show_footer=len(steps) > 1)
    table.add_column("layer", footer="in all")
    table.add_column("shift", footer=_by_axis(steps[-1].total_shift))
    table.add_column("sees", footer=_by_axis(steps[-1].receptive_field))
    for name in known:
        table.add_column(costs[name], footer=_amount(name, total(steps, name)), justify="right")
    for number, step in _shown(steps):
        table.add_row(
            f"{number} {step.layer.name}",
            _by_axis(step.shift),
            _by_axis(step.receptive_field),
            *(_amount(name, getattr(step, name)) for name in known),
        )
    console.print(table)


def _by_axis(values: Sequence[Fraction | int | None]) -> str:
    """A value for each axis, or one value if all are equal, or a dash after a Flatten."""
    texts = ["varies" if value is None else str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts) or "-"


def _amount(name: str, number: int | None) -> str:
    if number is None:
        return "?"
    if name == "memory_bytes":
        return f"{number / 2**20:.2f} MiB" if number >= 2**20 else f"{number} B"
    return f"{number:,}".replace(",", " ")
