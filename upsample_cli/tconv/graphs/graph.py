"""A network as plain data: its nodes, constants, inputs and outputs, with the names and operators of ONNX. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from upsample_cli.text import shortened

_MOST_SHOWN = 80

Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class Content:
    """Where the numbers of a tensor are in its file.

    Args:
        code: their type in the module `struct`.
        start: the first byte.
        end: the place after the last byte.
    """

    code: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant.

    Args:
        shape: its sizes.
        numbers: its numbers in C order if they are few; otherwise None.
        content: where its numbers are; None if they are outside the file or not in one piece.
    """

    shape: tuple[int, ...]
    numbers: tuple[Number, ...] | None = None
    content: Content | None = None


Attribute: TypeAlias = "int | float | str | Tensor | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | None"
"""The value of an attribute; None for one of a kind that no supported operator has, such as a graph."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of a graph with its settings.

    Args:
        operator: its name in ONNX; with the domain in front if that is not ONNX' own.
        name: its name in the file; may be empty.
        inputs: names of the values that come in; "" for an optional one that is left out.
        outputs: names of the values that it gives.
        attributes: its settings.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name, or if it has none, that of its first output.

        >>> Node("Relu", "", ("x",), ("y",)).label
        'y'
        """
        return shortened(self.name or next(iter(self.outputs), ""))

    def __str__(self) -> str:
        return f"{self.operator} '{self.label}'"

    def ints(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers; None if it is missing or something else."""
        value = self.attributes.get(name)
        if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
            return value  # type: ignore[return-value]
        return None

    def int(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        value = self.attributes.get(name)
        return value if isinstance(value, int) else default

    def text(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else default


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a graph.

    Args:
        name: its name.
        shape: a size, or the name of one that varies, for each dimension; None for one without a name. None if the file
            does not say how many dimensions there are.
    """

    name: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A network.

    Args:
        path: its file.
        nodes: in an order in which they can run.
        constants: by name.
        inputs: without the constants.
        outputs: names of the results.
        opset: version of ONNX' operators.
    """

    path: Path
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    opset: int


def list_text(numbers: Sequence[Number]) -> str:
    """Numbers of a file for messages."""
    return shortened(str(list(numbers[:_MOST_SHOWN])))
