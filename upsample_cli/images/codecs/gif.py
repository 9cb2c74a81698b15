"""Animated GIF: read the blocks of an input, and write an output a frame at a time.

Each frame is encoded as a separate image and written into the animation with its own palette. It covers the whole
image. With transparency, it is cleared before the next frame.
Source: GIF89a specification (CompuServe, 1990); Netscape's looping extension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.clock import Clock
from upsample_cli.images.codecs.left_out import not_kept
from upsample_cli.images.model import Frames, Metadata

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION, _REMARK = 0xF9, 0xFF, 0xFE
_LEAVE, _CLEAR = 1 << 2, 2 << 2
_MOST_UNITS = 2**16 - 1
_PIECE_BYTES = 1 << 16
_PLAIN_TEXT = 0x01
_KNOWN_APPLICATIONS = {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
_ASPECT_UNIT = 64


def frame_parts(file: BinaryIO) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Of each frame: its control extension, if any; its descriptor; where that starts and its data end.

    The file's position is moved.
    """
    control = b""
    for label, block, start, end in _placed_blocks(file):
        if label == _CONTROL and len(block) == 4:
            control = block
        elif label == _IMAGE:
            yield control, block, start, end
            control = b""


def extent(file: BinaryIO) -> tuple[int, int]:
    """Height and width that contain every frame of a GIF: the decoder enlarges the canvas for frames outside it.

    The file's position is restored.
    """
    at, height, width = file.tell(), 0, 0
    for label, block in _blocks(file):
        if label == _IMAGE:
            left, top, wide, tall = struct.unpack_from("<4H", block)
            height, width = max(height, top + tall), max(width, left + wide)
    file.seek(at)
    return height, width


def read_extensions(file: BinaryIO) -> tuple[list[bytes], list[Loss]]:
    """All comments, and a loss for extensions that are not carried over. The file's position is moved."""
    comments, lost = list[bytes](), set[str]()
    for label, block in _blocks(file):
        if label == _REMARK:
            comments.append(block)
        elif label == _APPLICATION and block[:11] not in _KNOWN_APPLICATIONS:
            lost.add(block[:8].decode("latin-1").strip("\0 ") or "unnamed")
        elif label == _PLAIN_TEXT:
            lost.add("plain text")
    return comments, not_kept("extensions", sorted(lost))


def pixel_aspect(file: BinaryIO) -> tuple[int, int] | None:
    """Pixels per unit, (x, y), of a GIF whose pixels are not square; otherwise None. The file's position is moved."""
    file.seek(12)
    stated = (file.read(1) or b"\0")[0]
    return (_ASPECT_UNIT, stated + 15) if stated not in {0, _ASPECT_UNIT - 15} else None


def _blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for label, first, _, _ in _placed_blocks(file):
        yield label, first


def _placed_blocks(file: BinaryIO) -> Iterator[tuple[int, bytes, int, int]]:
    """Extensions (label, first sub-block, start, end) and frames (`_IMAGE`, descriptor, start, end), in order.

    Of a comment, all sub-blocks are joined. A truncated end and bytes between blocks are ignored, as in decoders.
    """
    file.seek(0)
    buffered = _Buffered(file)
    take = buffered.take
    head = take(13)
    if len(head) < 13:
        return
    take(palette_bytes(head[10]))
    while kind := take(1):
        label, first, start = kind[0], b"", buffered.taken_bytes - 1
        if label == _IMAGE:
            described = take(9)
            if len(described) < 9:
                return
            take(palette_bytes(described[8]) + 1)
            first = described
        elif label == _EXTENSION:
            label = (take(1) or b"\0")[0]
        elif label == _TRAILER:
            return
        else:
            continue
        held = bytearray()  # a list of sub-blocks of one byte would take much more memory
        while size := (take(1) or b"\0")[0]:
            data = take(size)
            if not held or label == _REMARK:
                held += data
        yield label, first or bytes(held), start, buffered.taken_bytes


class _Buffered:
    """Reads a file from its position in large pieces, because a GIF is parsed byte by byte."""

    def __init__(self, file: BinaryIO) -> None:
        self._read, self._piece, self._at = file.read, b"", 0
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> bytes:
        if self._at + size_bytes > len(self._piece):
            self._piece = self._piece[self._at :] + self._read(_PIECE_BYTES)
            self._at = 0
        taken = self._piece[self._at : self._at + size_bytes]
        self._at += len(taken)
        self.taken_bytes += len(taken)
        return taken


def palette_bytes(flags: int) -> int:
    """Bytes of the palette that the flags of a GIF's header, or of a frame's descriptor, announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


class GifFrames:
    """Writes GIF images into one animation; a `save_frames.Muxer`.

    Args:
        file: the output file.
        frames: gives the number of plays, of which GIF counts the repetitions.
        height: height of every frame, in pixels.
        width: width of every frame, in pixels.
        alpha: whether frames may be transparent.
        metadata: metadata of the file; only the comment is written.
    """

    def __init__(
        self, file: BinaryIO, frames: Frames, *, height: int, width: int, alpha: bool, metadata: Metadata
    ) -> None:
        self._file = file
        self._clock, self._disposal = Clock(unit_ms=10), _CLEAR if alpha else _LEAVE
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        if frames.plays != 1:
            again = max(0, min(frames.plays - 1, _MOST_UNITS))
            file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", again) + b"\0")
        if remark := next((value.encode() for _, value in metadata.text), b""):
            pieces = (remark[at : at + 255] for at in range(0, len(remark), 255))
            file.write(b"\x21\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0")

    def add(self, image: bytes, duration_ms: Fraction) -> None:
        """Add one encoded image."""
        shown = min(self._clock.units(duration_ms), _MOST_UNITS)
        palette = image[13 : 13 + palette_bytes(image[10])]
        at, transparent, flags = 13 + len(palette), 0, self._disposal
        while image[at] == _EXTENSION:
            if image[at + 1] == _CONTROL and image[at + 3] & 1:
                flags, transparent = flags | 1, image[at + 6]
            at = _after_sub_blocks(image, at + 2)
        described = image[at : at + 10]
        own = image[at + 10 : at + 10 + palette_bytes(described[9])]
        data_at = at + 10 + len(own)
        end = _after_sub_blocks(image, data_at + 1)
        local = own or palette
        colours = described[9] & 0x40 | 0x80 | (len(local) // 3).bit_length() - 2
        self._file.write(struct.pack("<BBBBHBB", _EXTENSION, _CONTROL, 4, flags, shown, transparent, 0))
        self._file.write(described[:9] + bytes([colours]) + local + image[data_at:end])

    def finish(self) -> None:
        """Write the end of the file."""
        self._file.write(bytes([_TRAILER]))


def _after_sub_blocks(data: bytes, at: int) -> int:
    while size := data[at]:
        at += 1 + size
    return at + 1
