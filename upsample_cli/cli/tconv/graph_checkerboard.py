"""`tconv checkerboard` for an ONNX file: every transposed convolution in it, with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.tconv.printing import print_document, print_notes, print_rows, result_console
from upsample_cli.tconv.checkerboard import as_json, checkerboard
from upsample_cli.tconv.graphs.graph import Graph
from upsample_cli.tconv.graphs.transposed import NodeLayer, convolutions_of, read_weight

if TYPE_CHECKING:
    from upsample_cli.tconv.layers.convolution import TransposedConvolution


def print_graph_checkerboard(path: str, *, as_document: bool) -> None:
    """Check every transposed convolution of a file. Weights outside the file are not measured."""
    graph, found = convolutions_of(path)
    documents = [_document(graph, one) for one in found]
    if as_document:
        print_document({"file": path, "nodes": documents})
        return
    console = result_console()
    rows = [("node", "layer", "settings", "weights")]
    rows += [
        (one_line(one.node.label), str(one.layer), *_verdicts(document))
        for one, document in zip(found, documents, strict=True)
    ]
    uneven = sum(document.get("weights_even", document["even"]) is False for document in documents)
    console.print(f"{uneven} of {len(found)} transposed convolutions give checkerboards", style="bold")
    console.print()
    print_rows(console, rows)
    cures = {str(document["layer"]): document["cures"] for document in documents if document["cures"]}
    print_notes(console, (f"{layer}: the overlap is even with {' or '.join(cure)}" for layer, cure in cures.items()))


def _document(graph: Graph, one: NodeLayer) -> dict[str, Any]:
    verdict = checkerboard(cast("TransposedConvolution", one.layer))  # no others are asked for
    document = {"node": one.node.name, **as_json(verdict)}
    weight = read_weight(graph, one)
    if weight is None:
        return document
    from upsample_cli.tconv.checkerboard_weights import gains

    measured = gains(weight, verdict.axes, groups=one.layer.groups)
    return document | {"weights_even": measured.is_even, "weights_amplitude_levels": measured.amplitude_levels}


def _verdicts(document: dict[str, Any]) -> tuple[str, str]:
    """What settings and weights give for a flat grey, in levels."""
    settings = "even" if document["even"] else f"{document['amplitude_levels']:.1f} levels"
    if "weights_even" not in document:
        return settings, "not in the file"
    return settings, "even" if document["weights_even"] else f"{document['weights_amplitude_levels']:.1f} levels"
