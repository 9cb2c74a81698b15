"""The RIFF container of WebP: read its chunks before decoding, and write animations a frame at a time.

Each frame is encoded as a separate image and written into the animation. It covers the whole image and replaces the
previous frame. Source: RFC 9649.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.clock import Clock
from upsample_cli.images.codecs.left_out import not_kept
from upsample_cli.images.model import Frames, Metadata

_CODED = (b"VP8 ", b"VP8L")
_FRAME_HEAD_BYTES = 16
_DO_NOT_BLEND = 2
_MOST_MS, _MOST_PLAYS = 2**24 - 1, 2**16 - 1


def riff_chunks(file: BinaryIO, at: int = 12) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, offset of its data, and their stated size in bytes, up to the end of the file.

    Args:
        file: a seekable file; its position may be moved between two chunks.
        at: offset of the first chunk.
    """
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, size
        at += 8 + size + size % 2


def webp_size(head: bytes) -> tuple[int, int]:
    """Height and width in the first chunk of a WebP, from its first 32 bytes. Source: also RFC 6386, 9.1.

    The size of the chunk is ignored, as in decoders.
    """
    kind, at, _ = next(riff_chunks(io.BytesIO(head)), (b"", len(head), 0))
    little = int.from_bytes
    if kind == b"VP8X":
        return little(head[at + 7 : at + 10], "little") + 1, little(head[at + 4 : at + 7], "little") + 1
    if kind == b"VP8L":
        packed = little(head[at + 1 : at + 5], "little")
        return (packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1
    return little(head[at + 8 : at + 10], "little") & 0x3FFF, little(head[at + 6 : at + 8], "little") & 0x3FFF


def is_lossless(file: BinaryIO) -> bool:
    """Whether the first image in the file is lossless. The file's position is moved."""
    kind, at = next(((kind, at) for kind, at, _ in riff_chunks(file) if kind in {b"ANMF", *_CODED}), (b"", 0))
    if kind == b"ANMF":  # a frame; its chunks follow its header
        kind = next((kind for kind, _, _ in riff_chunks(file, at + _FRAME_HEAD_BYTES) if kind in _CODED), b"")
    return kind == b"VP8L"


def frame_spans(file: BinaryIO) -> list[tuple[int, int]]:
    """(start, end) of each frame of an animation. The file's position is moved."""
    return [(at - 8, at + size + size % 2) for kind, at, size in riff_chunks(file) if kind == b"ANMF"]


def with_frames(file: BinaryIO, frames: list[tuple[int, int]]) -> list[bytes | tuple[int, int]]:
    """The pieces of a WebP with only the given frames, and its other chunks if they are complete."""
    size_bytes = file.seek(0, 2)
    spans = [(kind, (at - 8, at + size + size % 2)) for kind, at, size in riff_chunks(file)]
    others = [(kind, span) for kind, span in spans if kind != b"ANMF" and span[1] <= size_bytes]
    before = [span for kind, span in others if kind in {b"VP8X", b"ICCP", b"ANIM"}]
    kept = [*before, *frames, *(span for kind, span in others if kind not in {b"VP8X", b"ICCP", b"ANIM"})]
    total = 4 + sum(end - start for start, end in kept)
    return [b"RIFF" + struct.pack("<I", min(total, 2**32 - 1)) + b"WEBP", *kept]


_READ_BY_PILLOW = {b"ICCP": "icc_profile", b"EXIF": "exif", b"XMP ": "xmp"}
_PIXELS = {b"VP8X", b"ALPH", b"ANIM", b"ANMF", *_CODED}


def left_out(file: BinaryIO, read_by_pillow: Container[Any]) -> list[Loss]:
    """A loss for chunks that are not carried over. The file's position is moved.

    Args:
        file: the open file.
        read_by_pillow: names of the metadata that Pillow has read.
    """
    found = [kind for kind, _, _ in riff_chunks(file) if kind not in _PIXELS]
    for kind, name in _READ_BY_PILLOW.items():
        if kind in found and name in read_by_pillow:
            found.remove(kind)  # a second one is not read
    return not_kept("chunks", sorted({kind.decode("latin-1").strip() for kind in found}))


class WebpFrames:
    """Writes WebP images into one animation; a `save_frames.Muxer`.

    Args:
        file: the output file; it must be seekable.
        frames: gives the number of plays.
        height: height of every frame, in pixels.
        width: width of every frame, in pixels.
        alpha: whether frames may be transparent.
        metadata: metadata of the file.
    """

    def __init__(
        self, file: BinaryIO, frames: Frames, *, height: int, width: int, alpha: bool, metadata: Metadata
    ) -> None:
        self._file, self._height, self._width = file, height, width
        self._after = [(b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)]
        self._clock = Clock(unit_ms=1)
        flags = 0x02 | 0x10 * alpha | 0x20 * bool(metadata.icc_profile)
        flags |= 0x08 * bool(metadata.exif) | 0x04 * bool(metadata.xmp)
        file.write(b"RIFF\0\0\0\0WEBP" + chunk(b"VP8X", struct.pack("<I", flags) + self._size()))
        if metadata.icc_profile:
            file.write(chunk(b"ICCP", metadata.icc_profile))
        file.write(chunk(b"ANIM", struct.pack("<IH", 0, min(frames.plays, _MOST_PLAYS))))

    def add(self, image: bytes, duration_ms: Fraction) -> None:
        """Add one encoded image."""
        shown = min(self._clock.units(duration_ms), _MOST_MS)
        head = bytes(6) + self._size() + shown.to_bytes(3, "little") + bytes([_DO_NOT_BLEND])
        chunks = ((kind, image[at : at + size]) for kind, at, size in riff_chunks(io.BytesIO(image)))
        pixels = b"".join(chunk(kind, body) for kind, body in chunks if kind in {b"ALPH", *_CODED})
        self._file.write(chunk(b"ANMF", head + pixels))

    def finish(self) -> None:
        """Write the last chunks, and the length in the header."""
        for kind, body in self._after:
            if body:
                self._file.write(chunk(kind, body))
        size = self._file.tell() - 8
        if size >= 2**32 - 10:
            raise OSError("WebP files end at 4 GiB")
        self._file.seek(4)
        self._file.write(struct.pack("<I", size))
        self._file.seek(0, 2)

    def _size(self) -> bytes:
        return (self._width - 1).to_bytes(3, "little") + (self._height - 1).to_bytes(3, "little")


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk: its kind, its size and its body, padded to an even length."""
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
