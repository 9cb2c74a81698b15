"""A view that combines pieces of a file and bytes, without copying the file."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, BinaryIO, cast

Piece = bytes | tuple[int, int]
"""Bytes, or (start, end) in the other file."""

_BUFFER_BYTES = 1 << 16


def spliced(file: BinaryIO, pieces: Iterable[Piece]) -> BinaryIO:
    """A seekable file of these pieces. They are read from `file` on request; its position is moved.

    >>> spliced(io.BytesIO(b"0123456789"), [b"ab", (2, 4), (8, 10)]).read()
    b'ab2389'
    """
    size_bytes = file.seek(0, os.SEEK_END)  # a piece may end after the end of the file
    there = [piece if isinstance(piece, bytes) else (piece[0], min(piece[1], size_bytes)) for piece in pieces]
    return cast("BinaryIO", io.BufferedReader(_Spliced(file, there), _BUFFER_BYTES))


class _Spliced(io.RawIOBase):
    def __init__(self, file: BinaryIO, pieces: list[Piece]) -> None:
        self._file, self._pieces, self._at = file, pieces, 0
        self._starts = list(accumulate((_size(piece) for piece in pieces), initial=0))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        index = bisect_right(self._starts, self._at) - 1
        if index >= len(self._pieces):
            return 0
        piece, skipped = self._pieces[index], self._at - self._starts[index]
        wanted = min(len(buffer), _size(piece) - skipped)
        if isinstance(piece, bytes):
            data = piece[skipped : skipped + wanted]
        else:
            self._file.seek(piece[0] + skipped)
            data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else max(0, piece[1] - piece[0])
