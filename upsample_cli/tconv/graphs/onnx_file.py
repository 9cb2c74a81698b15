"""Read the graph of an ONNX file, without its weights. Data outside the file are never read.

Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.special_files import refuse_special
from upsample_cli.tconv.graphs.field_values import float_value, floats_of, int_of, ints_of, message_of, text_of
from upsample_cli.tconv.graphs.graph import Attribute, Graph, Input, Node
from upsample_cli.tconv.graphs.onnx_tensors import MOST_DIMENSIONS, MOST_NUMBERS, read_tensor
from upsample_cli.tconv.graphs.protobuf import DamagedError, FieldValue, Message, Source, signed
from upsample_cli.text import shortened

_OWN_DOMAINS = ("", "ai.onnx")
_MOST_NODES = 100_000


def read_onnx(path: str | Path) -> Graph:
    """Read a graph.

    Raises:
        ImageError: if the file cannot be read or is damaged.
        UsageError: if it has no graph, or its nodes do not follow from its inputs.
    """
    place = Path(path)
    try:
        refuse_special(place)
        with place.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            graph, opset = _model(Message(Source(file, size), 0, size))
            return _graph(place, graph, opset)
    except FileNotFoundError as error:
        raise ImageError(place, "there is no such file", "check the name", kind="not-found") from error
    except OSError as error:
        cause = f"cannot be read: {error.strerror or error}"
        raise ImageError(place, cause, "check its name and its permissions", kind="unreadable") from error
    except (DamagedError, struct.error) as error:
        cause = f"is damaged, or not an ONNX file: {error}"
        raise ImageError(place, cause, "export the model again", kind="damaged") from error


def _model(model: Message) -> tuple[Message, int]:
    """The graph of a ModelProto, and the version of ONNX' own operators."""
    graph, opset = None, 0
    for number, value in model.fields():
        if number == 7:  # graph
            graph = message_of(value)
        elif number == 8:  # opset_import: a domain and a version
            domain, version = "", 0
            for inner, found in message_of(value).fields():
                domain = text_of(found) if inner == 1 else domain
                version = int_of(found) if inner == 2 else version
            opset = version if domain in _OWN_DOMAINS else opset
    if graph is None:
        raise DamagedError("it has no graph")
    return graph, opset


def _graph(path: Path, message: Message, opset: int) -> Graph:
    """A GraphProto."""
    nodes, constants, inputs, outputs = [], {}, [], []
    for number, value in message.fields():
        if number == 1:  # node
            nodes.append(_node(message_of(value)))
            if len(nodes) > _MOST_NODES:
                raise UsageError(f"{path}: it has more than {_MOST_NODES} nodes", "give a part of the network")
        elif number == 5:  # initializer
            name, tensor = read_tensor(message_of(value))
            constants[name] = tensor
        elif number == 11:  # input
            inputs.append(_input(message_of(value)))
        elif number == 12:  # output
            outputs.append(_input(message_of(value)).name)
        elif number == 15:  # sparse_initializer
            raise UsageError(f"{path}: it has sparse constants, which are not supported", "export it without them")
    given = tuple(one for one in inputs if one.name not in constants)
    _check_names(path, [*constants, *(one.name for one in given), *(name for node in nodes for name in node.outputs)])
    ordered = _in_order(path, nodes, {"", *constants, *(one.name for one in given)})
    return Graph(path, ordered, constants, given, tuple(outputs), opset)


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse values with the same name: the sizes of one would be used for another."""
    seen = set[str]()
    for name in filter(None, names):
        if name in seen:
            raise UsageError(f"{path}: two values are called '{shortened(name)}'", "export the model again")
        seen.add(name)


def _in_order(path: Path, nodes: Sequence[Node], known: set[str]) -> tuple[Node, ...]:
    """The nodes in an order in which they can run: that of the file, which ONNX demands, where it can be kept."""
    ordered: list[Node] = []
    waiting: dict[str, list[int]] = {}
    missing = []
    for place, node in enumerate(nodes):
        needed = {name for name in node.inputs if name not in known}
        missing.append(len(needed))
        for name in needed:
            waiting.setdefault(name, []).append(place)
    ready = [place for place, count in enumerate(missing) if count == 0]  # sorted, so it is a heap
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered.append(node)
        for later in (later for name in node.outputs for later in waiting.pop(name, [])):
            missing[later] -= 1
            if missing[later] == 0:
                heapq.heappush(ready, later)
    if len(ordered) < len(nodes):
        node = next(node for node, count in zip(nodes, missing, strict=True) if count)
        lost = next(name for name in node.inputs if name in waiting)
        raise UsageError(f"{path}: {node} needs '{shortened(lost)}', which nothing gives", "export the model again")
    return tuple(ordered)


def _node(message: Message) -> Node:
    """A NodeProto."""
    inputs, outputs, attributes = [], [], dict[str, Attribute]()
    name = operator = domain = ""
    for number, value in message.fields():
        if number == 1:  # input
            inputs.append(text_of(value))
        elif number == 2:  # output
            outputs.append(text_of(value))
        elif number == 3:  # name
            name = text_of(value)
        elif number == 4:  # op_type
            operator = text_of(value)
        elif number == 5:  # attribute
            key, attribute = _attribute(message_of(value))
            attributes[key] = attribute
        elif number == 7:  # domain
            domain = text_of(value)
    if not outputs:
        raise DamagedError(f"the node '{shortened(name)}' has no outputs")
    full = operator if domain in _OWN_DOMAINS else f"{domain}.{operator}"
    return Node(shortened(full), name, tuple(inputs), tuple(outputs), attributes)


_LISTED: Mapping[int, Callable[[FieldValue], Sequence[int | float | str]]] = {
    7: floats_of,
    8: ints_of,
    9: lambda value: [text_of(value)],
}
"""The fields of an attribute that is a list (floats, ints and strings), and what reads them."""


def _attribute(message: Message) -> tuple[str, Attribute]:
    """The name and the value of an AttributeProto."""
    name, kind, too_many = "", 0, False
    one: Attribute = None
    many: dict[int, list[int | float | str]] = {7: [], 8: [], 9: []}
    for number, value in message.fields():
        if number == 1:  # name
            name = text_of(value)
        elif number == 2:  # f
            one = float_value(value)
        elif number == 3:  # i
            one = signed(int_of(value))
        elif number == 4:  # s
            one = text_of(value)
        elif number == 5:  # t
            one = read_tensor(message_of(value))[1]
        elif number in many:
            many[number] += _LISTED[number](value)
            too_many = len(many[number]) > MOST_NUMBERS
        elif number == 20:  # type
            kind = int_of(value)
        if too_many:
            raise DamagedError(f"the attribute {shortened(name)} has more than {MOST_NUMBERS} numbers")
    given = [numbers for numbers in many.values() if numbers]
    # Lists have the types 6 (FLOATS) to 8 (STRINGS). An empty list has no fields, and old files have no types.
    is_list = kind in (6, 7, 8) or (one is None and given)
    return name, cast("Attribute", tuple(given[0] if given else ())) if is_list else one


def _input(message: Message) -> Input:
    """A ValueInfoProto: an input or an output."""
    name, shape = "", None
    for number, value in message.fields():
        if number == 1:  # name
            name = text_of(value)
        elif number == 2:  # type, in which 1 is tensor_type
            for inner, kind in message_of(value).fields():
                shape = _shape(message_of(kind)) if inner == 1 else None
    return Input(name, shape)


def _shape(tensor: Message) -> tuple[int | str | None, ...] | None:
    """The shape of a TypeProto.Tensor; None if it has none."""
    shapes = [message_of(value) for number, value in tensor.fields() if number == 2]
    if not shapes:
        return None
    sizes = list[int | str | None]()
    for number, value in shapes[-1].fields():
        if number == 1:  # dim
            size: int | str | None = None
            for inner, found in message_of(value).fields():
                if inner == 1:  # dim_value
                    size = signed(int_of(found))
                elif inner == 2:  # dim_param
                    size = text_of(found) or None
            sizes.append(size if isinstance(size, str) or (size is not None and size > 0) else None)
        if len(sizes) > MOST_DIMENSIONS:
            raise DamagedError(f"an input has more than {MOST_DIMENSIONS} dimensions")
    return tuple(sizes)
