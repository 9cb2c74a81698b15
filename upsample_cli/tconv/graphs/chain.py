"""A network without branches in an ONNX file as a chain of layers. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.tconv.graphs.input_shapes import input_shapes, main_input
from upsample_cli.tconv.graphs.node_layers import layers_of
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.graphs.report import named
from upsample_cli.tconv.graphs.sizes import PreparedGraph
from upsample_cli.tconv.layers.model import Layer


def chain_of(path: str | Path, size: Sequence[int]) -> tuple[tuple[Layer, ...], str]:
    """The layers of a network up to the first node that leaves no axes, and a remark on what is left out.

    Args:
        path: the ONNX file.
        size: sizes of the input's axes, or one number for all. Layers can depend on it, with auto_pad for example.

    Raises:
        ImageError: if the file cannot be read.
        UsageError: if the network has branches, or a node is not a layer of PyTorch.
    """
    graph = read_onnx(path)
    with named(graph.path):
        main = main_input(graph)
        axes = len(main.shape) - 2 if main.shape else len(size)
        shapes, last = input_shapes(graph, tuple(size) * axes if len(size) == 1 else size), main.name
        layers: list[Layer] = []
        for step in PreparedGraph(graph).steps(shapes):
            data = [
                name
                for name, value in zip(step.node.inputs, step.inputs, strict=True)
                if value is not None and value.numbers is None and name not in graph.constants
            ]
            if data != [last]:
                raise UsageError(f"{graph.path}: {step.node} is on a branch", "give a network without branches")
            if len(step.outputs[0].shape) < 3 or max(step.outputs[0].shape[2:]) == 1:
                return tuple(layers), f"left out, because no axes remain there: {step.node} and what follows"
            found = layers_of(step, graph.opset)
            if found is None:
                raise GeometryError(f"{step.node} is not a layer of PyTorch", "export the part before it")
            layers += found
            last = step.node.outputs[0]
        return tuple(layers), ""
