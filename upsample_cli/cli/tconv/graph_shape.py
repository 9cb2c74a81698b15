"""`tconv shape` for an ONNX file: print the sizes along its graph, and which sizes fit."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.onnx_argument import is_onnx
from upsample_cli.cli.tconv.printing import print_document, print_notes, print_rows, result_console
from upsample_cli.errors import UsageError
from upsample_cli.tconv.graphs.graph import shortened
from upsample_cli.tconv.graphs.input_shapes import Shapes
from upsample_cli.tconv.graphs.node_layers import node_text
from upsample_cli.tconv.graphs.report import GraphReport, as_json, graph_report, notes
from upsample_cli.tconv.graphs.sizes import GraphStep, shape_text
from upsample_cli.tconv.layers.symbolic import parse_size

_ROWS_AT_AN_END = 250
"""The most rows at each end of a table. The middle of a larger graph is left out."""


def print_graph(path: str, size: str | None, *, as_document: bool, terse: bool = False) -> None:
    """Print the sizes along a graph.

    Args:
        path: the ONNX file.
        size: the size of its input, or the path of the file again for the size that it states.
        as_document: print JSON.
        terse: print only the sizes of the results.
    """
    report = graph_report(path, None if size is None or is_onnx(size) else _numbers(size))
    if as_document:
        print_document(as_json(report))
    elif terse:
        print(*map(shape_text, report.outputs.values()), sep="\n")
    else:
        _print_report(report)


def _numbers(size: str) -> tuple[int, ...]:
    sizes = parse_size(size)
    if sizes is None or 0 in sizes:
        raise UsageError(f"'{size}' is not a size in numbers", "write for example 1x3x224x224, 3x224x224 or 224x224")
    return sizes


def _print_report(report: GraphReport) -> None:
    console = result_console()
    answer = f"{_shapes(report.inputs)} -> {_shapes(report.outputs)}"
    shown = _shown(report.steps)
    rows = [("node", "layer", "output")]
    for step in shown:
        label, layer = one_line(step.node.label), one_line(node_text(step, report.opset))
        rows.append((label, layer, shape_text(step.outputs[0].shape)))
    console.print(answer, style="bold")
    console.print()
    print_rows(console, rows)
    if len(shown) < len(report.steps):
        console.print(f"{len(report.steps) - len(shown)} nodes in the middle are left out here; --json has them")
    print_notes(console, map(one_line, notes(report)))


def _shown(steps: Sequence[GraphStep]) -> Sequence[GraphStep]:
    return steps if len(steps) <= 2 * _ROWS_AT_AN_END else (*steps[:_ROWS_AT_AN_END], *steps[-_ROWS_AT_AN_END:])


def _shapes(shapes: Shapes) -> str:
    """The shapes of inputs or results, with their names if they are several."""
    if len(shapes) == 1:
        return shape_text(next(iter(shapes.values())))
    return ", ".join(f"{one_line(shortened(name))} {shape_text(shape)}" for name, shape in shapes.items())
