"""The values of protobuf fields as the types that the form of a file gives them; another type is damage."""

from __future__ import annotations

import struct

from upsample_cli.tconv.graphs.protobuf import DamagedError, FieldValue, Message, float_of, signed

LONGEST_TEXT = 2**16
"""The limit of a text or of packed numbers, in bytes."""


def message_of(value: FieldValue) -> Message:
    """The field as a message."""
    if not isinstance(value, Message):
        raise DamagedError("a number is where a message belongs")
    return value


def int_of(value: FieldValue) -> int:
    """The field as a whole number without a sign."""
    if not isinstance(value, int):
        raise DamagedError("no whole number is where one belongs")
    return value


def bytes_of(value: FieldValue) -> bytes:
    """The field as the bytes of a float."""
    if not isinstance(value, bytes):
        raise DamagedError("no float is where one belongs")
    return value


def float_value(value: FieldValue) -> float:
    """The field as a float."""
    return float_of(bytes_of(value))


def text_of(value: FieldValue) -> str:
    """The field as text."""
    return message_of(value).content(LONGEST_TEXT).decode(errors="replace")


def ints_of(value: FieldValue) -> list[int]:
    """The field as whole numbers, one or packed."""
    if isinstance(value, Message):
        if len(value) > LONGEST_TEXT:
            raise DamagedError(f"a list of whole numbers has {len(value)} bytes")
        return list(value.packed_numbers())
    return [signed(int_of(value))]


def floats_of(value: FieldValue) -> list[float]:
    """The field as floats, one or packed."""
    if not isinstance(value, Message):
        return [float_value(value)]
    content = value.content(LONGEST_TEXT)
    return list(struct.unpack(f"<{len(content) // 4}f", content))
