"""`tconv overlap`: context of chunks, and their cuts. It imports torch only for `--check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from upsample_cli.cli.tconv import layer_options, options
from upsample_cli.cli.tconv.layer_options import required_layers
from upsample_cli.cli.tconv.options import size_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document, print_notes, progress_shown, result_console
from upsample_cli.errors import UsageError
from upsample_cli.geometry.axes import axis_names
from upsample_cli.geometry.chunks import Cuts, Overlap
from upsample_cli.tconv.chain_input import split_size
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.overlap import as_json, check_runs, overlaps
from upsample_cli.tconv.shape import size_text

if TYPE_CHECKING:
    from rich.console import Console

    from upsample_cli.tconv.overlap_check import Checked

_MOST_CUTS = 100_000
_SHOWN_AT_AN_END = 3
_LEAST_CHUNK, _CHUNKS_TO_CHECK = 16, 3

Layers = Annotated[
    list[str] | None,
    typer.Argument(metavar="LAYERS", help='One or more layers as PyTorch writes them: "Conv1d(1, 8, 7, padding=3)".'),
]
InputSize = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Size of the whole input: 44100, or 50x100, height before width.")
]
Chunk = Annotated[
    str | None,
    options.number_option(help="Input samples of a chunk, without its context: one number, or one per axis."),
]
Check = Annotated[
    bool, typer.Option("--check", help="Run both ways in torch, with random weights in float64, and compare.")
]


def overlap_command(
    layers: Layers = None,
    *,
    file: layer_options.File = None,
    part: layer_options.Part = None,
    in_order: layer_options.InOrder = False,
    let: layer_options.Let = None,
    size: InputSize = None,
    chunk: Chunk = None,
    check: Check = False,
    as_document: options.AsDocument = False,
) -> None:
    """Find the context that chunks need, so that a chain run chunk by chunk equals one run.

    \b
    Examples:
      tconv overlap "Conv1d(1, 8, 7, padding=3)" "MaxPool1d(2)"
      tconv overlap "Conv1d(1, 8, 7, 2, 3)" --size 44100 --chunk 4096
      tconv overlap "ConvTranspose2d(8, 3, 4, 2, 1)" --chunk 32 --check
    """
    chosen = required_layers(layers, file, part=part, in_order=in_order, let=let)
    chain = chosen.layers
    sizes = _size(size, chain)
    found = overlaps(chain, sizes)
    chunks = _chunks(chunk, len(found))
    if check:
        chunks = chunks or [max(_LEAST_CHUNK, one.left + one.right) // one.step * one.step + one.step for one in found]
        sizes = sizes or [_CHUNKS_TO_CHECK * one + one // 2 for one in chunks]
        found = overlaps(chain, sizes)
    cuts = _cuts(chain, sizes, found, chunks)
    checked = _checked(chain, sizes, cuts) if check and sizes else None
    if as_document:
        for along in cuts:
            if len(along) > _MOST_CUTS:
                raise UsageError(f"{len(along)} chunks are too many to list", "use a larger --chunk")
        comparison = {} if checked is None else {"difference": checked.difference, "is_equal": checked.is_equal}
        print_document(as_json(sizes, found, cuts, chosen.notes) | comparison)
    else:
        _print(found, cuts, checked, sizes, [*chosen.notes, *_notes(axis_names(len(found)), found, chunks)])
    if checked is not None and not checked.is_equal:
        raise typer.Exit(1)


def _size(text: str | None, chain: Sequence[Layer]) -> Sequence[int] | None:
    if text is None:
        return None
    sizes = size_given("--size", text, "44100, or 50x100 with height before width")
    _, _, along = split_size(sizes, chain)
    return [size for size in along if isinstance(size, int)]


def _chunks(text: str | None, axes: int) -> list[int] | None:
    if text is None:
        return None
    given = whole_numbers("chunk", text)
    numbers = [given] if isinstance(given, int) else list(given)
    if len(numbers) not in (1, axes):
        raise UsageError(f"--chunk {text} has {len(numbers)} numbers for {axes} axes", f"give one number, or {axes}")
    return numbers * (axes // len(numbers))


def _cuts(
    chain: Sequence[Layer], sizes: Sequence[int] | None, found: Sequence[Overlap], chunks: Sequence[int] | None
) -> list[Cuts]:
    """The cuts along each axis; empty if they are unknown. A chunk off the grid is refused in any case."""
    if chunks is None:
        return []
    cuts = [one.cuts(chunk) for one, chunk in zip(found, chunks, strict=True)]
    if sizes is None:
        return []
    check_runs(chain, sizes, cuts)
    return cuts


def _checked(chain: Sequence[Layer], sizes: Sequence[int], cuts: Sequence[Cuts]) -> Checked:
    from upsample_cli.tconv.overlap_check import check

    with progress_shown("comparing", 1) as advance:
        return check(chain, sizes, cuts, advance=advance)


def _print(
    found: Sequence[Overlap],
    cuts: Sequence[Cuts],
    checked: Checked | None,
    sizes: Sequence[int] | None,
    notes: Sequence[str],
) -> None:
    from rich.table import Table

    console = result_console()
    names = axis_names(len(found))
    table = Table("axis", "left context", "right context", "grid", "outputs")
    for name, one in zip(names, found, strict=True):
        table.add_row(name, str(one.left), str(one.right), str(one.step), f"{one.outputs} for {one.step} of the input")
    console.print(table)
    for name, along in zip(names, cuts, strict=False):
        _print_cuts(console, name, along)
    print_notes(console, notes)
    if checked is not None and sizes is not None:
        verdict = "equal" if checked.is_equal else "DIFFERENT"
        console.print(
            f"check: {verdict}: {checked.runs} chunks of {size_text(sizes)} differ from one run by at most "
            f"{checked.difference:.2g}; the largest output is {checked.largest:.2g}",
            style="bold",
        )


def _print_cuts(console: Console, name: str, cuts: Cuts) -> None:
    from rich.table import Table

    table = Table("chunk", f"read {name}", "drop first", "keep", "they are outputs")
    count = len(cuts)
    ends = [*range(min(count, _SHOWN_AT_AN_END)), *range(max(count - _SHOWN_AT_AN_END, _SHOWN_AT_AN_END), count)]
    for before, number in zip([-1, *ends], ends, strict=False):
        cut = cuts[number]
        if number > before + 1:
            table.add_row(*["..."] * 5)
        (start, stop), (first, after) = cut.read, cut.keep
        table.add_row(
            str(number + 1), f"{start} to {stop - 1}", str(cut.drop), str(after - first), f"{first} to {after - 1}"
        )
    console.print(f"chunks of {cuts.chunk}:")
    console.print(table)


def _notes(names: Sequence[str], found: Sequence[Overlap], chunks: Sequence[int] | None) -> list[str]:
    notes = []
    for name, one, chunk in zip(names, found, chunks or [0] * len(found), strict=True):
        where = f"{name}: " if len(found) > 1 else ""
        if len(found) == 1:
            notes.append(f"a stream keeps {one.context} samples before a chunk, and waits for {one.right} after it")
        if chunk:
            share = (one.context + one.right) / chunk
            notes.append(f"{where}a chunk of {chunk} is read with {one.context + one.right} more, {share:.1%} of it")
    return notes
