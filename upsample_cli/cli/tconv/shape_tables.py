"""Print what `tconv shape` finds: the size, a table of layers, the arithmetic and notes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TypeVar

from upsample_cli.cli.tconv.printing import print_notes, result_console
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.layers.mixing import Mixing
from upsample_cli.tconv.layers.plain import SizeKeeping
from upsample_cli.tconv.shape import Step
from upsample_cli.tconv.shape_report import total
from upsample_cli.tconv.shape_text import Form, answer, short_text

Shown = TypeVar("Shown")

GAP = 2
"""The columns between two columns of a table."""
_DROPPED_FIRST = ("memory", "multiply_adds")
"""The columns that a narrow terminal does not show, before the text of a layer is wrapped."""
_NUMBERS = (*_DROPPED_FIRST, "parameters")
_DROPPED = (*_NUMBERS, "sees", "shift")
_SCREEN = 24 - 2
"""Lines of output that a terminal of 24 lines shows, between the command and the next prompt."""
_MOST_WITH_ARITHMETIC = 3
"""The most layers that change the size for which the arithmetic is printed."""
_ROWS_AT_AN_END = 250
"""The most rows at each end of a table. The middle of a longer chain is left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """The texts of a layer in the table. A column that says nothing about any layer is left out."""

    layer: str
    output: str = ""
    shift: str = ""
    sees: str = ""
    parameters: str = ""
    multiply_adds: str = ""
    memory: str = ""


class _Wrapper(textwrap.TextWrapper):
    """Wraps the constructor of a layer between its parameters, and after its name."""

    wordsep_simple_re = re.compile(r"( +|(?<=\w\())")


def longest_word(text: str) -> int:
    """The length of the longest part of a text that is not wrapped.

    >>> longest_word("Conv2d(kernel_size=3, stride=2)")
    14
    """
    return max(map(len, _Wrapper.wordsep_simple_re.split(text)))


def print_steps(steps: Sequence[Step], notes: Sequence[str], form: Form | None = None) -> None:
    """Print the size after a chain, a table with a row for each layer, the arithmetic of a short chain, and notes.

    The size comes first. It is repeated at the end of an output that is too long for a screen.
    """
    form = form or Form()
    console = result_console()
    size = answer(steps, form)
    shown, left_out = both_ends(list(enumerate(steps, start=1)))
    rows = [_row(number, step, form, numbered=len(steps) > 1) for number, step in shown]
    lines = layer_table(rows, _in_all(steps), console.width, ascii_only=console.options.ascii_only)
    lines += [*left_out, *_arithmetic(steps)]
    console.print(size, style="bold")
    console.print("", *lines, sep="\n")
    print_notes(console, notes)
    printed = [size, "", *lines, *(f"note: {note}" for note in notes)]
    if sum(len(console.render_lines(line)) for line in printed[: _SCREEN + 1]) > _SCREEN:
        console.print(size, style="bold")


def layer_table(rows: Sequence[Row], in_all: Row | None, width: int, *, ascii_only: bool = False) -> list[str]:
    r"""The lines of a table of layers, and a line with the sums of the columns that do not fit.

    Args:
        rows: the layers.
        in_all: the sums; None for a single layer.
        width: columns of the terminal. Words are not broken, except those that are longer.
        ascii_only: draw the line below the header with hyphens.

    >>> print(*layer_table([Row("Conv2d(3, 8, 3)", "8x98x198", "-1", "3")], None, 80, ascii_only=True), sep="\n")
    layer            output    shift  sees
    --------------------------------------
    Conv2d(3, 8, 3)  8x98x198  -1     3
    """
    every = [*rows, *([] if in_all is None else [in_all])]
    widths = _columns(every, width)
    header = {name: _header(name) for name in widths}
    lines = table_lines(header, [{name: getattr(row, name) for name in widths} for row in rows], widths, ascii_only)
    if in_all is not None:
        lines += ["", *_lines({name: getattr(in_all, name) for name in widths}, widths)]
    hidden = [name for name in reversed(_NUMBERS) if name not in widths]
    sums = [f"{getattr(every[-1], name)} {_header(name)}" for name in hidden if _says(name, every[-1])]
    return [*lines, *([", ".join(sums)] if sums else [])]


def table_lines(
    header: Mapping[str, str], rows: Sequence[Mapping[str, str]], widths: Mapping[str, int], ascii_only: bool
) -> list[str]:
    """The lines of a table, of which the first column is wrapped to its width."""
    rule = ("-" if ascii_only else "─") * (sum(widths.values()) + GAP * (len(widths) - 1))
    return [*_lines(header, widths), rule, *(line for row in rows for line in _lines(row, widths))]


def _header(name: str) -> str:
    return name.replace("_", "-")


def _lines(texts: Mapping[str, str], widths: Mapping[str, int]) -> list[str]:
    """The lines of a row: the first column is wrapped."""
    first, *wrapped = _Wrapper(widths["layer"], break_on_hyphens=False).wrap(texts["layer"]) or [""]
    cells = [first.ljust(widths["layer"])]
    for name, text in list(texts.items())[1:]:
        cells.append(text.rjust(widths[name]) if name in _NUMBERS else text.ljust(widths[name]))
    return [line.rstrip() for line in ((" " * GAP).join(cells), *wrapped)]


def _columns(rows: Sequence[Row], width: int) -> dict[str, int]:
    """The columns to show, with their widths."""
    names = [field.name for field in fields(Row) if any(_says(field.name, row) for row in rows)]
    widths = {name: max(len(_header(name)), *(len(getattr(row, name)) for row in rows)) for name in names}
    least = max(longest_word(row.layer) for row in rows)

    def room() -> int:
        return width - sum(GAP + widths[name] for name in names[1:])

    for wanted, dropped in ((widths["layer"], _DROPPED_FIRST), (least, _DROPPED)):
        for name in dropped:
            if room() < wanted and name in names:
                names.remove(name)
    return {name: widths[name] for name in names} | {"layer": max(1, min(room(), widths["layer"]))}


def _says(name: str, row: Row) -> bool:
    """Whether a column says something about a layer."""
    return getattr(row, name) not in (("", "?", "0", "0 B") if name in _NUMBERS else ("",))


def _row(number: int, step: Step, form: Form, *, numbered: bool) -> Row:
    text = short_text(step.layer)
    return _costs(f"{number} {text}" if numbered else text, [step], step.shift, form.text(step.channels, step.output))


def _in_all(steps: Sequence[Step]) -> Row | None:
    return _costs("in all", steps, steps[-1].total_shift) if len(steps) > 1 else None


def _costs(text: str, steps: Sequence[Step], shift: Sequence[Fraction | None], output: str = "") -> Row:
    return Row(
        layer=text,
        output=output,
        shift=_by_axis(shift),
        sees=_by_axis(steps[-1].receptive_field),
        parameters=_amount(total(steps, "parameters")),
        multiply_adds=_amount(total(steps, "multiply_adds")),
        memory=_bytes(total(steps, "memory_bytes")),
    )


def _arithmetic(steps: Sequence[Step]) -> list[str]:
    """The formula of each axis after each layer that changes sizes, if they are few."""
    changing = [
        (number, step) for number, step in enumerate(steps, start=1) if not isinstance(step.layer, SizeKeeping | Mixing)
    ]
    if not 1 <= len(changing) <= _MOST_WITH_ARITHMETIC:
        return []
    lines = []
    for number, step in changing:
        axes: dict[str, list[str]] = {}
        for name, formula in zip(axis_names(len(step.formulas)), step.formulas, strict=True):
            axes.setdefault(formula, []).append(name)
        label = f"{number} {step.layer.name}, " if len(steps) > 1 else ""
        places = {" and ".join(names) + ":": formula for formula, names in axes.items()}
        lines += [f"{label}{place.ljust(max(map(len, places)))} {formula}" for place, formula in places.items()]
    return ["", *lines]


def both_ends(layers: Sequence[Shown], what: str = "layers") -> tuple[list[Shown], list[str]]:
    """The layers, or other steps, to show in a table, and a line about those that are left out.

    Args:
        what: what they are called in this line.
    """
    if len(layers) <= 2 * _ROWS_AT_AN_END:
        return list(layers), []
    left_out = f"{len(layers) - 2 * _ROWS_AT_AN_END} {what} in the middle are left out here; --json has them"
    return [*layers[:_ROWS_AT_AN_END], *layers[-_ROWS_AT_AN_END:]], [left_out]


def _by_axis(values: Sequence[Fraction | int | None]) -> str:
    """A value for each axis, or one value if all are equal, or a dash after a Flatten."""
    texts = ["varies" if value is None else str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts) or "-"


def _amount(number: int | None) -> str:
    return "?" if number is None else f"{number:,}".replace(",", " ")


def _bytes(number: int | None) -> str:
    if number is None:
        return "?"
    return f"{number / 2**20:.2f} MiB" if number >= 2**20 else f"{number} B"
