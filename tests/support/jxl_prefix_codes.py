"""Prefix codes of a JPEG XL, as in Brotli (RFC 7932, 3.4 and 3.5)."""

from __future__ import annotations

from collections import Counter
from random import Random

from upsample_cli.images.codecs.jxl.bits import BitWriter

_LENGTHS = {0: (2, 0b00), 3: (2, 0b10), 4: (2, 0b01), 2: (3, 0b011), 1: (4, 0b0111), 5: (4, 0b1111)}
_LENGTH_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)


def put_sized(out: BitWriter, number: int, size_bits: int) -> None:
    """Write a number after its size, which has `size_bits` bits."""
    out.put(number > 0, 1)
    if number:
        count = number.bit_length() - 1
        out.put(count, size_bits)
        out.put(number - (1 << count), count)


def _lengths(symbols: list[int], most: int, random: Random) -> dict[int, int]:
    """Lengths of a complete code: leaves of a tree are split at random."""
    leaves = [0]
    while len(leaves) < len(symbols):
        at = random.choice([at for at, length in enumerate(leaves) if length < most])
        leaves += [leaves[at] + 1] * 2
        del leaves[at]
    return dict(zip(symbols, leaves, strict=True))


def _codes(lengths: dict[int, int]) -> dict[int, tuple[int, int]]:
    """The bits of each symbol and their number."""
    codes, code, before = dict[int, tuple[int, int]](), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - before
        codes[symbol] = int(f"{code:0{length}b}"[::-1], 2) if length else 0, length
        code, before = code + 1, length
    return codes


def put_prefix_coded(
    out: BitWriter, steps: list[tuple[int, int, int, int]], used: list[Counter[int]], random: Random
) -> None:
    """Write the codes of all clusters, and steps: cluster, token, number of bits after it, and these bits."""
    sizes = [max(tokens, default=0) + 1 for tokens in used]
    for size in sizes:
        put_sized(out, size - 1, 4)
    codes = [_put_prefix(out, sorted(tokens) or [0], size, random) for tokens, size in zip(used, sizes, strict=True)]
    for cluster, token, count, rest in steps:
        out.put(*codes[cluster][token])
        out.put(rest, count)


def _put_prefix(out: BitWriter, symbols: list[int], size: int, random: Random) -> dict[int, tuple[int, int]]:
    if size == 1:
        return {0: (0, 0)}
    if len(symbols) <= 4:
        out.put(1, 2)
        out.put(len(symbols) - 1, 2)
        is_steep = random.random() < 0.5
        lengths = {1: [0], 2: [1, 1], 3: [1, 2, 2], 4: [1, 2, 3, 3] if is_steep else [2] * 4}[len(symbols)]
        random.shuffle(symbols)
        for symbol in symbols:
            out.put(symbol, (size - 1).bit_length())
        if len(symbols) == 4:
            out.put(is_steep, 1)
        return _codes(dict(zip(symbols, lengths, strict=True)))
    lengths = _lengths(symbols, 15, random)
    parts = _parts([lengths.get(symbol, 0) for symbol in range(size)])
    found = sorted({part for part, _, _ in parts})
    of_lengths = {found[0]: 3} if len(found) == 1 else _lengths(found, 5, random)
    skipped = next(at for at, symbol in enumerate(_LENGTH_ORDER) if symbol in of_lengths)
    out.put(skipped := skipped if skipped in {2, 3} else 0, 2)
    space = 32
    for symbol in _LENGTH_ORDER[skipped:]:
        if space:
            count, bits = _LENGTHS[of_lengths.get(symbol, 0)]
            out.put(bits, count)
            space -= 32 >> of_lengths[symbol] if symbol in of_lengths else 0
    codes = {found[0]: (0, 0)} if len(found) == 1 else _codes(of_lengths)
    for part, count, rest in parts:
        out.put(*codes[part])
        out.put(rest, count)
    return _codes(lengths)


def _parts(lengths: list[int]) -> list[tuple[int, int, int]]:
    """Lengths as symbols with their extra bits: 16 repeats the last length that is not 0, and 17 repeats 0."""
    parts, at, last = list[tuple[int, int, int]](), 0, 8
    while at < len(lengths):
        value, count = lengths[at], 1
        while at + count < len(lengths) and lengths[at + count] == value:
            count += 1
        if value not in {0, last}:
            parts.append((value, 0, 0))
            last, at = value, at + 1
        elif count < 3:
            parts += [(value, 0, 0)] * count
            at += count
        else:
            symbol, extra = (16, 2) if value else (17, 3)
            digits, left = list[int](), count - 3
            while left >= 0:
                digits.insert(0, left & (1 << extra) - 1)
                left = (left >> extra) - 1
            parts += [(symbol, extra, digit) for digit in digits]
            at += count
    return parts
