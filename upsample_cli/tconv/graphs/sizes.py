"""Compute the shapes of all values of a graph for the shapes of its inputs. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from upsample_cli.errors import GeometryError, UsageError, joined
from upsample_cli.tconv.graphs.graph import Graph, Node
from upsample_cli.tconv.graphs.onnx_tensors import MOST_DIMENSIONS
from upsample_cli.tconv.graphs.operators import OPERATORS
from upsample_cli.tconv.graphs.operators.arithmetic import value_of
from upsample_cli.tconv.graphs.values import MismatchError, Value, dimension_name
from upsample_cli.text import shortened

MOST_WORK = 150_000
"""The most nodes to compute: a few seconds."""
_SETTINGS_PER_NODE, _VALUES_PER_NODE, _NUMBERS_PER_NODE = 2, 16, 4
"""How many settings, how many inputs or outputs, and how many numbers of an output take as long as one more node."""
_OF_DAMAGED_NODES = (ArithmeticError, LookupError, TypeError, ValueError)
"""What an operator raises for settings and numbers that no exporter writes, such as an empty list or an infinity."""


class TooMuchWorkError(UsageError):
    """A graph, or a search in it, that takes too long."""


@dataclass(frozen=True, slots=True)
class GraphStep:
    """One node of a graph, for one size of the input.

    Args:
        node: the node.
        inputs: what comes in; None for an optional input that is left out.
        outputs: what it gives.
    """

    node: Node
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]

    @property
    def named_outputs(self) -> dict[str, Value]:
        """What it gives by name, without optional outputs that are left out."""
        return {name: value for name, value in zip(self.node.outputs, self.outputs, strict=False) if name}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sizes that do not meet.

    Args:
        node: the node that joins them.
        dimension: the dimension in which they differ, counted from the batch.
        axis: name of that dimension.
        sizes: the two sizes.
        shapes: the shapes of the two values.
        givers: what gives the two values: a node, or an input.
    """

    node: Node
    dimension: int
    axis: str
    sizes: tuple[int, int]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    givers: tuple[str, str]

    def __str__(self) -> str:
        pairs = [f"{giver} ({shape_text(shape)})" for giver, shape in zip(self.givers, self.shapes, strict=True)]
        return f"{self.node} joins {pairs[0]} and {pairs[1]}: {self.axis} {self.sizes[0]} is not {self.sizes[1]}"


class NotMeetingError(GeometryError):
    """Sizes that differ where branches of a graph meet."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference), "pad the input, or crop one of them")
        self.difference = difference


class PreparedGraph:
    """A graph whose constant parts are computed once, for the sizes of many inputs.

    Raises:
        GeometryError: if an operator is not supported; the message names it and its node.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.work_left = MOST_WORK
        for node in graph.nodes:
            if node.operator not in OPERATORS:
                raise GeometryError(f"{node} is not supported", _nearest(node))
        self._givers = {name: str(node) for node in graph.nodes for name in node.outputs}
        self._constants: dict[str, Value | None] = {"": None}
        self._constants |= {name: value_of(tensor) for name, tensor in graph.constants.items()}
        rest = []
        for node in graph.nodes:
            if all(name in self._constants for name in node.inputs):
                step = self._step(node, self._constants)
                self._constants |= step.named_outputs
            else:
                rest.append(node)
        self._rest = tuple(rest)

    def steps(self, shapes: Mapping[str, Sequence[int]]) -> tuple[GraphStep, ...]:
        """The nodes that depend on the inputs, with the shapes of their values.

        Args:
            shapes: the shape of each input.

        Raises:
            NotMeetingError: if sizes differ where branches meet.
            GeometryError: if a node is illegal for its sizes; the message names it.
        """
        values = dict(self._constants)
        values |= {name: Value(tuple(shape)) for name, shape in shapes.items()}
        steps = []
        for node in self._rest:
            step = self._step(node, values)
            values |= step.named_outputs
            steps.append(step)
        return tuple(steps)

    def _step(self, node: Node, values: Mapping[str, Value | None]) -> GraphStep:
        if self.work_left < 0:
            raise TooMuchWorkError(
                f"{self.graph.path}: its sizes take too long to compute", "give a part of the network"
            )
        many = 1 + len(node.attributes) // _SETTINGS_PER_NODE + len(node.inputs) // _VALUES_PER_NODE
        self.work_left -= many + len(node.outputs) // _VALUES_PER_NODE
        inputs = tuple(values.get(name) for name in node.inputs)
        try:
            outputs = tuple(OPERATORS[node.operator](node, inputs, self.graph.opset))
        except MismatchError as error:
            raise self._not_meeting(node, inputs, error) from error
        except GeometryError as error:
            raise GeometryError(joined(f"{node}: ", error.cause), error.next_step) from error
        except _OF_DAMAGED_NODES as error:
            raise GeometryError(f"{node}: its inputs and settings do not fit", "export the model again") from error
        if any(len(value.shape) > MOST_DIMENSIONS for value in outputs):
            raise GeometryError(f"{node}: it gives more than {MOST_DIMENSIONS} dimensions", "export the model again")
        self.work_left -= many * sum(len(value.numbers or ()) for value in outputs) // _NUMBERS_PER_NODE
        return GraphStep(node, inputs, outputs)

    def _not_meeting(self, node: Node, inputs: Sequence[Value | None], error: MismatchError) -> NotMeetingError:
        values = [inputs[place] for place in error.places]
        shapes = [() if value is None else value.shape for value in values]
        rank = max(map(len, shapes))
        dimension = error.dimension % rank
        names = [node.inputs[place] for place in error.places]
        one, other = (self._givers.get(name, f"'{shortened(name)}'") for name in names)
        axis = dimension_name(dimension, rank)
        return NotMeetingError(Difference(node, dimension, axis, error.sizes, (shapes[0], shapes[1]), (one, other)))


def shape_text(shape: Sequence[int]) -> str:
    """A shape as text.

    >>> shape_text((1, 3, 224, 224)), shape_text(())
    ('1x3x224x224', 'one number')
    """
    return "x".join(map(str, shape)) or "one number"


def _nearest(node: Node) -> str:
    near = get_close_matches(node.operator, OPERATORS, 1)
    return "export the model with operators that have sizes" + (f", such as {near[0]}" if near else "")
