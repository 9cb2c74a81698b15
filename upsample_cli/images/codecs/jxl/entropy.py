"""The entropy coder of a JPEG XL codestream, as far as headers need it. Source: ISO/IEC 18181-1, annex C.

Numbers are coded as tokens, by prefix codes or by ANS with alias tables, and as runs of earlier numbers (LZ77).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from upsample_cli.images.codecs.jxl.bits import BitReader, Choice

_MIN_SYMBOL: tuple[Choice, ...] = ((224, 0), (512, 0), (4096, 0), (8, 15))
_MIN_LENGTH: tuple[Choice, ...] = ((3, 0), (4, 0), (5, 2), (9, 8))
_PREFIX_BITS, _WINDOW = 15, 1 << 20
_ANS_BITS, _ANS_END = 12, 0x130000
_MOST_CLUSTERS = 256

Read = Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Split:
    """How a token and the bits after it become a number."""

    exponent: int
    high: int
    low: int

    def number(self, token: int, bits: BitReader) -> int:
        if token < 1 << self.exponent:
            return token
        token -= 1 << self.exponent
        inside = self.high + self.low
        count = self.exponent - inside + (token >> inside)
        if count > 32:
            raise ValueError("a number of more than 32 bits")
        high = token >> self.low & (1 << self.high) - 1 | 1 << self.high
        return (high << count | bits.take(count)) << self.low | token & (1 << self.low) - 1


class EntropyReader:
    """Reads entropy-coded numbers.

    Args:
        bits: where the description of the code starts; the numbers follow.
        contexts: number of contexts.
        has_runs: whether LZ77 is allowed.

    Raises:
        ValueError: the description makes no sense. So do the other methods.
    """

    def __init__(self, bits: BitReader, contexts: int, *, has_runs: bool = True) -> None:
        self._bits, self._runs = bits, bits.flag()
        if self._runs and not has_runs:
            raise ValueError("runs where none are allowed")
        if self._runs:
            self._min_symbol, self._min_length = bits.number(_MIN_SYMBOL), bits.number(_MIN_LENGTH)
            self._length_split = _split(bits, 8)
            contexts += 1
        self._clusters = _clusters(bits, contexts) if contexts > 1 else [0]
        count, is_prefix = max(self._clusters) + 1, bits.flag()
        alphabet_bits = _PREFIX_BITS if is_prefix else 5 + bits.take(2)
        self._splits = [_split(bits, alphabet_bits) for _ in range(count)]
        self._state = _ANS_END
        if is_prefix:
            sizes = [_small(bits, 4) + 1 for _ in range(count)]
            self._readers = [_prefix_reader(bits, size) for size in sizes]
        else:
            self._readers = [self._ans_reader(_histogram(bits), alphabet_bits) for _ in range(count)]
            self._state = bits.take(32)
        self._earlier, self._copy_at, self._copies = list[int](), 0, 0

    def read(self, context: int) -> int:
        """The next number."""
        if not self._runs:
            cluster = self._clusters[context]
            return self._splits[cluster].number(self._readers[cluster](), self._bits)
        if not self._copies:
            cluster = self._clusters[context]
            token = self._readers[cluster]()
            if token < self._min_symbol:
                self._earlier.append(self._splits[cluster].number(token, self._bits))
                return self._earlier[-1]
            self._copies = self._length_split.number(token - self._min_symbol, self._bits) + self._min_length
            cluster = self._clusters[-1]
            distance = self._splits[cluster].number(self._readers[cluster](), self._bits) + 1
            self._copy_at = len(self._earlier) - min(distance, len(self._earlier), _WINDOW)
        self._copies -= 1
        self._earlier.append(self._earlier[self._copy_at] if self._copy_at < len(self._earlier) else 0)
        self._copy_at += 1
        return self._earlier[-1]

    def check_end(self) -> None:
        """Refuse numbers whose last state shows that they are damaged."""
        if self._state != _ANS_END:
            raise ValueError("numbers that do not end as they should")

    def _ans_reader(self, counts: list[int], alphabet_bits: int) -> Read:
        cutoffs, others, shifts = _alias_table(counts, alphabet_bits)
        entry_bits = _ANS_BITS - alphabet_bits
        counts = counts + [0] * ((1 << alphabet_bits) - len(counts))
        bits, inside, all_levels = self._bits, (1 << entry_bits) - 1, (1 << _ANS_BITS) - 1

        def read() -> int:
            level = self._state & all_levels
            symbol, at = level >> entry_bits, level & inside
            if at >= cutoffs[symbol]:
                at += shifts[symbol]
                symbol = others[symbol]
            state = counts[symbol] * (self._state >> _ANS_BITS) + at
            self._state = state if state >> 16 else state << 16 | bits.take(16)
            return symbol

        return read


def _split(bits: BitReader, alphabet_bits: int) -> _Split:
    exponent = bits.take(alphabet_bits.bit_length())
    if exponent > alphabet_bits:
        raise ValueError("a split beyond the alphabet")
    if exponent == alphabet_bits:
        return _Split(exponent, 0, 0)
    high = bits.take(exponent.bit_length())
    low = bits.take((exponent - high).bit_length()) if high <= exponent else 0
    if high + low > exponent:
        raise ValueError("a split into too many bits")
    return _Split(exponent, high, low)


def _small(bits: BitReader, size_bits: int) -> int:
    """A number whose length comes first."""
    if not bits.flag():
        return 0
    count = bits.take(size_bits)
    return (1 << count) + bits.take(count)


def _clusters(bits: BitReader, contexts: int) -> list[int]:
    """The cluster of each context."""
    if bits.flag():
        width = bits.take(2)
        return [bits.take(width) for _ in range(contexts)]
    is_moved = bits.flag()
    reader = EntropyReader(bits, 1, has_runs=contexts > 2)
    clusters = [reader.read(0) for _ in range(contexts)]
    reader.check_end()
    if max(clusters) >= _MOST_CLUSTERS:
        raise ValueError("too many clusters")
    if is_moved:
        order = list(range(_MOST_CLUSTERS))
        for at, place in enumerate(clusters):
            clusters[at] = order.pop(place)
            order.insert(0, clusters[at])
    if len(set(clusters)) != max(clusters) + 1:
        raise ValueError("a cluster without a context")
    return clusters


_LENGTH_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_LENGTH_CODE = {(2, 0b00): 0, (2, 0b01): 4, (2, 0b10): 3, (3, 0b011): 2, (4, 0b0111): 1, (4, 0b1111): 5}
_REPEAT, _REPEAT_ZERO, _SPACE = 16, 17, 1 << 15


def _prefix_reader(bits: BitReader, size: int) -> Read:
    """Reads symbols of a prefix code, as in Brotli (RFC 7932, 3.4 and 3.5)."""
    if size == 1:
        return lambda: 0
    skipped = bits.take(2)
    if skipped == 1:
        return _symbol_reader(bits, _simple_lengths(bits, size))
    of_lengths, space = dict[int, int](), 32
    for symbol in _LENGTH_ORDER[skipped:]:
        if space <= 0:
            break
        if length := _length_of_length(bits):
            of_lengths[symbol] = length
            space -= 32 >> length
    if space and len(of_lengths) != 1:
        raise ValueError("an incomplete prefix code")
    return _symbol_reader(bits, _lengths(bits, size, _symbol_reader(bits, of_lengths)))


def _length_of_length(bits: BitReader) -> int:
    found = 0
    for count in range(1, 5):
        found |= bits.take(1) << count - 1
        if (count, found) in _LENGTH_CODE:
            return _LENGTH_CODE[count, found]
    raise ValueError("no such length")


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
    if len(lengths) == 1:
        only = next(iter(lengths))
        return lambda: only
    codes, code, before = dict[tuple[int, int], int](), 0, 0
    for symbol, length in sorted(lengths.items(), key=lambda item: (item[1], item[0])):
        code <<= length - before
        codes[length, code] = symbol
        code, before = code + 1, length

    def read() -> int:
        found = 0
        for count in range(1, _PREFIX_BITS + 1):
            found = found << 1 | bits.take(1)
            if (count, found) in codes:
                return codes[count, found]
        raise ValueError("no such symbol")

    return read


# Logarithms of counts plus 1, by (number of bits, bits); 13 repeats the count before.
_LOGARITHMS = {
    (3, 0): 10, (3, 2): 7, (3, 4): 6, (3, 5): 8, (3, 6): 9, (4, 3): 3, (4, 7): 5, (4, 9): 4, (4, 11): 1, (4, 15): 2,
    (5, 17): 0, (6, 33): 11, (7, 1): 12, (7, 65): 13,
}  # fmt: skip
_REPEATED = 13
_TOTAL = 1 << _ANS_BITS


def _histogram(bits: BitReader) -> list[int]:
    """The counts of symbols, which add up to 4096."""
    if bits.flag():
        symbols = [_small(bits, 3) for _ in range(bits.take(1) + 1)]
        counts = [0] * (max(symbols) + 1)
        counts[symbols[0]] = _TOTAL if len(symbols) == 1 else bits.take(_ANS_BITS)
        if len(symbols) == 2:
            if symbols[0] == symbols[1]:
                raise ValueError("the same symbol twice")
            counts[symbols[1]] = _TOTAL - counts[symbols[0]]
        return counts
    if bits.flag():
        size = _small(bits, 3) + 1
        return [_TOTAL // size + (index < _TOTAL % size) for index in range(size)]
    return _counts(bits, _shift(bits))


def _shift(bits: BitReader) -> int:
    count = 0
    while count < 3 and bits.flag():
        count += 1
    shift = (bits.take(count) | 1 << count) - 1
    if shift > _ANS_BITS + 1:
        raise ValueError("counts of too many bits")
    return shift


def _counts(bits: BitReader, shift: int) -> list[int]:
    size, logarithms = _small(bits, 3) + 3, list[int]()
    repeats = dict[int, int]()  # the number of counts from an index that are the same as the one before
    while len(logarithms) < size:
        logarithm = _logarithm(bits)
        if logarithm == _REPEATED:
            repeats[len(logarithms)] = _small(bits, 3) + 4
            logarithms += [0] * repeats[len(logarithms)]
        else:
            logarithms.append(logarithm)
    stated = [logarithm for index, logarithm in enumerate(logarithms[:size])]
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


def _logarithm(bits: BitReader) -> int:
    found = 0
    for count in range(1, 8):
        found |= bits.take(1) << count - 1
        if (count, found) in _LOGARITHMS:
            return _LOGARITHMS[count, found]
    raise ValueError("no such logarithm")


def _count(bits: BitReader, logarithm: int, shift: int) -> int:
    if logarithm < 2:
        return logarithm
    high = logarithm - 1
    precision = max(0, min(high, shift - (_ANS_BITS - high >> 1)))
    return (1 << high) + (bits.take(precision) << high - precision)


def _alias_table(counts: list[int], alphabet_bits: int) -> tuple[list[int], list[int], list[int]]:
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
