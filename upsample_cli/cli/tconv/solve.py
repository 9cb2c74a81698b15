"""`tconv solve`: find layers that lead from one size to another. It does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.options import refuse_output_padding, settings_given, size_given
from upsample_cli.cli.tconv.printing import fitted_table, print_document, print_notes, result_console
from upsample_cli.tconv.solutions import Solution, Solutions, as_json, smooth_alternative, why_best
from upsample_cli.tconv.solve import solve

if TYPE_CHECKING:
    from rich.table import Table

SizeBefore = Annotated[
    str, typer.Option("--from", metavar="SIZE", help="Size before the layer: 112, 112x112 or 8x112x112.")
]
SizeAfter = Annotated[str, typer.Option("--to", metavar="SIZE", help="Size after the layer, with as many axes.")]
AnySize = Annotated[
    bool, typer.Option("--any-size", help="Only layers that enlarge or reduce every size by the same factor.")
]
Conv = Annotated[bool, typer.Option("--conv", help="Try ordinary instead of transposed convolutions.")]
Limit = Annotated[int, options.number_option(min=1, help="Most rows of the table.")]
AllAsDocument = Annotated[bool, typer.Option("--json", help="Print all solutions as one JSON document.")]


def _narrowing(declared: Callable[..., Any], what: str) -> Any:
    return declared(metavar="N,N", help=f"Try only these values of {what}.")


def solve_command(
    before: SizeBefore,
    after: SizeAfter,
    kernel_size: Annotated[str | None, _narrowing(options.kernel_size_option, "kernel_size")] = None,
    stride: Annotated[str | None, _narrowing(options.stride_option, "stride")] = None,
    padding: Annotated[str | None, _narrowing(options.padding_option, "padding")] = None,
    output_padding: Annotated[str | None, _narrowing(options.setting_option, "output_padding")] = None,
    dilation: Annotated[str | None, _narrowing(options.dilation_option, "dilation. Default 1")] = None,
    any_size: AnySize = False,
    conv: Conv = False,
    limit: Limit = 10,
    as_document: AllAsDocument = False,
) -> None:
    """Find the settings that lead from one size to another, best first.

    \b
    Examples:
      tconv solve --from 112 --to 224
      tconv solve --from 112x56 --to 224x168 --kernel-size 3,4,5
      tconv solve --from 224 --to 112 --conv --any-size
      tconv solve --from 10x50x100 --to 19x100x200 --json
    """
    settings = settings_given(locals(), several="several values to try")
    refuse_output_padding(settings, conv=conv)
    allowed = {name: (values,) if isinstance(values, int) else values for name, values in settings.items()}
    examples = "112, 112x112 or 8x112x112"
    sizes, wanted = size_given("--from", before, examples), size_given("--to", after, examples)
    solutions = solve(sizes, wanted, conv=conv, any_size=any_size, **allowed)
    if as_document:
        print_document(as_json(solutions))
    else:
        _print_solutions(solutions, limit)


def _table(found: Sequence[Solution], text: Callable[[object], str]) -> Table:
    from rich.table import Table

    table = Table("layer", "every size", "shift", "even taps", "taps")
    for one in found:
        shift = ", ".join(dict.fromkeys(str(value) for value in one.shift))
        even = "; ".join(["yes" if one.even else "no", *one.unreached])
        table.add_row(text(one.layer), "yes" if one.exact else "no", shift, even, str(one.taps))
    return table


def _print_solutions(solutions: Solutions, limit: int) -> None:
    console = result_console()
    console.print(fitted_table(console, partial(_table, solutions.found[:limit])))
    more = len(solutions.found) - limit
    if more > 0:
        console.print(f"and {more} more; --limit {len(solutions.found)} shows them")
    if not solutions.complete:
        console.print("the axes have too many solutions to combine them all: the best of each are combined")
    console.print(f"tried: {solutions.bounds}")
    if solutions.found[0].unreached:
        print_notes(console, [f"with the first, {missed}" for missed in solutions.found[0].unreached])
    smooth = smooth_alternative(solutions)
    if smooth is not None:
        console.print(
            f"note: the blocks of the best layer do not overlap, so it cannot interpolate; {smooth.layer} can"
        )
    console.print(f"best: {solutions.found[0].layer}: {why_best(solutions.found[0])}", style="bold")
