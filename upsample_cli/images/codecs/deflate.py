"""Filter and deflate rows of a PNG in independent chunks, so that several can be processed at the same time.

Chunks end in a full flush: they do not share history, they end at a byte boundary, and they can be concatenated into
one stream.
Sources: the PNG specification (W3C, third edition) for filters, RFC 1950 and RFC 1951 for the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.codecs.png.compiled import compiled

Bytes2d = NDArray[np.uint8]

STREAM_START = b"\x78\x01"  # deflate with a window of 32 KiB, and the check bits of RFC 1950
_STREAM_END = b"\x03\x00"  # an empty final block
_RAW_WINDOW = -15
_ADLER_BASE = 65521
_BLOCK_BYTES = 96 << 10  # rows filtered at a time: fits the cache, and stays below malloc's threshold for mmap


def adler32_combine(first: int, second: int, second_size: int) -> int:
    """Adler-32 of two concatenated pieces of data, from the Adler-32 of each.

    The low half is 1 plus the sum of all bytes. The high half is the sum of the low halves after every byte. Both
    pieces start with the value 1, but the concatenation counts it only once. So 1 is subtracted from the low half, and
    1 for each byte of the second piece from the high half (RFC 1950, 8.2).

    Args:
        first: Adler-32 of the first piece.
        second: Adler-32 of the second piece.
        second_size: bytes in the second piece.

    >>> import zlib
    >>> adler32_combine(zlib.adler32(b"up"), zlib.adler32(b"sample"), 6) == zlib.adler32(b"upsample")
    True
    """
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + second_size * ((first & 0xFFFF) - 1)
    return (high % _ADLER_BASE) << 16 | low % _ADLER_BASE


def stream_end(adler32: int) -> bytes:
    """The end of a zlib stream whose data have this Adler-32."""
    return _STREAM_END + adler32.to_bytes(4, "big")


def _residual_none(out: Bytes2d, rows: Bytes2d, _above: Bytes2d, _pixel_bytes: int) -> None:
    out[:] = rows


def _residual_up(out: Bytes2d, rows: Bytes2d, above: Bytes2d, _pixel_bytes: int) -> None:
    np.subtract(rows, above, out=out)


def _residual_paeth(out: Bytes2d, rows: Bytes2d, above: Bytes2d, pixel_bytes: int) -> None:
    """Paeth's predictor, computed in bytes: the one of left, above and upper left nearest to left + above - upper left.

    Let low and high be the smaller and the larger of left and above, and c the upper left. If c is between them, the
    distances of the estimate from low, high and c are `u = high - c`, `v = c - low` and `|u - v|`. So low is nearest if
    2u <= v, and high if 2v <= u. If c is outside, the same conditions hold for u and v clamped at 0, so eight bits
    always suffice. For equal distances, the specification's order of preference leads to the same choice (the tests try
    all 2^24 cases).
    """
    left = np.zeros_like(rows)
    corner = np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    corner[:, pixel_bytes:] = above[:, :-pixel_bytes]
    low = np.minimum(left, above)
    high = np.maximum(left, above, out=left)
    over = np.maximum(high, corner)
    over -= corner
    under = np.minimum(low, corner)
    np.subtract(corner, under, out=under)
    take_low = np.negative((over <= under >> 1).view(np.uint8))  # 255 where true: selecting with bit masks is
    take_high = np.negative((under <= over >> 1).view(np.uint8))  # five times as fast as np.where
    low ^= corner
    high ^= corner
    low &= take_low
    high &= take_high & ~take_low
    corner ^= low
    corner ^= high
    np.subtract(rows, corner, out=out)


_Residual = Callable[[Bytes2d, Bytes2d, Bytes2d, int], None]

NONE, UP, PAETH = 0, 2, 4
_RESIDUALS: dict[int, _Residual] = {NONE: _residual_none, UP: _residual_up, PAETH: _residual_paeth}


def _filtered_blocks(raw: Bytes2d, pixel_bytes: int, filter_type: int) -> Iterator[Bytes2d]:
    """Rows 1 and later of `raw` as PNG stores them, a few at a time: a filter byte, then the prediction residuals."""
    height, width = raw.shape[0] - 1, raw.shape[1]
    step = max(1, _BLOCK_BYTES // width)
    block = np.empty((min(step, height), 1 + width), np.uint8)
    block[:, 0] = filter_type
    fast = compiled() if filter_type == PAETH and pixel_bytes <= width else None
    for top in range(0, height, step):
        bottom = min(top + step, height)
        out = block[: bottom - top]
        if fast is not None:
            fast.filter_paeth(raw[top : bottom + 1], out, len(out), pixel_bytes)
        else:
            _RESIDUALS[filter_type](out[:, 1:], raw[top + 1 : bottom + 1], raw[top:bottom], pixel_bytes)
        yield out


@dataclass(frozen=True, slots=True)
class _Level:
    """How a level compresses.

    Args:
        module: what deflates; imported at its first use, so that only runs that write a PNG load it.
        effort: the level of that module.
        filters: types of filters; of several, each chunk gets the one with which it becomes smaller.
        share: filters are compared on one of so many rows of a chunk.
    """

    module: str
    effort: int
    filters: tuple[int, ...]
    share: int = 1


_ISAL, _ZLIB = "isal.isal_zlib", "zlib"
LEVELS: dict[int, _Level] = {
    0: _Level(_ZLIB, 0, (NONE,)),
    1: _Level(_ISAL, 1, (UP, PAETH), share=32),
    2: _Level(_ISAL, 2, (UP, PAETH), share=32),
    3: _Level(_ISAL, 2, (UP, PAETH)),
    **{level: _Level(_ZLIB, level, (UP, PAETH)) for level in range(4, 10)},
}
DEFAULT_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Deflated:
    """One chunk of rows as a piece of a raw deflate stream.

    Args:
        data: the piece. It ends at a byte boundary and does not refer to earlier data.
        adler32: Adler-32 of the filtered rows, before deflating.
        size: size of the filtered rows, in bytes.
    """

    data: bytes
    adler32: int
    size: int


def _deflate(blocks: Iterable[Bytes2d], module: str, effort: int) -> Deflated:
    library = import_module(module)  # both have zlib's interface
    adler32 = import_module(_ISAL).adler32  # five times as fast as zlib's
    stream = library.compressobj(effort, library.DEFLATED, _RAW_WINDOW)
    data, sum_so_far, size = [], 1, 0
    for block in blocks:
        sum_so_far = adler32(block, sum_so_far)
        size += block.size
        data.append(stream.compress(block))
    data.append(stream.flush(library.Z_FULL_FLUSH))
    return Deflated(b"".join(data), sum_so_far, size)


def deflate_rows(raw: Bytes2d, *, pixel_bytes: int, level: int = DEFAULT_LEVEL) -> Deflated:
    """Filter and deflate a chunk of rows.

    `level` trades time for size. Level 0 stores. Levels 1 (the default) and 2 use the first two levels of ISA-L's
    deflate (its third level makes enlarged photographs larger), and the filter, Up or Paeth, that suits a few rows in
    the middle of the chunk. From level 3, both filters are tried on the whole chunk, and the smaller result is kept.
    Level 3 uses ISA-L's deflate, and levels 4 to 9 use zlib's with the same level.

    Args:
        raw: (1 + rows, bytes of a row) uint8: the row above the chunk (zeros above the first row), then its rows.
        pixel_bytes: bytes from one pixel to the next.
        level: a key of `LEVELS`.

    >>> import zlib
    >>> rows = np.arange(15, dtype=np.uint8).reshape(3, 5)
    >>> piece = deflate_rows(rows, pixel_bytes=1)
    >>> list(zlib.decompress(STREAM_START + piece.data + stream_end(piece.adler32)))
    [2, 5, 5, 5, 5, 5, 2, 5, 5, 5, 5, 5]
    """
    chosen = LEVELS[level]
    effort = chosen.effort if chosen.module == _ISAL else 1
    best, whole = chosen.filters[0], None
    if len(chosen.filters) > 1:
        count = -(-(len(raw) - 1) // chosen.share)
        top = (len(raw) - 1 - count) // 2
        sample = raw[top : top + 1 + count]
        trials = {kind: _deflate(_filtered_blocks(sample, pixel_bytes, kind), _ISAL, effort) for kind in chosen.filters}
        best = min(trials, key=lambda each: len(trials[each].data))
        whole = trials[best] if len(sample) == len(raw) and chosen.module == _ISAL else None
    return whole or _deflate(_filtered_blocks(raw, pixel_bytes, best), chosen.module, chosen.effort)
