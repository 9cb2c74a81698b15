"""Inflate the IDAT chunks of a PNG to filtered rows, on request.

No more bytes are inflated than the size in the header needs, so a decompression bomb is harmless. The deflate stream is
read without the zlib format around it: if the Adler-32 at the end is wrong, zlib does not return the last rows.
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
"""The most bytes that deflate can make of one: two bits stand for 258 bytes."""


class FilteredRows:
    """The inflated bytes of the IDAT chunks of a PNG, in order.

    Args:
        file: a seekable file, which must stay open; its position is moved.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = _PixelChunks(file)
        self._data = _deflated(self._chunks.pieces())
        self._inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._adler32 = isal_zlib.adler32(b"")

    def take(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            EOFError: the stream ends before.
            ValueError, igzip_lib.error: the stream is damaged.
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
        """Check the checksums, after the last byte was taken, and return the loss if one of them is wrong.

        Each chunk has a CRC, and the pixels have an Adler-32 at the end of their stream. Pixels are read if either is
        right. Chunks with right CRCs and a wrong Adler-32 are a fault of the program that wrote the file: the Adler-32
        of a small image proves little, because different rows often have the same one.

        Raises:
            ValueError: a CRC is wrong or missing, and so is the Adler-32.
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
        """Whether the Adler-32 after the stream is right; None if it is missing, or if the stream has more bytes.

        The remaining chunks are read, so that their CRCs are checked. A damaged stream often continues after the image.
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
        """Up to `most` bytes; perhaps none, if only input was read; None at the end."""
        data: bytes | None = b""
        if self._inflate.eof or (self._inflate.needs_input and (data := next(self._data, None)) is None):
            return None
        made: bytes = self._inflate.decompress(data, most)
        return made


def may_hold(file: BinaryIO, size: int) -> bool:
    """Whether a file is large enough to contain `size` bytes, deflated."""
    return _MOST_TIMES * file.seek(0, os.SEEK_END) >= size


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The deflate stream in a zlib stream, a piece at a time, and the bytes after it."""
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
    """Reads the data of the IDAT chunks in large pieces, each of one chunk or of many small ones."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.are_intact = True

    def pieces(self) -> Iterator[bytes]:
        """The data, in order. `are_intact` says whether the checksums so far are right."""
        at, left, crc32 = len(SIGNATURE), -1, 0  # `left`: bytes left in this chunk; negative between two chunks
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
