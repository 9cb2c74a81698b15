"""Read the graph of an ONNX file, without its weights. Data outside the file are never read.

Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import cast

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.special_files import refuse_special
from upsample_cli.tconv.graphs.graph import Attribute, Content, Graph, Input, Node, Number, Tensor, shortened
from upsample_cli.tconv.graphs.protobuf import DamagedError, FieldValue, Message, Source, float_of, signed

_LONGEST_TEXT, MOST_NUMBERS = 2**16, 4096
"""Limits of a name, in bytes, and of the tensors whose numbers are read with the graph, in numbers."""
_OWN_DOMAINS = ("", "ai.onnx")
MOST_DIMENSIONS, _MOST_NODES = 16, 100_000
FORMATS = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}
"""Data types of ONNX, and their codes in the module `struct`."""
_BOOL, _HALF = 9, 10
_FLOATS, _DOUBLES, _WHOLE = 4, 10, (5, 7, 11)
"""Fields with the numbers of a tensor that is not raw."""


def is_onnx(text: str | None) -> bool:
    """Whether a text is the path of an ONNX file, by its extension."""
    return text is not None and "\n" not in text and text.lower().endswith(".onnx")


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
        raise ImageError(place, f"cannot be read: {error.strerror or error}", kind="unreadable") from error
    except (DamagedError, struct.error) as error:
        cause = f"is damaged, or not an ONNX file: {error}"
        raise ImageError(place, cause, "export the model again", kind="damaged") from error


def _model(model: Message) -> tuple[Message, int]:
    graph, opset = None, 0
    for number, value in model.fields():
        if number == 7:
            graph = _message(value)
        elif number == 8:
            domain, version = "", 0
            for inner, found in _message(value).fields():
                domain = _text(found) if inner == 1 else domain
                version = _int(found) if inner == 2 else version
            opset = version if domain in _OWN_DOMAINS else opset
    if graph is None:
        raise DamagedError("it has no graph")
    return graph, opset


def _graph(path: Path, message: Message, opset: int) -> Graph:
    nodes, constants, inputs, outputs = [], {}, [], []
    for number, value in message.fields():
        if number == 1:
            nodes.append(_node(_message(value)))
            if len(nodes) > _MOST_NODES:
                raise UsageError(f"{path}: it has more than {_MOST_NODES} nodes", "give a part of the network")
        elif number == 5:
            name, tensor = _tensor(_message(value))
            constants[name] = tensor
        elif number == 11:
            inputs.append(_input(_message(value)))
        elif number == 12:
            outputs.append(_input(_message(value)).name)
        elif number == 15:
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
    inputs, outputs, attributes = [], [], dict[str, Attribute]()
    name = operator = domain = ""
    for number, value in message.fields():
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 3:
            name = _text(value)
        elif number == 4:
            operator = _text(value)
        elif number == 5:
            key, attribute = _attribute(_message(value))
            attributes[key] = attribute
        elif number == 7:
            domain = _text(value)
    if not outputs:
        raise DamagedError(f"the node '{shortened(name)}' has no outputs")
    full = operator if domain in _OWN_DOMAINS else f"{domain}.{operator}"
    return Node(shortened(full), name, tuple(inputs), tuple(outputs), attributes)


def _attribute(message: Message) -> tuple[str, Attribute]:
    name, kind = "", 0
    one: Attribute = None
    many: dict[int, list[int | float | str]] = {7: [], 8: [], 9: []}
    for number, value in message.fields():
        if number == 1:
            name = _text(value)
        elif number == 2:
            one = _float(value)
        elif number == 3:
            one = signed(_int(value))
        elif number == 4:
            one = _text(value)
        elif number == 5:
            one = _tensor(_message(value))[1]
        elif number == 7:
            many[7] += _floats(value)
        elif number == 8:
            many[8] += _ints(value)
        elif number == 9:
            many[9].append(_text(value))
        elif number == 20:
            kind = _int(value)
        if max(map(len, many.values())) > MOST_NUMBERS:
            raise DamagedError(f"the attribute {shortened(name)} has more than {MOST_NUMBERS} numbers")
    given = [numbers for numbers in many.values() if numbers]
    # Lists have the kinds 6 to 8. An empty list has no fields, and old files have no kinds.
    is_list = kind in (6, 7, 8) or (one is None and given)
    return name, cast("Attribute", tuple(given[0] if given else ())) if is_list else one


def _tensor(message: Message) -> tuple[str, Tensor]:
    name, kind, outside, raw = "", 0, False, False
    shape, found = list[int](), list[tuple[int, FieldValue]]()
    for number, value in message.fields():
        if number == 1:
            shape += _ints(value)
        elif number == 2:
            kind = _int(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = True
            found = [(number, _message(value))]
        elif number in (_FLOATS, _DOUBLES, *_WHOLE):
            found.append((number, value))
        elif number == 14:
            outside = _int(value) == 1
        if len(shape) > MOST_DIMENSIONS:
            raise DamagedError(f"a constant has more than {MOST_DIMENSIONS} dimensions")
    if any(size < 0 for size in shape):
        raise DamagedError(f"the constant '{shortened(name)}' has a negative size")
    count = prod(shape)
    if outside or kind not in FORMATS or (kind == _HALF and not raw):
        return name, Tensor(tuple(shape))
    numbers = None
    if count <= MOST_NUMBERS:
        read = _raw(kind, found, count) if raw else _all_listed(found, count)
        if len(read) != count:
            raise DamagedError(f"the constant '{shortened(name)}' has {len(read)} of {count} numbers")
        numbers = tuple(read)
    return name, Tensor(tuple(shape), numbers, _content(kind, found, count))


def _raw(kind: int, found: Sequence[tuple[int, FieldValue]], count: int) -> list[Number]:
    code = f"<{count}{FORMATS[kind]}"
    content = _message(found[0][1]).content(struct.calcsize(code))
    return [int(one) if kind == _BOOL else one for one in struct.unpack(code, content)]


def _all_listed(found: Sequence[tuple[int, FieldValue]], count: int) -> list[Number]:
    """The numbers of all fields, up to the field in which there are more than `count`."""
    numbers = list[Number]()
    for field, value in found:
        numbers += _listed(field, value)
        if len(numbers) > count:
            break
    return numbers


def _listed(field: int, value: FieldValue) -> Sequence[Number]:
    if field == _FLOATS:
        return _floats(value)
    if field in _WHOLE:
        return _ints(value)
    content = _message(value).content(8 * MOST_NUMBERS) if isinstance(value, Message) else _bytes(value)
    return struct.unpack(f"<{len(content) // 8}d", content)


def _content(kind: int, found: Sequence[tuple[int, FieldValue]], count: int) -> Content | None:
    """Where the numbers of a weight are: only if they are one run of numbers of a fixed length, as usual."""
    if len(found) != 1 or not isinstance(found[0][1], Message) or found[0][0] in _WHOLE:
        return None
    piece = found[0][1]
    is_whole = len(piece) == count * struct.calcsize(f"<{FORMATS[kind]}")
    return Content(FORMATS[kind], piece.start, piece.end) if is_whole else None


def _input(message: Message) -> Input:
    name, shape = "", None
    for number, value in message.fields():
        if number == 1:
            name = _text(value)
        elif number == 2:
            for inner, kind in _message(value).fields():
                shape = _shape(_message(kind)) if inner == 1 else None
    return Input(name, shape)


def _shape(tensor: Message) -> tuple[int | str | None, ...] | None:
    shapes = [_message(value) for number, value in tensor.fields() if number == 2]
    if not shapes:
        return None
    sizes = list[int | str | None]()
    for number, value in shapes[-1].fields():
        if number == 1:
            size: int | str | None = None
            for inner, found in _message(value).fields():
                if inner == 1:
                    size = signed(_int(found))
                elif inner == 2:
                    size = _text(found) or None
            sizes.append(size if isinstance(size, str) or (size is not None and size > 0) else None)
        if len(sizes) > MOST_DIMENSIONS:
            raise DamagedError(f"an input has more than {MOST_DIMENSIONS} dimensions")
    return tuple(sizes)


def _message(value: FieldValue) -> Message:
    if not isinstance(value, Message):
        raise DamagedError("a number is where a message belongs")
    return value


def _int(value: FieldValue) -> int:
    if not isinstance(value, int):
        raise DamagedError("no whole number is where one belongs")
    return value


def _bytes(value: FieldValue) -> bytes:
    if not isinstance(value, bytes):
        raise DamagedError("no float is where one belongs")
    return value


def _float(value: FieldValue) -> float:
    return float_of(_bytes(value))


def _text(value: FieldValue) -> str:
    return _message(value).content(_LONGEST_TEXT).decode(errors="replace")


def _ints(value: FieldValue) -> list[int]:
    if isinstance(value, Message):
        if len(value) > _LONGEST_TEXT:
            raise DamagedError(f"a list of whole numbers has {len(value)} bytes")
        return list(value.packed_numbers())
    return [signed(_int(value))]


def _floats(value: FieldValue) -> list[float]:
    if not isinstance(value, Message):
        return [_float(value)]
    content = value.content(_LONGEST_TEXT)
    return list(struct.unpack(f"<{len(content) // 4}f", content))
