"""Nodes of a graph as layers of PyTorch, where there are such layers. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axes import collapsed
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.operators.keeping import KEEPING
from upsample_cli.tconv.graphs.operators.resizing import scales_of
from upsample_cli.tconv.graphs.operators.selecting import pads_of
from upsample_cli.tconv.graphs.operators.sliding import WEIGHT_PLACES, along_axes
from upsample_cli.tconv.graphs.sizes import GraphStep, shape_text
from upsample_cli.tconv.layers.convolution import CONV_SETTINGS, Convolution
from upsample_cli.tconv.layers.mixing import outputs
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.plain import Padding, Shuffling, SizeKeeping
from upsample_cli.tconv.layers.pooling import AdaptivePooling, Pooling
from upsample_cli.tconv.layers.symbolic import Size
from upsample_cli.tconv.layers.upsampling import Upsampling
from upsample_cli.tconv.translate.restored import restored

_POOLS = {"MaxPool": "MaxPool", "AveragePool": "AvgPool"}
_GLOBAL_POOLS = {"GlobalMaxPool": "AdaptiveMaxPool", "GlobalAveragePool": "AdaptiveAvgPool"}
_SHUFFLES = {"DepthToSpace": "PixelShuffle", "SpaceToDepth": "PixelUnshuffle"}
_PADS = {"constant": "ZeroPad", "reflect": "ReflectionPad", "edge": "ReplicationPad", "wrap": "CircularPad"}
_KEEPING_ALSO = ("Identity", "Cast", "Clip", "Sqrt", "Exp", "Log", "Neg", "Abs")
_TRANSPOSED = ("kernel_size", "stride", "dilation")
_MOST_JOINED = 3
_SHOWN = (
    "axis", "perm", "axes", "blocksize", "mode", "kernel_shape", "strides", "pads", "dilations", "auto_pad",
    "ceil_mode", "output_shape", "output_padding", "group",
)  # fmt: skip
"""Attributes of other nodes to show."""


def layers_of(step: GraphStep, opset: int) -> tuple[Layer, ...] | None:
    """The layers that do what a node does to sizes; None if PyTorch does not have them.

    They are several if pads differ between the two ends: PyTorch pads or crops in a step of its own.
    """
    given = next(value for value in step.inputs if value is not None)
    try:
        layers = _layers(step, opset, given.shape[2:])
        channels: int | None = given.shape[1] if len(given.shape) > 1 else None
        sizes: tuple[Size, ...] = given.shape[2:]
        for layer in layers or ():
            channels, sizes = outputs(layer, channels, sizes)
    except GeometryError:  # settings that PyTorch's layer does not have
        return None
    return layers if (*given.shape[:1], channels, *sizes) == step.outputs[0].shape else None


def _layers(step: GraphStep, opset: int, sizes: tuple[int, ...]) -> tuple[Layer, ...] | None:
    node, axes = step.node, len(sizes)
    layers: tuple[Layer, ...] | None = None
    if node.operator in KEEPING or node.operator in _KEEPING_ALSO:
        layers = (SizeKeeping(node.operator),)
    elif node.operator in _SHUFFLES:
        layers = (Shuffling(_SHUFFLES[node.operator], node.int("blocksize", 1)),)
    elif axes not in (1, 2, 3):
        pass
    elif node.operator in WEIGHT_PLACES:
        layers = _convolution(step, sizes)
    elif node.operator in _POOLS:
        layers = _pool(node, sizes)
    elif node.operator in _GLOBAL_POOLS:
        layers = (AdaptivePooling(_GLOBAL_POOLS[node.operator], axes, output_size=1),)
    elif node.operator == "Pad":
        layers = _pad(step, axes, opset)
    elif node.operator in ("Resize", "Upsample"):
        layers = (_upsampling(step, opset),)
    return layers


def _upsampling(step: GraphStep, opset: int) -> Upsampling:
    scales, after = scales_of(step.node, step.inputs, opset), step.outputs[0].shape
    if scales is None:
        return Upsampling(size=after[2:])
    along = (scales.get(place, 1.0) for place in range(2, len(after)))
    numbers = tuple(int(scale) if scale.is_integer() else scale for scale in along)
    return Upsampling(scale_factor=numbers[0] if len(set(numbers)) == 1 else numbers)


def _convolution(step: GraphStep, sizes: Sequence[int]) -> tuple[Layer, ...] | None:
    node, place = step.node, WEIGHT_PLACES[step.node.operator]
    weight = step.inputs[place]
    bias = len(step.inputs) > place + 1 and step.inputs[place + 1] is not None
    return None if weight is None else convolution_of(node, sizes, weight.shape, bias=bias)


def convolution_of(node: Node, sizes: Sequence[int], weight: Sequence[int], *, bias: bool) -> tuple[Layer, ...]:
    """A convolution with what PyTorch does in a step of its own: padding before it, or a crop after a transposed one.

    Args:
        node: the node.
        sizes: sizes of its input, without batch and channels.
        weight: the shape of its weight.
        bias: whether it has a bias.

    Raises:
        GeometryError: if PyTorch does not have such a layer.
    """
    groups, axes = node.int("group", 1), along_axes(node, sizes, weight[2:])
    transposed = node.operator == "ConvTranspose"
    channels: dict[str, Any] = {
        "in_channels": weight[0] if transposed else weight[1] * groups,
        "out_channels": weight[1] * groups if transposed else weight[0],
        "groups": groups,
        "bias": bias,
    }
    if transposed:
        return _transposed(axes, channels)
    inner, around = _evened(axes)
    settings: dict[str, Any] = {name: collapsed(getattr(axis, name) for axis in inner) for name in CONV_SETTINGS}
    return (*around, Convolution(len(axes), **settings, **channels))


def _transposed(axes: Sequence[LayerAxis], channels: dict[str, Any]) -> tuple[Layer, ...]:
    """The layer, and the crop after it if both ends are not cropped alike."""
    settings = {name: [getattr(axis, name) for axis in axes] for name in (*_TRANSPOSED, "before", "after")}
    made = restored(len(axes), settings, lambda axis: (axis["before"], axis["after"]), **channels)
    ends = [-end for pair in zip(made.crop_before[::-1], made.crop[::-1], strict=True) for end in pair]
    return (made.layer, Padding("ZeroPad", len(axes), tuple(ends))) if any(ends) else (made.layer,)


def _evened(axes: Sequence[LayerAxis]) -> tuple[list[LayerAxis], tuple[Layer, ...]]:
    """Axes with the same padding at both ends, and the padding that must come before them."""
    if all(axis.before == axis.after and axis.before >= 0 for axis in axes):
        return list(axes), ()
    ends = tuple(end for axis in reversed(axes) for end in (axis.before, axis.after))
    return [replace(axis, padding=0, output_padding=0) for axis in axes], (Padding("ZeroPad", len(axes), ends),)


def _pool(node: Node, sizes: Sequence[int]) -> tuple[Layer, ...] | None:
    inner, around = _evened(along_axes(node, sizes, None))
    ceil_mode = node.int("ceil_mode", 0) != 0
    if around and (ceil_mode or node.operator != "AveragePool"):  # zeros around are not what a maximum is taken of
        return None
    settings = {name: collapsed(getattr(axis, name) for axis in inner) for name in CONV_SETTINGS}
    return (*around, Pooling(_POOLS[node.operator], len(inner), ceil_mode=ceil_mode, **settings))


def _pad(step: GraphStep, axes: int, opset: int) -> tuple[Layer, ...] | None:
    pairs = pads_of(step.node, step.inputs, opset)
    kind = _PADS.get(step.node.text("mode", "constant"))
    if kind is None or any(map(any, pairs[:2])):
        return None
    return (Padding(kind, axes, tuple(end for pair in reversed(pairs[2:]) for end in pair)),)


def node_text(step: GraphStep, opset: int) -> str:
    """A node as text: a layer of PyTorch, or the operator with the settings that sizes depend on."""
    layers = layers_of(step, opset)
    if layers is not None:
        return ", ".join(map(str, layers))
    node = step.node
    settings = [f"{name}={_shown(node.attributes[name])}" for name in _SHOWN if name in node.attributes]
    if len(step.inputs) > 1 and node.operator != "Gemm":
        values = [value for value in step.inputs if value is not None and value.numbers is None]
        joined = [shape_text(value.shape) for value in values if len(value.shape) > 2]
        more = [f"{len(joined) - _MOST_JOINED} more"] if len(joined) > _MOST_JOINED else []
        settings += [" + ".join([*joined[:_MOST_JOINED], *more])] if len(joined) > 1 else []
    return f"{node.operator}({', '.join(settings)})"


def _shown(value: object) -> str:
    return str(list(value) if isinstance(value, tuple) else value)[:40]
