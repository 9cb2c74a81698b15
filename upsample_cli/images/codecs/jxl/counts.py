"""Counts of symbols in a JPEG XL codestream, and the alias tables of ANS. Source: ISO/IEC 18181-1, annex C."""

from __future__ import annotations

from upsample_cli.images.codecs.jxl.bits import BitReader

ANS_BITS = 12
"""Bits of the sum of all counts."""

# Logarithms of counts plus 1, by (number of bits, bits); 13 repeats the count before.
_LOGARITHMS = {
    (3, 0): 10, (3, 2): 7, (3, 4): 6, (3, 5): 8, (3, 6): 9, (4, 3): 3, (4, 7): 5, (4, 9): 4, (4, 11): 1, (4, 15): 2,
    (5, 17): 0, (6, 33): 11, (7, 1): 12, (7, 65): 13,
}  # fmt: skip
_REPEATED = 13
_TOTAL = 1 << ANS_BITS


def histogram(bits: BitReader) -> list[int]:
    """The counts of symbols, which add up to 4096."""
    if bits.flag():
        symbols = [bits.sized(3) for _ in range(bits.take(1) + 1)]
        counts = [0] * (max(symbols) + 1)
        counts[symbols[0]] = _TOTAL if len(symbols) == 1 else bits.take(ANS_BITS)
        if len(symbols) == 2:
            if symbols[0] == symbols[1]:
                raise ValueError("the same symbol twice")
            counts[symbols[1]] = _TOTAL - counts[symbols[0]]
        return counts
    if bits.flag():
        size = bits.sized(3) + 1
        return [_TOTAL // size + (index < _TOTAL % size) for index in range(size)]
    return _counts(bits, _shift(bits))


def _shift(bits: BitReader) -> int:
    count = 0
    while count < 3 and bits.flag():
        count += 1
    shift = (bits.take(count) | 1 << count) - 1
    if shift > ANS_BITS + 1:
        raise ValueError("counts of too many bits")
    return shift


def _counts(bits: BitReader, shift: int) -> list[int]:
    size, logarithms = bits.sized(3) + 3, list[int]()
    repeats = dict[int, int]()  # the number of counts from an index that are the same as the one before
    while len(logarithms) < size:
        logarithm = bits.symbol(_LOGARITHMS)
        if logarithm == _REPEATED:
            repeats[len(logarithms)] = bits.sized(3) + 4
            logarithms += [0] * repeats[len(logarithms)]
        else:
            logarithms.append(logarithm)
    stated = logarithms[:size]
    left_out = stated.index(max(stated))  # its count is what is left
    if not stated[left_out] or left_out + 1 in repeats:
        raise ValueError("counts that make no sense")
    counts = list[int]()
    while len(counts) < size:
        if len(counts) in repeats:
            counts += [counts[-1] if counts else 0] * repeats[len(counts)]
        else:
            counts.append(0 if len(counts) == left_out else _count(bits, stated[len(counts)], shift))
    counts = counts[:size]
    counts[left_out] = _TOTAL - sum(counts)
    if counts[left_out] <= 0:
        raise ValueError("counts of more than all symbols")
    return counts


def _count(bits: BitReader, logarithm: int, shift: int) -> int:
    if logarithm < 2:
        return logarithm
    high = logarithm - 1
    precision = max(0, min(high, shift - (ANS_BITS - high >> 1)))
    return (1 << high) + (bits.take(precision) << high - precision)


def alias_table(counts: list[int], alphabet_bits: int) -> tuple[list[int], list[int], list[int]]:
    """For each of the equal parts of the levels: where its own symbol ends, the other symbol, and its shift."""
    size, entry = 1 << alphabet_bits, _TOTAL >> alphabet_bits
    while counts and not counts[-1]:
        counts = counts[:-1]
    if len(counts) > size:
        raise ValueError("more symbols than the alphabet has")
    cutoffs = counts + [0] * (size - len(counts))
    if _TOTAL in cutoffs:
        return [0] * size, [len(counts) - 1] * size, [entry * index for index in range(size)]
    others, shifts = list(range(size)), [0] * size
    over = [index for index in range(size) if cutoffs[index] > entry]
    under = [index for index in range(size) if cutoffs[index] < entry]
    while over:
        giver, taker = over.pop(), under.pop()
        cutoffs[giver] -= entry - cutoffs[taker]
        others[taker], shifts[taker] = giver, cutoffs[giver]
        if cutoffs[giver] < entry:
            under.append(giver)
        elif cutoffs[giver] > entry:
            over.append(giver)
    for index in range(size):
        full = cutoffs[index] == entry
        shifts[index] = 0 if full else shifts[index] - cutoffs[index]
    return cutoffs, others, shifts
