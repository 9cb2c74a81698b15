"""Find the marker segments of a JPEG before its pixels, as tolerantly as decoders do.

Pillow gets only the segments that describe the pixels. Its metadata parsers fail on valid images, take quadratic time
to join pieces of Exif, and keep only one of several blocks.

Source: ITU-T T.81, annex B (markers).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.readable import CONVERT, COPY

KNOWN_HEADS = 256
"""How many heads to remember. In a folder of thumbnails, most are the same."""

JPEG_START = b"\xff\xd8\xff"
START_OF_SCAN, COMMENT_MARKER, JPEG_LS = 0xDA, 0xFE, 0xF7
APPLICATION = range(0xE0, 0xF0)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
"""The start of a segment with an XMP packet."""
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
"""The start of a segment with a piece of an XMP extension."""

_END = 0xD9
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN = bytes((0xFF, START_OF_SCAN))
_DESCRIBING = {*FRAMES, JPEG_LS, COMMENT_MARKER, START_OF_SCAN}
_PLACES = b"MPF\0"
"""The start of a segment that lists the places of further images."""
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}
_LOSSLESS, _LOSSLESS_ARITHMETIC = 0xC3, 0xCB
_BITS = {0xC0: (8,)}
"""Allowed bits of a sample, for kinds that do not allow all those of a lossy JPEG: the baseline."""

_BLOCK_BYTES = 4096


class Segment(NamedTuple):
    """A segment: its marker, and the offset and size of its content, after the length."""

    marker: int
    at: int
    size_bytes: int


class JpegHead(NamedTuple):
    """The segments of a JPEG before its pixels.

    Args:
        for_pillow: a JPEG header with the same kind of pixels, without metadata; its samples have 8 bits.
        bits: bits of a sample.
        is_lossless: whether the pixels are coded without loss.
        described: the other segments: application segments and comments.
    """

    for_pillow: bytes
    bits: int
    is_lossless: bool
    described: list[Segment]


def jpeg_head(file: BinaryIO, name: str) -> JpegHead:
    """Read the segments before the pixels. The file's position is moved.

    Raises:
        ImageError: the kind of JPEG is not supported, or the file does not have pixels.
    """
    frame, described = None, list[Segment]()
    for segment in head_segments(file):
        if segment.marker in APPLICATION or segment.marker == COMMENT_MARKER:
            described.append(segment)
        elif segment.marker in FRAMES or segment.marker == JPEG_LS:
            frame = segment
        elif segment.marker == START_OF_SCAN and frame is not None:
            return _head(file, name, frame, segment, described)
    raise ImageError(name, "is truncated: the file ends before its image does", COPY)


def _head(file: BinaryIO, name: str, frame: Segment, scan: Segment, described: list[Segment]) -> JpegHead:
    body = bytearray(_body(file, frame))
    if len(body) < 6:
        raise ImageError(name, "is damaged: its JPEG data make no sense", COPY)
    bits = body[0]
    _check_kind(name, frame.marker, bits, int.from_bytes(body[1:3], "big"))
    body[0] = 8
    pieces = ((frame.marker, bytes(body)), (scan.marker, _body(file, scan)))
    pillow = b"".join(b"\xff%c%b%b" % (marker, (len(data) + 2).to_bytes(2, "big"), data) for marker, data in pieces)
    return JpegHead(b"\xff\xd8" + pillow, bits, frame.marker == _LOSSLESS, described)


def _check_kind(name: str, marker: int, bits: int, height: int) -> None:
    kinds = (
        (marker == JPEG_LS, "is JPEG-LS, which is not supported"),
        (marker in _HIERARCHICAL, "is a hierarchical JPEG, which is not supported"),
        (marker == _LOSSLESS_ARITHMETIC, "is a lossless JPEG in arithmetic coding, which is not supported"),
        (marker == _LOSSLESS and not 2 <= bits <= 16, f"is a lossless JPEG of {bits} bits, which does not exist"),
        (
            marker != _LOSSLESS and bits not in _BITS.get(marker, (8, 12)),
            f"is a JPEG of {bits} bits, which is not supported",
        ),
        (height == 0, "is a JPEG that states its height after its pixels, which is not supported"),
    )
    for refused, cause in kinds:
        if refused:
            raise ImageError(name, cause, CONVERT, kind="unsupported")


def head_segments(file: BinaryIO, at: int = 2) -> Iterator[Segment]:
    """The segments up to and including the first scan. Bytes between them that are not markers are ignored.

    The file's position is moved. The caller may also move it between two segments.

    Args:
        file: an open JPEG file.
        at: offset after the marker that starts an image.
    """
    block, block_at = b"", 0
    while True:
        head = block[at - block_at : at - block_at + 4]
        if len(head) < 4:
            file.seek(at)
            block, block_at = file.read(_BLOCK_BYTES), at
            head = block[:4]
        if len(head) < 4:
            return
        marker = head[1]
        if head[0] != 0xFF:
            at = _next_marker(file, at)
        elif marker == 0xFF:  # fill bytes may precede a marker
            at += 1
        elif marker == 0 or marker in _ALONE:
            at += 2
        elif marker == _END:
            return
        else:
            size_bytes = max(2, int.from_bytes(head[2:4], "big")) - 2
            yield Segment(marker, at + 4, size_bytes)
            if marker == START_OF_SCAN:
                return
            at += 4 + size_bytes


def essential_head(start: bytes) -> bytes | None:
    """The segments that a JPEG's header is read from, without the tables of its encoder, as the head of a JPEG.

    Args:
        start: the first bytes of the file.

    Returns:
        None if not all of them are in `start`, or if one refers to other places in the file.
    """
    scan_at = start.find(_SCAN)  # in most files this is the scan; in others, the segments before it are incomplete
    return _essential(start[: scan_at + 2 + int.from_bytes(start[scan_at + 2 : scan_at + 4], "big")])


@lru_cache(maxsize=KNOWN_HEADS)
def _essential(start: bytes) -> bytes | None:
    kept = [start[:2]]
    for marker, at, size_bytes in head_segments(BytesIO(start)):
        end = at + size_bytes
        if end > len(start) or start.startswith(_PLACES, at):
            return None
        if marker in APPLICATION or marker in _DESCRIBING:
            kept.append(start[at - 4 : end])
        if marker == START_OF_SCAN:
            return b"".join(kept)
    return None


def _next_marker(file: BinaryIO, at: int) -> int:
    """The offset of the next byte that may start a marker, or the end of the file."""
    file.seek(at)
    while block := file.read(_BLOCK_BYTES):
        found = block.find(0xFF)
        if found >= 0:
            return at + found
        at += len(block)
    return at


def _body(file: BinaryIO, segment: Segment) -> bytes:
    file.seek(segment.at)
    return file.read(segment.size_bytes)
