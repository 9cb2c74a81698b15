"""`tconv shape` for an ONNX file: print the sizes along its graph, and which sizes fit."""

from __future__ import annotations

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.onnx_argument import is_onnx
from upsample_cli.cli.tconv.printing import print_document, print_notes, print_rows, result_console
from upsample_cli.cli.tconv.shape_tables import both_ends
from upsample_cli.errors import UsageError
from upsample_cli.tconv.graphs.input_shapes import Shapes
from upsample_cli.tconv.graphs.node_layers import node_text
from upsample_cli.tconv.graphs.report import GraphReport, as_json, graph_report, notes
from upsample_cli.tconv.graphs.sizes import shape_text
from upsample_cli.tconv.layers.symbolic import parse_size
from upsample_cli.text import shortened


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
    shown, left_out = both_ends(report.steps, "nodes")
    rows = [("node", "layer", "output")]
    for step in shown:
        label, layer = one_line(step.node.label), one_line(node_text(step, report.opset))
        rows.append((label, layer, shape_text(step.outputs[0].shape)))
    console.print(answer, style="bold")
    console.print()
    print_rows(console, rows)
    for line in left_out:
        console.print(line)
    print_notes(console, map(one_line, notes(report)))


def _shapes(shapes: Shapes) -> str:
    """The shapes of inputs or results, with their names if they are several."""
    if len(shapes) == 1:
        return shape_text(next(iter(shapes.values())))
    return ", ".join(f"{one_line(shortened(name))} {shape_text(shape)}" for name, shape in shapes.items())
