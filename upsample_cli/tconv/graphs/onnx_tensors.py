"""Read the constants of an ONNX graph: shapes always, numbers only if they are few."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod

from upsample_cli.tconv.graphs.field_values import bytes_of, floats_of, int_of, ints_of, message_of, text_of
from upsample_cli.tconv.graphs.graph import Content, Number, Tensor
from upsample_cli.tconv.graphs.protobuf import DamagedError, FieldValue, Message
from upsample_cli.text import shortened

MOST_NUMBERS = 4096
"""The most numbers of a tensor that are read with the graph."""
MOST_DIMENSIONS = 16
FORMATS = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}
"""Data types of ONNX, and their codes in the module `struct`."""
_BOOL, _HALF = 9, 10
_FLOATS, _DOUBLES, _WHOLE = 4, 10, (5, 7, 11)
"""Fields with the numbers of a tensor that is not raw."""


def read_tensor(message: Message) -> tuple[str, Tensor]:
    """The name and the shape of a TensorProto, and its numbers if they are few."""
    name, kind, outside, raw = "", 0, False, False
    shape, found = list[int](), list[tuple[int, FieldValue]]()
    for number, value in message.fields():
        if number == 1:  # dims
            shape += ints_of(value)
        elif number == 2:  # data_type
            kind = int_of(value)
        elif number == 8:  # name
            name = text_of(value)
        elif number == 9:  # raw_data
            raw = True
            found = [(number, message_of(value))]
        elif number in (_FLOATS, _DOUBLES, *_WHOLE):
            found.append((number, value))
        elif number == 14:  # data_location, 1 for another file
            outside = int_of(value) == 1
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
    content = message_of(found[0][1]).content(struct.calcsize(code))
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
        return floats_of(value)
    if field in _WHOLE:
        return ints_of(value)
    content = message_of(value).content(8 * MOST_NUMBERS) if isinstance(value, Message) else bytes_of(value)
    return struct.unpack(f"<{len(content) // 8}d", content)


def _content(kind: int, found: Sequence[tuple[int, FieldValue]], count: int) -> Content | None:
    """Where the numbers of a weight are: only if they are one run of numbers of a fixed length, as usual."""
    if len(found) != 1 or not isinstance(found[0][1], Message) or found[0][0] in _WHOLE:
        return None
    piece = found[0][1]
    is_whole = len(piece) == count * struct.calcsize(f"<{FORMATS[kind]}")
    return Content(FORMATS[kind], piece.start, piece.end) if is_whole else None
