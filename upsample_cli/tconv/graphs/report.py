"""What `tconv shape` says about a graph: sizes, the sizes that fit, and what to pad. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upsample_cli.errors import GeometryError, joined
from upsample_cli.tconv.graphs.fitting import fitting_sizes, joins
from upsample_cli.tconv.graphs.input_shapes import Shapes, input_shapes, main_input
from upsample_cli.tconv.graphs.node_layers import node_text
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.graphs.sizes import GraphStep, PreparedGraph
from upsample_cli.tconv.size_pattern import AxisFit, fit_json, fits_text, padding_text


@dataclass(frozen=True, slots=True)
class GraphReport:
    """A graph for one size of its input.

    Args:
        inputs: the shape of each input.
        outputs: the shape of each result.
        steps: the nodes that compute with the input, without those that compute sizes.
        opset: version of the operators.
        joined: how many nodes join branches.
        fits: what fits along each axis; None if branches do not meet, or the sizes that fit were not found.
    """

    inputs: Shapes
    outputs: Shapes
    steps: tuple[GraphStep, ...]
    opset: int
    joined: int
    fits: tuple[AxisFit, ...] | None


def graph_report(path: str | Path, size: Sequence[int] | None = None) -> GraphReport:
    """The sizes of a network in an ONNX file.

    Args:
        path: the file.
        size: sizes of the input's axes, optionally after channels, or batch and channels; None for those in the file.

    Raises:
        ImageError: if the file cannot be read.
        GeometryError: if the size does not fit; the message says what to pad.
        UsageError: if a size is missing, or an operator is not supported.
    """
    graph = read_onnx(path)
    with named(graph.path):
        prepared = PreparedGraph(graph)
        main, shapes = main_input(graph), input_shapes(graph, size)
        try:
            steps = prepared.steps(shapes)
        except GeometryError as error:
            raise _with_padding(error, fitting_sizes(prepared, shapes, main.name)) from error
        found = joins(steps)
        fits = fitting_sizes(prepared, shapes, main.name) if found else None
        values = {name: value for step in steps for name, value in step.named_outputs.items()}
        outputs = {name: values[name].shape for name in graph.outputs if name in values}
        shown = tuple(step for step in steps if step.outputs and step.outputs[0].numbers is None)
        return GraphReport(shapes, outputs, shown, graph.opset, len(found), fits)


def _with_padding(error: GeometryError, fits: Sequence[AxisFit] | None) -> GeometryError:
    """An error of a size that does not fit, with what to pad as the next step."""
    if fits is None or all(fit.padded == fit.size for fit in fits):
        return error
    return GeometryError(joined(error.cause), f"pad the input to {padding_text(fits)}; {fits_text(fits)}")


def notes(report: GraphReport) -> tuple[str, ...]:
    """Remarks on where the branches of a graph meet."""
    if not report.joined:
        return ()
    count = {1: "the one place", 2: "both places"}.get(report.joined, f"all {report.joined} places")
    meet = f"{count} where branches meet"
    if report.fits is None:
        return (f"the sizes are equal at {meet}; no other sizes of the input were found that repeat and fit",)
    return (f"the sizes are equal at {meet}; {fits_text(report.fits)}",)


def as_json(report: GraphReport) -> dict[str, Any]:
    """The report for programs."""
    return {
        "inputs": {name: list(shape) for name, shape in report.inputs.items()},
        "outputs": {name: list(shape) for name, shape in report.outputs.items()},
        "joins": report.joined,
        "fits": None if report.fits is None else [fit_json(fit) for fit in report.fits],
        "remarks": list(notes(report)),
        "nodes": [
            {
                "name": step.node.name,
                "operator": step.node.operator,
                "layer": node_text(step, report.opset),
                "inputs": [list(value.shape) for value in step.inputs if value is not None and value.numbers is None],
                "output": list(step.outputs[0].shape),
            }
            for step in report.steps
        ],
    }


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the name of a file before the cause of an error of its graph."""
    try:
        yield
    except GeometryError as error:
        raise GeometryError(joined(f"{path}: ", error.cause), error.next_step) from error
