"""The entropy coder of a JPEG XL codestream, as far as headers need it. Source: ISO/IEC 18181-1, annex C.

Numbers are coded as tokens, by prefix codes or by ANS with alias tables, and as runs of earlier numbers (LZ77).
"""

from __future__ import annotations

from dataclasses import dataclass

from upsample_cli.images.codecs.jxl.bits import BitReader, Choice
from upsample_cli.images.codecs.jxl.counts import ANS_BITS, alias_table, histogram
from upsample_cli.images.codecs.jxl.prefix import PREFIX_BITS, Read, prefix_reader

_MIN_SYMBOL: tuple[Choice, ...] = ((224, 0), (512, 0), (4096, 0), (8, 15))
_MIN_LENGTH: tuple[Choice, ...] = ((3, 0), (4, 0), (5, 2), (9, 8))
_WINDOW = 1 << 20
_ANS_END = 0x130000
_MOST_CLUSTERS = 256


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
        alphabet_bits = PREFIX_BITS if is_prefix else 5 + bits.take(2)
        self._splits = [_split(bits, alphabet_bits) for _ in range(count)]
        self._state = _ANS_END
        if is_prefix:
            sizes = [bits.sized(4) + 1 for _ in range(count)]
            self._readers = [prefix_reader(bits, size) for size in sizes]
        else:
            self._readers = [self._ans_reader(histogram(bits), alphabet_bits) for _ in range(count)]
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
        cutoffs, others, shifts = alias_table(counts, alphabet_bits)
        entry_bits = ANS_BITS - alphabet_bits
        counts = counts + [0] * ((1 << alphabet_bits) - len(counts))
        bits, inside, all_levels = self._bits, (1 << entry_bits) - 1, (1 << ANS_BITS) - 1

        def read() -> int:
            level = self._state & all_levels
            symbol, at = level >> entry_bits, level & inside
            if at >= cutoffs[symbol]:
                at += shifts[symbol]
                symbol = others[symbol]
            state = counts[symbol] * (self._state >> ANS_BITS) + at
            self._state = state if state >> 16 else state << 16 | bits.take(16)
            return symbol

        return read


def _split(bits: BitReader, alphabet_bits: int) -> _Split:
    exponent = bits.take(alphabet_bits.bit_length())
    if exponent == alphabet_bits:
        return _Split(exponent, 0, 0)
    high = bits.take(exponent.bit_length())
    low = bits.take((exponent - high).bit_length()) if high <= exponent else 0
    if high + low > exponent:
        raise ValueError("a split into too many bits")
    return _Split(exponent, high, low)


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
