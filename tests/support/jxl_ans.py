"""Numbers of a JPEG XL that are coded by ANS. Source: ISO/IEC 18181-1, C."""

from __future__ import annotations

from collections import Counter
from random import Random

from support.jxl_prefix_codes import put_sized
from upsample_cli.images.codecs.jxl.bits import BitWriter
from upsample_cli.images.codecs.jxl.counts import alias_table

ALPHABET_BITS = 8
_LOGARITHMS = {
    0: (5, 17), 1: (4, 11), 2: (4, 15), 3: (4, 3), 4: (4, 9), 5: (4, 7), 6: (3, 4), 7: (3, 2), 8: (3, 5), 9: (3, 6),
    10: (3, 0), 11: (6, 33), 12: (7, 1), 13: (7, 65),
}  # fmt: skip


def put_ans_coded(
    out: BitWriter, steps: list[tuple[int, int, int, int]], used: list[Counter[int]], random: Random
) -> None:
    """Write the counts of all clusters, and steps: cluster, token, number of bits after it, and these bits."""
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
    ends, others, shifts = alias_table(counts, ALPHABET_BITS)
    found, size = {}, 4096 >> ALPHABET_BITS
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
            put_sized(out, symbol, 3)
        out.put(first, 12 if len(symbols) == 2 else 0)
        return counts
    if len(symbols) == size and random.random() < 0.5:
        out.put(0b10, 2)
        put_sized(out, size - 1, 3)
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
    put_sized(out, len(counts) - 3, 3)
    at, written = 0, list[int]()
    while at < len(counts):
        run = 0
        while at not in {0, largest + 1} and at + run < len(counts) and counts[at + run] == counts[at - 1]:
            run += 1
        if run >= 4:
            out.put(*_LOGARITHMS[13][::-1])
            put_sized(out, run - 4, 3)
            at += run
        else:
            out.put(*_LOGARITHMS[counts[at].bit_length()][::-1])
            written.append(at)
            at += 1
    for at in written:
        high = counts[at].bit_length() - 1
        if at != largest and high > 0:
            out.put(0, max(0, min(high, shift - (12 - high >> 1))))
