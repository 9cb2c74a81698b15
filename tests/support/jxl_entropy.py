"""Entropy-coded numbers of a JPEG XL, in each of the ways that the format allows. Source: ISO/IEC 18181-1, C."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import NamedTuple

from upsample_cli.images.codecs.jxl.bits import BitWriter
from upsample_cli.images.codecs.jxl.counts import alias_table

_LENGTHS = {0: (2, 0b00), 3: (2, 0b10), 4: (2, 0b01), 2: (3, 0b011), 1: (4, 0b0111), 5: (4, 0b1111)}
_LENGTH_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_LOGARITHMS = {
    0: (5, 17), 1: (4, 11), 2: (4, 15), 3: (4, 3), 4: (4, 9), 5: (4, 7), 6: (3, 4), 7: (3, 2), 8: (3, 5), 9: (3, 6),
    10: (3, 0), 11: (6, 33), 12: (7, 1), 13: (7, 65),
}  # fmt: skip
_ALPHABET_BITS = 8
_RUN_SYMBOL, _RUN_LENGTH = 224, 3


class Coding(NamedTuple):
    """How numbers are coded: a prefix code or ANS, runs, how contexts get clusters, and the bits of a split."""

    is_prefix: bool
    has_runs: bool = False
    clusters: int = 1
    has_coded_clusters: bool = False
    is_moved: bool = False
    split: tuple[int, int, int] = (0, 0, 0)


def put_numbers(out: BitWriter, numbers: list[tuple[int, int]], contexts: int, coding: Coding, random: Random) -> None:
    """Write numbers, each with its context."""
    out.put(coding.has_runs, 1)
    if coding.has_runs:
        out.put(0, 2 + 2)  # from symbol 224, of 3 numbers and more
        _put_split(out, (0, 0, 0), 8)
        contexts += 1
    cluster_of = [0] * contexts
    if contexts > 1:
        cluster_of = [min(at, coding.clusters - 1) for at in range(contexts)]
        _put_clusters(out, cluster_of, coding, random)
    out.put(coding.is_prefix, 1)
    if not coding.is_prefix:
        out.put(_ALPHABET_BITS - 5, 2)
    for _ in range(coding.clusters):
        _put_split(out, coding.split, 15 if coding.is_prefix else _ALPHABET_BITS)
    steps = list[tuple[int, int, int, int]]()  # cluster, token, number of bits after it, and the bits
    at = 0
    while at < len(numbers):
        length, distance = _run(numbers, at) if coding.has_runs else (0, 0)
        if length >= _RUN_LENGTH:
            token, *rest = _token(length - _RUN_LENGTH, (0, 0, 0))
            steps.append((cluster_of[numbers[at][0]], _RUN_SYMBOL + token, *rest))
            steps.append((cluster_of[-1], *_token(distance - 1, coding.split)))
        else:
            length = 1
            steps.append((cluster_of[numbers[at][0]], *_token(numbers[at][1], coding.split)))
        at += length
    used = [Counter(token for cluster, token, *_ in steps if cluster == one) for one in range(coding.clusters)]
    (_put_prefix_coded if coding.is_prefix else _put_ans_coded)(out, steps, used, random)


def _run(numbers: list[tuple[int, int]], at: int) -> tuple[int, int]:
    """The longest run from 1 or 12 numbers before, and how far that is."""
    found = (0, 0)
    for distance in (1, 12):
        length = 0
        while (
            distance <= at
            and at + length < len(numbers)
            and numbers[at + length][1] == numbers[at + length - distance][1]
        ):
            length += 1
        found = max(found, (length, distance))
    return found


def _token(number: int, split: tuple[int, int, int]) -> tuple[int, int, int]:
    exponent, high, low = split
    if number < 1 << exponent:
        return number, 0, 0
    top = number.bit_length() - 1
    rest, count = number - (1 << top), top - high - low
    token = (1 << exponent) + (top - exponent << high + low) + (rest >> top - high << low) + (rest & (1 << low) - 1)
    return token, count, rest >> low & (1 << count) - 1


def _put_split(out: BitWriter, split: tuple[int, int, int], alphabet_bits: int) -> None:
    exponent, high, low = split
    out.put(exponent, alphabet_bits.bit_length())
    out.put(high, exponent.bit_length())
    out.put(low, (exponent - high).bit_length())


def _put_clusters(out: BitWriter, cluster_of: list[int], coding: Coding, random: Random) -> None:
    out.put(not coding.has_coded_clusters, 1)
    if not coding.has_coded_clusters:
        width = (coding.clusters - 1).bit_length()
        out.put(width, 2)
        for cluster in cluster_of:
            out.put(cluster, width)
        return
    out.put(coding.is_moved, 1)
    order, places = list(range(256)), list[int]()
    for cluster in cluster_of:
        places.append(order.index(cluster))
        if coding.is_moved:
            order.insert(0, order.pop(places[-1]))
    put_numbers(out, [(0, place) for place in places], 1, Coding(coding.is_prefix, coding.has_runs), random)


def _put_sized(out: BitWriter, number: int, size_bits: int) -> None:
    out.put(number > 0, 1)
    if number:
        count = number.bit_length() - 1
        out.put(count, size_bits)
        out.put(number - (1 << count), count)


# Prefix codes, as in Brotli (RFC 7932, 3.4 and 3.5)


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


def _put_prefix_coded(
    out: BitWriter, steps: list[tuple[int, int, int, int]], used: list[Counter[int]], random: Random
) -> None:
    sizes = [max(tokens, default=0) + 1 for tokens in used]
    for size in sizes:
        _put_sized(out, size - 1, 4)
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


# ANS


def _put_ans_coded(
    out: BitWriter, steps: list[tuple[int, int, int, int]], used: list[Counter[int]], random: Random
) -> None:
    tables = [_put_counts(out, sorted(tokens) or [0], random) for tokens in used]
    levels = [_levels(counts) for counts in tables]
    state, pieces = 0x130000, list[tuple[int, int]]()
    for cluster, token, count, rest in reversed(steps):
        pieces.append((rest, count))
        times = tables[cluster][token]
        if state >= times << 20:
            pieces.append((state & 0xFFFF, 16))
            state >>= 16
        state = state // times << 12 | levels[cluster][token, state % times]
    out.put(state, 32)
    for piece in reversed(pieces):
        out.put(*piece)


def _levels(counts: list[int]) -> dict[tuple[int, int], int]:
    """The level of each symbol and offset."""
    ends, others, shifts = alias_table(counts, _ALPHABET_BITS)
    found, size = {}, 4096 >> _ALPHABET_BITS
    for level in range(4096):
        place, at = divmod(level, size)
        found[(place, at) if at < ends[place] else (others[place], at + shifts[place])] = level
    return found


def _put_counts(out: BitWriter, symbols: list[int], random: Random) -> list[int]:
    size = symbols[-1] + 1
    counts = [0] * size
    if len(symbols) <= 2:
        first = random.randrange(1, 4096) if len(symbols) == 2 else 4096
        counts[symbols[0]], counts[symbols[-1]] = first, 4096 - first if len(symbols) == 2 else first
        out.put(0b1 | (len(symbols) - 1) << 1, 2)
        for symbol in symbols:
            _put_sized(out, symbol, 3)
        out.put(first, 12 if len(symbols) == 2 else 0)
        return counts
    if len(symbols) == size and random.random() < 0.5:
        out.put(0b10, 2)
        _put_sized(out, size - 1, 3)
        return [4096 // size + (at < 4096 % size) for at in range(size)]
    largest = random.choice(symbols)
    for symbol in symbols:
        counts[symbol] = 1 << random.randrange(4) if random.random() < 0.5 else 4
    counts[largest] = 4096 - sum(counts) + counts[largest]
    _put_any_counts(out, counts, largest, random.randrange(14))
    return counts


def _put_any_counts(out: BitWriter, counts: list[int], largest: int, shift: int) -> None:
    """Write powers of two, which need no bits of precision, and a largest count, which is not written."""
    out.put(0, 2)
    ones = min(3, (shift + 1).bit_length() - 1)
    out.put((1 << ones) - 1, ones + (ones < 3))
    out.put(shift + 1 - (1 << ones), ones)
    counts = counts + [0] * (3 - len(counts))
    _put_sized(out, len(counts) - 3, 3)
    at, written = 0, list[int]()
    while at < len(counts):
        run = 0
        while at not in {0, largest + 1} and at + run < len(counts) and counts[at + run] == counts[at - 1]:
            run += 1
        if run >= 4:
            out.put(*_LOGARITHMS[13][::-1])
            _put_sized(out, run - 4, 3)
            at += run
        else:
            out.put(*_LOGARITHMS[counts[at].bit_length()][::-1])
            written.append(at)
            at += 1
    for at in written:
        high = counts[at].bit_length() - 1
        if at != largest and high > 0:
            out.put(0, max(0, min(high, shift - (12 - high >> 1))))
