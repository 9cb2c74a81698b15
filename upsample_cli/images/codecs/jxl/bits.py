"""Bits of a JPEG XL codestream, the lowest of each byte first. Source: ISO/IEC 18181-1, annex B."""

from __future__ import annotations

import struct
from collections.abc import Mapping

Choice = tuple[int, int]
"""One way to store a number: what to add to the stored bits, and how many there are."""

ENUM: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 4), (18, 6))


class BitReader:
    """Reads numbers from bits.

    Args:
        data: the bytes.
        at: position of the first bit.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self._end, self.at = data, 8 * len(data), at

    def take(self, count: int) -> int:
        """The next `count` bits as a number.

        Raises:
            ValueError: the data end before.
        """
        start, end = self.at, self.at + count
        if end > self._end:
            raise ValueError("Truncated")
        self.at = end
        return int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "little") >> (start & 7) & (1 << count) - 1

    def peek(self, count: int) -> int:
        """The next `count` bits as a number, without going on. After the end of the data there are zeros."""
        start = self.at
        return (
            int.from_bytes(self._data[start >> 3 : (start + count + 7) >> 3], "little") >> (start & 7)
            & (1 << count) - 1
        )

    def skip(self, count: int) -> None:
        """Go on by `count` bits.

        Raises:
            ValueError: the data end before.
        """
        self.at += count
        if self.at > self._end:
            raise ValueError("Truncated")

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.take(1))

    def number(self, choices: tuple[Choice, ...] = ENUM) -> int:
        """A number stored in one of four ways."""
        base, count = choices[self.take(2)]
        return base + self.take(count)

    def signed(self, choices: tuple[Choice, ...]) -> int:
        """A number with a sign: 0, -1, 1, -2, 2 and so on are stored as 0, 1, 2, 3, 4 and so on."""
        stored = self.number(choices)
        return stored >> 1 ^ -(stored & 1)

    def sized(self, size_bits: int) -> int:
        """A number whose length comes first, in `size_bits` bits."""
        if not self.flag():
            return 0
        count = self.take(size_bits)
        return (1 << count) + self.take(count)

    def symbol(self, codes: Mapping[tuple[int, int], int]) -> int:
        """A symbol of a complete prefix code, given by the number of bits and the bits of each code."""
        count = found = 0
        while (count, found) not in codes:
            found |= self.take(1) << count
            count += 1
        return codes[count, found]

    def long(self) -> int:
        """A number of up to 64 bits."""
        kind = self.take(2)
        if kind < 3:
            return ((0, 0), (1, 4), (17, 8))[kind][0] + self.take((0, 4, 8)[kind])
        number, shift = self.take(12), 12
        while self.flag():
            number |= self.take(8 if shift < 60 else 4) << shift
            if shift == 60:
                break
            shift += 8
        return number

    def half(self) -> float:
        """A floating-point number of 16 bits."""
        number: float = struct.unpack("<e", self.take(16).to_bytes(2, "little"))[0]
        return number

    def pad(self) -> None:
        """Go on to the next whole byte."""
        self.at = self.at + 7 & ~7


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._data, self._bits, self._count = bytearray(), 0, 0

    def put(self, number: int, count: int) -> None:
        """Add the lowest `count` bits of a number."""
        self._bits |= (number & (1 << count) - 1) << self._count
        self._count += count
        whole = self._count // 8
        self._data += (self._bits & (1 << 8 * whole) - 1).to_bytes(whole, "little")
        self._bits, self._count = self._bits >> 8 * whole, self._count - 8 * whole

    def number(self, number: int, choices: tuple[Choice, ...] = ENUM) -> None:
        """Add a number in the first of four ways that can store it."""
        kind = next(at for at, (base, count) in enumerate(choices) if 0 <= number - base < 1 << count)
        self.put(kind, 2)
        self.put(number - choices[kind][0], choices[kind][1])

    def long(self, number: int) -> None:
        """Add a number of up to 60 bits."""
        self.put(3, 2)
        self.put(number, 12)
        number >>= 12
        while number:
            self.put(1 | (number & 255) << 1, 9)
            number >>= 8
        self.put(0, 1)

    def half(self, number: float) -> None:
        """Add a floating-point number of 16 bits."""
        self.put(int.from_bytes(struct.pack("<e", number), "little"), 16)

    def copy(self, data: bytes, start: int, end: int) -> None:
        """Add the bits from `start` to `end` of `data`."""
        reader = BitReader(data, start)
        while reader.at < end:
            count = min(64, end - reader.at)
            self.put(reader.take(count), count)

    def bytes(self) -> bytes:
        """All bits, padded with zeros to whole bytes."""
        return bytes(self._data) + self._bits.to_bytes(1, "little") * bool(self._count)
