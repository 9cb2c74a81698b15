"""Print the size formulas of `tconv shape --formula`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upsample_cli.cli.tconv.options import refuse_output_padding
from upsample_cli.cli.tconv.printing import print_document, print_notes, result_console
from upsample_cli.cli.tconv.shape_tables import GAP, both_ends, longest_word, table_lines
from upsample_cli.geometry.axes import axis_names
from upsample_cli.tconv.formula import INPUT, ChainFormula, LayerFormula, formula_lines
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.model import LETTERS, Layer
from upsample_cli.tconv.layers.symbolic import Size
from upsample_cli.tconv.shape import least_letter, size_text
from upsample_cli.tconv.shape_text import short_text

if TYPE_CHECKING:
    from rich.console import Console


def print_general(settings: Mapping[str, Any], *, conv: bool, as_document: bool) -> None:
    """Print the formula of a layer without a kernel size, in letters for the settings that were not given."""
    refuse_output_padding(settings, conv=conv)
    layer = (Convolution if conv else TransposedConvolution)(1, kernel_size=1)
    known = {name: value for name, value in settings.items() if isinstance(value, int)}
    line = f"out = {layer.letter_formula(known)}"
    if as_document:
        print_document({"formula": {"general": [line]}})
    else:
        print(line)


def print_formulas(formulas: ChainFormula, size: str | None, notes: Sequence[str], *, terse: bool) -> None:
    """Print the formulas in letters, a table of the layers that change a size, and the formulas of the whole chain.

    Args:
        formulas: the formulas.
        size: a line with the sizes before and after the chain; None to leave it out.
        notes: notes.
        terse: print only the formula of the whole chain.
    """
    names = axis_names(len(formulas.after))
    after = formula_lines(names, formulas.after, "out")
    console = result_console()
    if terse:
        console.print(*after, sep="\n")
        return
    if size is not None:
        console.print(size, "", style="bold", sep="\n")
    if formulas.general:
        console.print(*(f"out = {one}" for one in formulas.general), "", sep="\n")
    if formulas.layers:
        console.print(*_table(formulas.layers, console), "", sep="\n")
    console.print(*after, *formula_lines(names, formulas.before, "in"), sep="\n", style="bold")
    print_notes(console, notes)


def formula_notes(formulas: ChainFormula, layers: Sequence[Layer], axes: int) -> list[str]:
    """For which sizes and layers the formulas hold."""
    notes = []
    if formulas.end is not None:
        name = f"layer {formulas.end}, {layers[formulas.end - 1].name}"
        notes.append(f"the formula ends before {name}, for which the size is needed in numbers")
    least = least_letter((INPUT,) * axes, layers[: None if formulas.end is None else formulas.end - 1])
    return notes if least is None else [*notes, f"for every in of {least} or more"]


def letter_notes(sizes: Sequence[Size], layers: Sequence[Layer], channels: int | None) -> list[str]:
    """For which values of its letters a size is legal."""
    least = least_letter(sizes, layers, channels=channels)
    return [] if least is None else [f"for every size of {least} or more in place of a letter"]


def _table(layers: Sequence[LayerFormula], console: Console) -> list[str]:
    """The lines of a table: a row for each layer, with the values of its letters."""
    header = {name: name for name in ("layer", *LETTERS.values(), "out")}
    rows = []
    shown, left_out = both_ends(layers)
    for one in shown:
        number = f"{one.number} " if len(layers) > 1 else ""
        out = size_text(one.after if len(set(one.after)) > 1 else one.after[:1])
        letters = {letter: one.letters.get(letter, "-") for letter in LETTERS.values()}
        rows.append({"layer": number + short_text(one.layer), **letters, "out": out})
    widths = {name: max(len(row[name]) for row in (header, *rows)) for name in header}
    rest = sum(widths.values()) - widths["layer"] + GAP * (len(widths) - 1)
    least = max(longest_word(row["layer"]) for row in rows)
    widths["layer"] = min(widths["layer"], max(least, console.width - rest))
    return [*table_lines(header, rows, widths, ascii_only=console.options.ascii_only), *left_out]
