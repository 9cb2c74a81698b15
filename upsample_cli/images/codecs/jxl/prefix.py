"""Prefix codes of a JPEG XL codestream, which are those of Brotli (RFC 7932, 3.4 and 3.5)."""

from __future__ import annotations

from collections.abc import Callable

from upsample_cli.images.codecs.jxl.bits import BitReader

Read = Callable[[], int]
"""Reads the next symbol."""

PREFIX_BITS = 15
LENGTH_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
"""The order in which the lengths of codes of lengths are stored."""
_LENGTH_CODE = {(2, 0b00): 0, (2, 0b01): 4, (2, 0b10): 3, (3, 0b011): 2, (4, 0b0111): 1, (4, 0b1111): 5}
_REPEAT, _SPACE = 16, 1 << 15  # 17 repeats zero


def prefix_reader(bits: BitReader, size: int) -> Read:
    """Reads symbols of a prefix code, as in Brotli (RFC 7932, 3.4 and 3.5)."""
    if size == 1:
        return lambda: 0
    skipped = bits.take(2)
    if skipped == 1:
        return _symbol_reader(bits, _simple_lengths(bits, size))
    of_lengths, space = dict[int, int](), 32
    for symbol in LENGTH_ORDER[skipped:]:
        if space <= 0:
            break
        if length := bits.symbol(_LENGTH_CODE):
            of_lengths[symbol] = length
            space -= 32 >> length
    if space and len(of_lengths) != 1:
        raise ValueError("an incomplete prefix code")
    return _symbol_reader(bits, _lengths(bits, size, _symbol_reader(bits, of_lengths)))


def _simple_lengths(bits: BitReader, size: int) -> dict[int, int]:
    count = bits.take(2) + 1
    symbols = [bits.take((size - 1).bit_length()) for _ in range(count)]
    if max(symbols) >= size or len(set(symbols)) != count:
        raise ValueError("symbols that make no sense")
    if count == 1:
        return {symbols[0]: 0}
    lengths = {2: (1, 1), 3: (1, 2, 2), 4: (2, 2, 2, 2)}[count]
    if count == 4 and bits.flag():
        lengths = (1, 2, 3, 3)
    return dict(zip(symbols, lengths, strict=True))


def _lengths(bits: BitReader, size: int, read: Read) -> dict[int, int]:
    """The lengths of the codes of symbols that have one."""
    lengths, last, space, repeats, repeated = list[int](), 8, _SPACE, 0, 0
    while len(lengths) < size and space > 0:
        length = read()
        if length < _REPEAT:
            repeats = 0
            lengths.append(length)
            if length:
                last, space = length, space - (_SPACE >> length)
            continue
        value = last if length == _REPEAT else 0
        if value != repeated:
            repeats, repeated = 0, value
        before, extra_bits = repeats, length - _REPEAT + 2
        repeats = (repeats - 2 << extra_bits if repeats else 0) + bits.take(extra_bits) + 3
        if len(lengths) + repeats - before > size:
            raise ValueError("too many lengths")
        lengths += [value] * (repeats - before)
        space -= (repeats - before) * (_SPACE >> value) if value else 0
    if space:
        raise ValueError("an incomplete prefix code")
    return {symbol: length for symbol, length in enumerate(lengths) if length}


def _symbol_reader(bits: BitReader, lengths: dict[int, int]) -> Read:
    """Reads symbols of a complete code, or of one of a single symbol."""
    if len(lengths) == 1:
        only = next(iter(lengths))
        return lambda: only
    codes, code, before = dict[tuple[int, int], int](), 0, 0
    for symbol, length in sorted(lengths.items(), key=lambda item: (item[1], item[0])):
        code <<= length - before
        codes[length, int(f"{code:0{length}b}"[::-1], 2)] = symbol
        code, before = code + 1, length
    masks = [(length, (1 << length) - 1) for length in sorted(set(lengths.values()))]

    def read() -> int:
        following = bits.peek(PREFIX_BITS)
        for length, mask in masks:
            if (length, following & mask) in codes:
                break
        bits.skip(length)
        return codes[length, following & mask]

    return read
