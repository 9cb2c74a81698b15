"""Walk through a file in the wire format of Protocol Buffers without reading what is skipped.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

_WINDOW = 2**16
_LONGEST_NUMBER = 10
_MOST_FIELDS = 2_000_000
"""The most fields to walk through: enough for 100 000 nodes. They take a few seconds."""


class DamagedError(Exception):
    """The bytes are not a message."""


@dataclass(slots=True)
class Source:
    """An open file, of which a small window is in memory.

    Args:
        file: the file.
        size: bytes of the file.
    """

    file: BinaryIO
    size: int
    fields_left: int = _MOST_FIELDS
    _window: bytes = field(default=b"", repr=False)
    _start: int = 0

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        offset = start - self._start
        if not 0 <= offset <= len(self._window) - size:
            self.file.seek(start)
            self._window, self._start, offset = self.file.read(max(size, _WINDOW)), start, 0
        return self._window[offset : offset + size]

    def byte(self, place: int) -> int | None:
        """One byte; None if it is not in memory."""
        offset = place - self._start
        return self._window[offset] if 0 <= offset < len(self._window) else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message, a text or packed numbers: a range of bytes in a file."""

    source: Source
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def fields(self) -> Iterator[tuple[int, FieldValue]]:
        """The number and the value of each field, in the file's order.

        Raises:
            DamagedError: if the bytes are not a message, or it has too many fields.
        """
        place = self.start
        while place < self.end:
            self.source.fields_left -= 1
            if self.source.fields_left < 0:
                raise DamagedError(f"it has more than {_MOST_FIELDS} fields")
            key, place = self._number(place)
            number, kind = key >> 3, key & 7
            value: FieldValue
            if kind == 0:
                value, place = self._number(place)
            elif kind in _FIXED:
                value, place = self._bytes(place, _FIXED[kind]), place + _FIXED[kind]
            elif kind == 2:
                size, place = self._number(place)
                value, place = Message(self.source, place, place + size), place + size
            else:
                raise DamagedError(f"a field has the unknown kind {kind}")
            if place > self.end:
                raise DamagedError("a field ends after the message that contains it")
            yield number, value

    def content(self, most: int) -> bytes:
        """The bytes. Raises DamagedError if they are more than `most`."""
        if len(self) > most:
            raise DamagedError(f"a field has {len(self)} bytes")
        return self._bytes(self.start, len(self))

    def packed_numbers(self) -> Iterator[int]:
        """The bytes as whole numbers without fixed lengths, signed."""
        place = self.start
        while place < self.end:
            number, place = self._number(place)
            yield signed(number)

    def _bytes(self, start: int, size: int) -> bytes:
        content = self.source.read(start, size)
        if len(content) < size:
            raise DamagedError("it is truncated")
        return content

    def _number(self, place: int) -> tuple[int, int]:
        """The number without a fixed length at a place, and the place after it."""
        first = self.source.byte(place) if place < self.end else None
        if first is not None and first < 128:  # nearly all numbers
            return first, place + 1
        result = 0
        for shift, byte in enumerate(self.source.read(place, min(_LONGEST_NUMBER, self.end - place))):
            result |= (byte & 127) << (7 * shift)
            if byte < 128:
                return result & 2**64 - 1, place + shift + 1
        raise DamagedError("it is truncated, or not a message")


FieldValue: TypeAlias = "int | bytes | Message"
"""The value of a field: a number, 4 or 8 bytes, or a range of bytes."""

_FIXED = {1: 8, 5: 4}
"""The bytes of the kinds with a fixed length."""


def signed(number: int) -> int:
    """An unsigned number of 64 bits as a signed one.

    >>> signed(2**64 - 1), signed(7)
    (-1, 7)
    """
    return number - 2**64 if number >> 63 else number


def float_of(content: bytes) -> float:
    """A float of 4 bytes."""
    number: float = struct.unpack("<f", content)[0]
    return number
