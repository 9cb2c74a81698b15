"""The filtered rows of a PNG: the data of its IDAT chunks, inflated as they are asked for.

No more is inflated than is asked for, so a bomb costs what its header announces. The deflate stream is read without the
envelope of zlib, because a library that checks the sum at its end keeps the last rows back if it is wrong.
Sources: the PNG specification (W3C, third edition), chapters 5 and 10; RFC 1950.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.png.chunks import SIGNATURE

_PIECE_BYTES = 1 << 16
_HEAD_BYTES, _SUM_BYTES = 2, 4
_METHOD, _DEFLATE, _LARGEST_WINDOW, _HAS_DICTIONARY, _CHECK = 0x0F, 8, 7, 0x20, 31
_MOST_TIMES = 1032
"""Deflate makes no more bytes than this of one: two bits stand for 258 bytes."""


class FilteredRows:
    """The bytes behind the IDAT chunks of a PNG, front to back.

    Args:
        file: seekable, and stays open; its position is moved.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = _PixelChunks(file)
        self._data = _deflated(self._chunks.pieces())
        self._inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._adler32 = isal_zlib.adler32(b"")

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            EOFError: they are not there.
            ValueError, igzip_lib.error: they are damaged.
        """
        pieces, left = list[bytes](), size
        while left:
            piece = self._inflated(left)
            if piece is None:
                raise EOFError("truncated")
            pieces.append(piece)
            left -= len(piece)
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._adler32 = isal_zlib.adler32(taken, self._adler32)
        return taken

    def checked(self) -> list[Loss]:
        """Call it when all is taken. A wrong sum behind intact chunks is a fault of the program that wrote the file.

        The sum alone shows little: different rows of a small image often have the same.

        Raises:
            ValueError: nothing shows that the bytes taken are those that were written.
        """
        is_right = self._is_sum_right()
        if not self._chunks.are_intact:
            if not is_right:
                raise ValueError("pixels whose checksums are wrong")
            text = "a checksum of its chunks is wrong or missing, and that of its pixels is right; they are read"
            return [Loss("damage", text)]
        if is_right is not False:
            return []
        return [Loss("damage", "the checksum of its pixels is wrong, and those of its chunks are right; they are read")]

    def _is_sum_right(self) -> bool | None:
        """Whether the sum behind the stream is right. None if it is of other bytes than those taken, or not there.

        The rest of the chunks is read, for their own checksums. A damaged stream often goes on after the image.
        """
        more: bytes | None = b""
        while more == b"" and not self._inflate.eof:
            more = self._inflated(1)
        stored: bytes = self._inflate.unused_data[:_SUM_BYTES]
        for piece in self._data:
            stored = (stored + piece)[:_SUM_BYTES]
        if more or not self._inflate.eof or len(stored) < _SUM_BYTES:
            return None
        return int.from_bytes(stored, "big") == self._adler32

    def _inflated(self, most: int) -> bytes | None:
        """Up to `most` bytes, or none where only input was taken; None at the end."""
        data: bytes | None = b""
        if self._inflate.eof or (self._inflate.needs_input and (data := next(self._data, None)) is None):
            return None
        made: bytes = self._inflate.decompress(data, most)
        return made


def may_hold(file: BinaryIO, size: int) -> bool:
    """Whether so many bytes can be in the IDAT chunks of a file at all."""
    return _MOST_TIMES * file.seek(0, os.SEEK_END) >= size


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The deflate stream in a stream of zlib's, a piece at a time, and what comes behind it."""
    head = b""
    while len(head) < _HEAD_BYTES:
        piece = next(pieces, None)
        if piece is None:
            return
        head += piece
    kind, flags = head[0], head[1]
    is_known = kind & _METHOD == _DEFLATE and kind >> 4 <= _LARGEST_WINDOW and not flags & _HAS_DICTIONARY
    if not is_known or (kind << 8 | flags) % _CHECK:
        raise ValueError("not a stream that PNG allows")
    yield head[_HEAD_BYTES:]
    yield from pieces


class _PixelChunks:
    """The data of the IDAT chunks, of many small ones together."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.are_intact = True

    def pieces(self) -> Iterator[bytes]:
        """All of it; `are_intact` says whether the checksums so far are right."""
        at, left, crc32 = len(SIGNATURE), -1, 0  # `left` of the data of a chunk; below zero between two chunks
        while True:
            self._file.seek(at)
            block, done, pieces = self._file.read(_PIECE_BYTES), 0, list[bytes]()
            while done < len(block):
                rest = len(block) - done
                if left > 0:
                    pieces.append(block[done : done + left])
                    crc32 = isal_zlib.crc32(pieces[-1], crc32)
                    done += len(pieces[-1])
                    left -= len(pieces[-1])
                elif left == 0:
                    if rest < _SUM_BYTES:
                        break
                    self.are_intact &= block[done : done + 4] == crc32.to_bytes(4, "big")
                    done, left = done + 4, -1
                else:
                    if rest < 8:
                        break
                    size, kind = int.from_bytes(block[done : done + 4], "big"), block[done + 4 : done + 8]
                    is_pixels = kind == b"IDAT"
                    left, crc32 = (size if is_pixels else -1), isal_zlib.crc32(kind)
                    done += 8 if is_pixels else 12 + size
            if not done:
                self.are_intact &= left < 0
                return
            at += done
            yield b"".join(pieces)
