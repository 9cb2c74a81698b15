"""Read portable anymaps in plain text, a piece of the file at a time.

Source: the manual pages pbm(5), pgm(5) and ppm(5) of Netpbm, "plain" formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from upsample_cli.images.model import Layout, Rows

BITMAPS = {1, 4}
_PIECE_BYTES = 1 << 18
_SPACES = (b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c")
_MOST_DIGITS = 4300
"""The most digits of a number: as many as Python converts."""


class PnmHeader(NamedTuple):
    """The header of a portable anymap."""

    kind: int  # the digit behind the P
    height: int
    width: int
    layout: Layout
    most: int  # the level of white
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in a binary file."""
        if self.kind in BITMAPS:
            return (self.width + 7) // 8
        return self.width * self.layout.channels * self.layout.dtype.itemsize


def scaled(levels: Rows, header: PnmHeader) -> Rows:
    """Scale levels from 0 to `most` to 0 to 255 or 65535, rounded half up. Larger values become white."""
    full = np.iinfo(header.layout.dtype).max
    if levels.itemsize > header.layout.dtype.itemsize or header.most < full:
        levels = np.minimum(levels, header.most)
    if header.most == full:
        return levels.astype(header.layout.dtype)
    wide = levels.astype(np.uint64)
    return ((wide * np.uint64(full) + np.uint64(header.most // 2)) // np.uint64(header.most)).astype(
        header.layout.dtype
    )


class PlainText:
    """The rows of a plain anymap, read in order. The rows of the last band are kept.

    Args:
        file: a seekable file; its position is moved.
        header: header of a plain anymap.
    """

    def __init__(self, file: BinaryIO, header: PnmHeader) -> None:
        self._file, self._header = file, header
        self._row_samples = header.width * header.layout.channels
        self._start()

    def _start(self) -> None:
        self._samples = _samples(self._file, self._header)
        self._held: Rows = np.empty(0, self._header.layout.dtype)
        self._held_at = 0  # number of samples before the kept ones

    def read_box(self, top: int, bottom: int, left: int, right: int) -> Rows:
        """A `regions.ReadBox`. For a band above the last one, the file is read again from the start.

        Raises:
            ValueError: the text ends too early, or contains something other than levels.
        """
        first, last = top * self._row_samples, bottom * self._row_samples
        if first < self._held_at:
            self._start()
        pieces, end = [self._held], self._held_at + len(self._held)
        while end < last:
            piece = next(self._samples, None)
            if piece is None:
                raise ValueError("Truncated")
            if end <= first:
                pieces.clear()
            pieces.append(piece)
            end += len(piece)
        held = np.concatenate(pieces)
        self._held, self._held_at = held[len(held) - (end - first) :], first
        return self._held[: last - first].reshape(bottom - top, self._header.width, -1)[:, left:right]


def _samples(file: BinaryIO, header: PnmHeader) -> Iterator[Rows]:
    """The samples of the image, scaled, a piece at a time. There are fewer if the text ends early."""
    left = header.height * header.width * header.layout.channels
    for text in _pieces(file, header.pixels_at, are_words=header.kind not in BITMAPS):
        if header.kind in BITMAPS:  # their digits need not be separated
            digits = np.frombuffer(text, np.uint8)
            levels = 49 - digits[(digits | 1) == 49].astype(np.int64)[:left]
        else:
            words = text.split(maxsplit=left)[:left]
            levels = np.fromiter(map(int, words), np.int64, len(words))
        if (levels < 0).any():
            raise ValueError("a level below nothing")
        left -= len(levels)
        yield scaled(levels, header)
        if not left:
            return


def _pieces(file: BinaryIO, at: int, *, are_words: bool) -> Iterator[bytes]:
    """The text without comments, in pieces. If `are_words`, it is cut only between words."""
    rest, is_comment = b"", False
    while True:
        file.seek(at)
        piece = file.read(_PIECE_BYTES)
        if not piece:
            yield rest
            return
        at += len(piece)
        text, is_comment = _without_comments(piece, is_comment)
        text = rest + text
        end = max(map(text.rfind, _SPACES)) + 1 if are_words else len(text)
        rest = text[end:]
        if len(rest) > _MOST_DIGITS:
            raise ValueError("a number that does not end")
        yield text[:end]


def _without_comments(piece: bytes, is_comment: bool) -> tuple[bytes, bool]:
    """A piece without comments (# to the end of the line), and whether it ends inside one.

    Args:
        is_comment: whether the piece starts inside a comment.
    """
    if b"#" not in piece and not is_comment:
        return piece, False
    lines = piece.split(b"\n")
    goes_on = b"#" in lines[-1] or (is_comment and len(lines) == 1)
    if is_comment:
        lines[0] = b""
    return b"\n".join(line.partition(b"#")[0] for line in lines), goes_on
