"""The shapes of a graph's inputs: from its file, or from a size that a user gives. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.errors import UsageError
from upsample_cli.tconv.graphs.graph import Graph, Input
from upsample_cli.tconv.graphs.values import dimension_name
from upsample_cli.text import shortened

Shapes = dict[str, tuple[int, ...]]
"""The shape of each input by name."""


def main_input(graph: Graph) -> Input:
    """The input that a size is for: the first with axes after batch and channels, or the first at all.

    Raises:
        UsageError: if the graph has no input.
    """
    if not graph.inputs:
        raise UsageError(f"{graph.path}: it has no input", "export the model with its input")
    with_axes = (one for one in graph.inputs if one.shape is None or len(one.shape) > 2)
    return next(with_axes, graph.inputs[0])


def input_shapes(graph: Graph, size: Sequence[int] | None) -> Shapes:
    """The shapes of all inputs. A batch that the file leaves open is 1.

    Args:
        graph: the graph.
        size: sizes of the axes of the main input, optionally with channels or batch and channels before them; None for
            those of the file.

    Raises:
        UsageError: if a size is missing, or does not fit the number of dimensions.
    """
    main = main_input(graph)
    shape = _given(graph, main, size) if size is not None else _fixed(graph, main, {})
    named = {name: one for name, one in zip(main.shape or (), shape, strict=False) if isinstance(name, str)}
    others = {one.name: _fixed(graph, one, named) for one in graph.inputs if one is not main}
    return {main.name: shape, **others}


def _given(graph: Graph, main: Input, size: Sequence[int]) -> tuple[int, ...]:
    if main.shape is None:
        return tuple(size)
    rank = len(main.shape)
    missing = rank - len(size)
    if not 0 <= missing <= min(2, rank - 1):
        raise UsageError(
            f"{graph.path}: the input '{shortened(main.name)}' has {rank} dimensions, the size {len(size)}",
            f"write {_example(rank)}, or only the axes",
        )
    leading = []
    for place, one in enumerate(main.shape[:missing]):
        if not isinstance(one, int) and place:
            raise UsageError(
                f"{graph.path}: the file does not say how many channels '{shortened(main.name)}' has",
                f"write them before the size: {_example(rank, batch=False)}",
            )
        leading.append(one if isinstance(one, int) else 1)
    return (*leading, *size)


def _fixed(graph: Graph, one: Input, named: dict[str, int]) -> tuple[int, ...]:
    name = shortened(one.name)
    if one.shape is None:
        raise UsageError(f"{graph.path}: the shape of '{name}' is not in the file", "export the model with fixed sizes")
    found = []
    for place, size in enumerate(one.shape):
        known = named.get(size, 1 if place == 0 else None) if isinstance(size, str) else size
        if known is None and place:
            rank = len(one.shape)
            raise UsageError(
                f"{graph.path}: the {dimension_name(place, rank)} of '{name}' is not fixed in the file",
                f"give a size, such as {_example(rank, batch=False)}" if not named else "export it with fixed sizes",
            )
        found.append(1 if known is None else known)
    return tuple(found)


def _example(rank: int, *, batch: bool = True) -> str:
    numbers = ["1", "3", "64", "224", "224"] if rank == 5 else ["1", "3", "224", "224"][:rank]
    return "x".join(numbers if batch else numbers[1:]) or "224"
