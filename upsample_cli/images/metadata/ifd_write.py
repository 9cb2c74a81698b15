"""Write image file directories (IFD). `ifd` reads them and names the source."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from upsample_cli.images.metadata.ifd import IFD8, LONG, LONG8, RATIONAL, SHORT, SIZES


@dataclass(frozen=True, slots=True)
class Field:
    """One entry to write: values as bytes in the file's byte order, or the fields of a directory that it points to."""

    tag: int
    kind: int
    count: int
    value: bytes | Sequence[Field]


def integers(tag: int, kind: int, order: str, *values: int) -> Field:
    """A field of whole numbers."""
    codes = {SHORT: "H", LONG: "I", LONG8: "Q"}
    return Field(tag, kind, len(values), struct.pack(f"{order}{len(values)}{codes[kind]}", *values))


def rational(tag: int, order: str, value: float) -> Field:
    """A field of one number as a fraction: the nearest one whose numerator and denominator have 31 bits."""
    ratio = Fraction(value).limit_denominator(max(1, int(2**31 / max(value, 1))))
    return Field(tag, RATIONAL, 1, struct.pack(order + "II", ratio.numerator, ratio.denominator))


def swapped(field: Field) -> Field:
    """The field with its numbers in the other byte order.

    >>> swapped(integers(256, SHORT, "<", 1, 2)).value.hex(" ")
    '00 01 00 02'
    """
    if not isinstance(field.value, bytes):
        return replace(field, value=[swapped(inner) for inner in field.value])
    size = {RATIONAL: 4, 10: 4}.get(field.kind, SIZES.get(field.kind, 1))
    value = b"".join(field.value[at : at + size][::-1] for at in range(0, len(field.value), size))
    return replace(field, value=value)


def directory_bytes(fields: Iterable[Field], *, order: str, at: int, big: bool = False, next_at: int = 0) -> bytes:
    """A directory for offset `at` (even), followed by the values that do not fit into its entries.

    >>> field = integers(256, SHORT, "<", 640)
    >>> directory_bytes([field], order="<", at=8).hex(" ")
    '01 00 00 01 03 00 01 00 00 00 80 02 00 00 00 00 00 00'
    """
    count_code, head, pointer = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    value_bytes = struct.calcsize(pointer)
    ordered = sorted(fields, key=lambda field: field.tag)
    table = bytearray(struct.pack(order + count_code, len(ordered)))
    entry_bytes = struct.calcsize("=" + head) + value_bytes
    after_at = at + struct.calcsize("=" + count_code) + len(ordered) * entry_bytes + value_bytes
    after = bytearray()
    for field in ordered:
        position = after_at + len(after)
        kind, value = field.kind, field.value
        if not isinstance(value, bytes):
            kind = IFD8 if big else LONG
            after += directory_bytes(value, order=order, at=position, big=big)
            value = struct.pack(order + pointer, position)
        elif len(value) > value_bytes:
            after += value
            value = struct.pack(order + pointer, position)
        after += bytes(len(after) % 2)
        table += struct.pack(order + head, field.tag, kind, field.count) + value.ljust(value_bytes, b"\0")
    return bytes(table) + struct.pack(order + pointer, next_at) + bytes(after)
