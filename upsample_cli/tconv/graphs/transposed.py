"""The convolutions in an ONNX file as layers of PyTorch, with their weights. No torch; numpy only for weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.errors import GeometryError, ImageError, UsageError
from upsample_cli.geometry.axes import located
from upsample_cli.tconv.graphs.graph import Graph, Node, Tensor
from upsample_cli.tconv.graphs.node_layers import convolution_of
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.plain import Padding, split_ends
from upsample_cli.tconv.translate.restored import Restored
from upsample_cli.text import shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ANY_SIZE = 64
"""The size for which layers are made. Only settings that depend on the size could differ for another."""
_MOST_WEIGHTS = 2**28


@dataclass(frozen=True, slots=True)
class NodeLayer:
    """A convolution of a graph.

    Args:
        node: the node.
        layer: the layer.
        crop: padding, or a crop if it is negative, that PyTorch needs a step of its own for, before a convolution or
            after a transposed one; None if there is none.
        weight: its weight, if that is a constant.
    """

    node: Node
    layer: Convolution | TransposedConvolution
    crop: Padding | None
    weight: Tensor | None

    @property
    def restored(self) -> Restored:
        """The layer and the crop after it, as `translate_back` gives them."""
        ends = (0,) * (2 * self.layer.axes)
        if self.crop is not None and isinstance(self.layer, TransposedConvolution):
            ends = tuple(-end for end in split_ends(self.crop))
        notes = [] if self.crop is None or any(ends) else [f"pad before it: nn.{self.crop}"]
        return Restored(self.layer, ends[-1::-2], ends[-2::-2], notes=tuple(notes))


def convolutions_of(path: str | Path, kinds: tuple[str, ...] = ("ConvTranspose",)) -> tuple[Graph, list[NodeLayer]]:
    """The graph of a file, and its convolutions of these kinds.

    Raises:
        ImageError: if the file cannot be read.
        UsageError: if it has none, or PyTorch does not have one of them.
    """
    graph = read_onnx(path)
    found = list(_found(graph, kinds))
    if not found:
        raise UsageError(f"{graph.path}: it has no {' or '.join(kinds)} with a constant weight", "give another file")
    return graph, found


def _found(graph: Graph, kinds: tuple[str, ...]) -> Iterator[NodeLayer]:
    for node in graph.nodes:
        weight = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.operator not in kinds or weight is None:
            continue
        sizes = (_ANY_SIZE,) * (len(weight.shape) - 2)
        with located(f"{graph.path}: {node}"):
            if len(sizes) not in (1, 2, 3):
                raise GeometryError(f"its weight has {len(weight.shape)} dimensions", "it needs 3 to 5")
            if node.ints("output_shape"):
                raise GeometryError("its output_shape fits one size only", "export it with pads")
            made = convolution_of(node, sizes, weight.shape, bias=len(node.inputs) > 2 and node.inputs[2] != "")
            layer = next(one for one in made if isinstance(one, Convolution | TransposedConvolution))
            layer.check_settings()
        crop = next((one for one in made if isinstance(one, Padding)), None)
        yield NodeLayer(node, layer, crop, weight)


def read_weight(graph: Graph, one: NodeLayer) -> NDArray[np.float64] | None:
    """The weight of a convolution in PyTorch's order, which is ONNX' too; None if it is not in the file.

    Raises:
        ImageError: if it is too large, or the file has changed.
    """
    import numpy as np

    weight = one.weight
    if weight is None or weight.content is None:
        return None
    count, name = prod(weight.shape), shortened(one.node.inputs[1])
    if count > _MOST_WEIGHTS:
        cause = f"the weight '{name}' has {count} numbers"
        raise ImageError(graph.path, cause, f"give {_MOST_WEIGHTS} at the most", kind="too-large")
    with graph.path.open("rb") as file:
        file.seek(weight.content.start)
        content = file.read(weight.content.end - weight.content.start)
    if len(content) < weight.content.end - weight.content.start:
        raise ImageError(graph.path, "changed while it was read", "leave it alone, and try again", kind="changed")
    with np.errstate(invalid="ignore"):  # refused below
        array = np.frombuffer(content, np.dtype(weight.content.code).newbyteorder("<")).astype(np.float64)
    if not np.isfinite(array).all():
        raise ImageError(graph.path, f"the weight '{name}' has numbers that are not finite", "export it again")
    return array.reshape(weight.shape)
