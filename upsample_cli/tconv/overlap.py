"""The context that a chain of layers needs to run in chunks, for `tconv overlap`. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from upsample_cli.errors import GeometryError, joined
from upsample_cli.geometry.axes import axis_names
from upsample_cli.geometry.chunks import Cuts, Link, Overlap, overlap
from upsample_cli.tconv.layers.convolution import Convolution
from upsample_cli.tconv.layers.dense import LayerNorm, Linear
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.plain import Gate, Padding, Shuffling, SizeKeeping
from upsample_cli.tconv.layers.reshaping import Flatten, Unflatten
from upsample_cli.tconv.layers.symbolic import Symbolic
from upsample_cli.tconv.shape import shape

_MIXING = (Flatten, Unflatten, Linear, LayerNorm, Gate)
"""Layers that mix all samples of an axis."""
_WHOLE_AXIS = ("InstanceNorm", "GroupNorm", "Softmax", "LogSoftmax", "Softmin")
"""Classes that can mix all samples of an axis. Softmax2d works on channels and is not among them."""
_CHECKED = 64
"""Chunks at each end whose runs are checked."""


def overlaps(layers: Sequence[Layer], sizes: Sequence[int] | None = None) -> tuple[Overlap, ...]:
    """What a chain needs along each axis.

    Args:
        layers: at least one layer.
        sizes: sizes of the whole input, without batch and channels; None if they are not known.

    Raises:
        GeometryError: a layer cannot run on parts of its input, or torch would refuse it.

    >>> from upsample_cli.tconv.layers.constructors import parse_layer
    >>> chain = [parse_layer("Conv1d(1, 8, 5, 2, 2)"), parse_layer("ConvTranspose1d(8, 1, 4, 2, 1)")]
    >>> (found,) = overlaps(chain, (100,))
    >>> found.left, found.right, found.step, found.outputs
    (4, 3, 2, 2)
    >>> found.cuts(40)[1]
    Cut(read=(36, 83), drop=4, keep=(40, 80))
    """
    for number, layer in enumerate(layers, start=1):
        _refuse_whole_axis(layer, number)
    axes = next((layer.axes for layer in layers if layer.axes is not None), 1 if sizes is None else len(sizes))
    steps = shape(tuple(sizes) if sizes is not None else (Symbolic("n"),) * axes, layers)
    found = []
    for place, name in enumerate(axis_names(axes)):
        links = []
        for number, step in enumerate(steps, start=1):
            axis = step.along[place]
            if axis is None:
                raise GeometryError(
                    f"layer {number}, {step.layer}: its outputs are not spaced evenly along {name}",
                    "run the layers before it in chunks, and this one on the whole",
                )
            before, after = step.input[place], step.output[place]
            known = (before, after) if isinstance(before, int) and isinstance(after, int) else (None, None)
            links.append(Link(axis, _padding_mode(step.layer) == "reflect", *known))
        found.append(overlap(links, ends_on_step=any(map(_divides, layers))))
    return tuple(found)


def _refuse_whole_axis(layer: Layer, number: int) -> None:
    mixes = isinstance(layer, SizeKeeping) and layer.name != "Softmax2d" and layer.name.rstrip("123d") in _WHOLE_AXIS
    if mixes or isinstance(layer, _MIXING):
        raise GeometryError(
            f"layer {number}, {layer}: it can mix all samples of an axis, so no context is enough",
            "run the layers before it in chunks, or give the chain without it if it works on channels only",
        )
    if _padding_mode(layer) == "circular":
        raise GeometryError(
            f"layer {number}, {layer}: its first outputs depend on the end of the input",
            "append the other end to the input, and use padding_mode='zeros'",
        )


def _padding_mode(layer: Layer) -> str:
    if isinstance(layer, Padding):
        return {"ReflectionPad": "reflect", "CircularPad": "circular"}.get(layer.kind, "zeros")
    return layer.padding_mode if isinstance(layer, Convolution) else "zeros"


def _divides(layer: Layer) -> bool:
    """Whether torch refuses sizes that are not a multiple of the layer's factor."""
    return isinstance(layer, Shuffling) and layer.name == "PixelUnshuffle"


def check_runs(layers: Sequence[Layer], sizes: Sequence[int], cuts: Sequence[Cuts]) -> None:
    """Check that torch accepts the run of each chunk. The shortest runs are near the ends.

    Raises:
        GeometryError: a run is too short for a layer.
    """
    for place, along in enumerate(cuts):
        count = len(along)
        lengths = {stop - start for number in _near_ends(count) for start, stop in (along[number].read,)}
        for length in sorted(lengths):
            try:
                shape(tuple(length if at == place else size for at, size in enumerate(sizes)), layers)
            except GeometryError as error:
                cause = joined(f"a run of {length} samples is too short: ", error.cause)
                raise GeometryError(cause, "use a larger chunk") from error


def _near_ends(count: int) -> Iterator[int]:
    yield from range(min(count, _CHECKED))
    yield from range(max(count - _CHECKED, _CHECKED), count)


def as_json(
    sizes: Sequence[int] | None, found: Sequence[Overlap], cuts: Sequence[Cuts], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The findings and the cuts as plain data, for a JSON document."""
    documents = []
    for place, (name, one) in enumerate(zip(axis_names(len(found)), found, strict=True)):
        document: dict[str, Any] = {"name": name, "size": sizes[place] if sizes else None}
        document |= {"left": one.left, "right": one.right, "context": one.context, "step": one.step}
        document |= {"outputs": one.outputs}
        if cuts:
            rows = [{"read": list(cut.read), "drop": cut.drop, "keep": list(cut.keep)} for cut in cuts[place]]
            document |= {"chunk": cuts[place].chunk, "cuts": rows}
        documents.append(document)
    return {"axes": documents, "remarks": list(notes)}
