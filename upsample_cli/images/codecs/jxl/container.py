"""The container of a JPEG XL: boxes around the codestream and the metadata. Source: ISO/IEC 18181-2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.avif import boxes_in
from upsample_cli.images.codecs.jxl.codestream import MAGIC
from upsample_cli.images.codecs.left_out import not_kept
from upsample_cli.images.limits import MAX_METADATA_BYTES, check_metadata_bytes
from upsample_cli.images.model import Metadata

SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_TYPE = b"ftypjxl \0\0\0\0jxl "
_PARTS = {b"jxlc": 0, b"jxlp": 4}
"""Boxes of the codestream, and the number of bytes before it."""

_NOT_KEPT = {b"JXL ", b"ftyp", b"jxll", b"jxli", b"jbrd", b"free", b"skip"}
"""Boxes about the codestream: its level, an index of its frames, and what restores a JPEG bit for bit."""

_METADATA = {b"Exif": "the EXIF block", b"xml ": "the XMP"}
_GAIN_MAP, _COMPRESSED = b"jhgm", b"brob"
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Container:
    """The parts of a JPEG XL file.

    Args:
        parts: start and end of each part of the codestream.
        exif, xmp: as in `Metadata`.
        losses: the losses of boxes that are left out.
    """

    parts: tuple[_Span, ...]
    exif: bytes | None = None
    xmp: bytes | None = None
    losses: tuple[Loss, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of the codestream."""
        return sum(end - start for start, end in self.parts)

    def codestream(self, file: BinaryIO, most_bytes: int | None = None) -> bytes:
        """The codestream, or its first `most_bytes`. The file's position is moved."""
        pieces, left = list[bytes](), most_bytes
        for start, end in self.parts:
            file.seek(start)
            pieces.append(file.read(end - start if left is None else min(left, end - start)))
            left = None if left is None else left - len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_container(file: BinaryIO) -> Container:
    """Read the boxes of a file, or take the whole file as a codestream. The file's position is moved.

    Raises:
        MetadataError: the metadata exceed `limits.MAX_METADATA_BYTES`.
        ValueError: the file has no codestream.
    """
    size_bytes = file.seek(0, 2)
    file.seek(0)
    if file.read(len(MAGIC)) == MAGIC:
        return Container(((0, size_bytes),))
    parts, found, names, losses = list[_Span](), dict[bytes, bytes](), list[bytes](), list[Loss]()
    for kind, at, stop in boxes_in(file, 0, size_bytes):
        if kind in _PARTS:
            parts.append((min(at + _PARTS[kind], stop), stop))
        elif (name := _name(file, kind, at)) in _METADATA and name not in found:
            check_metadata_bytes(stop - at)
            found[name] = _content(file, kind, at, stop)
            if not found[name]:
                losses.append(Loss("metadata", f"{_METADATA[name]} is damaged and is left out"))
        elif name not in _NOT_KEPT:
            names.append(name)
    if not parts:
        raise ValueError("no codestream")
    exif, xmp = found.get(b"Exif"), found.get(b"xml ")
    return Container(tuple(parts), exif or None, xmp or None, (*losses, *_left_out(names)))


def _name(file: BinaryIO, kind: bytes, at: int) -> bytes:
    """The kind of a box, also if it is compressed."""
    if kind != _COMPRESSED:
        return kind
    file.seek(at)
    return file.read(4)


def _content(file: BinaryIO, kind: bytes, at: int, stop: int) -> bytes:
    """The metadata in a box; empty if they are damaged. An Exif box starts with the offset of its TIFF structure."""
    name = _name(file, kind, at)
    file.seek(at)
    data = file.read(stop - at)
    if kind == _COMPRESSED:
        from imagecodecs import brotli_decode

        try:
            data = bytes(brotli_decode(data[4:], out=MAX_METADATA_BYTES))
        except (RuntimeError, ValueError):
            return b""
    return data[4 + int.from_bytes(data[:4], "big") :] if name == b"Exif" else data


def _left_out(names: list[bytes]) -> Iterator[Loss]:
    if _GAIN_MAP in names:
        yield Loss("metadata", "the gain map, which makes it HDR, is left out")
    yield from not_kept("boxes", sorted({name.decode("latin-1").strip() for name in names if name != _GAIN_MAP}))


def write_boxes(file: BinaryIO, metadata: Metadata, *, level: int, size_bytes: int = 0) -> None:
    """Write the boxes that come before a codestream, and the head of its own, if it needs them.

    It needs them for metadata, or for a level other than 5.

    Args:
        file: the output file.
        metadata: gives Exif and XMP.
        level: level of the codestream.
        size_bytes: size of the codestream; 0 if it ends with the file.
    """
    if level != 5 or metadata.exif or metadata.xmp:
        file.write(SIGNATURE + _box(_TYPE[:4], _TYPE[4:]))
        if level != 5:
            file.write(_box(b"jxll", bytes([level])))
        if metadata.exif:
            file.write(_box(b"Exif", bytes(4) + metadata.exif))
        if metadata.xmp:
            file.write(_box(b"xml ", metadata.xmp))
        file.write(_head(b"jxlc", size_bytes) if size_bytes else b"\0\0\0\0jxlc")


def _box(kind: bytes, content: bytes) -> bytes:
    return _head(kind, len(content)) + content


def _head(kind: bytes, size_bytes: int) -> bytes:
    if size_bytes + 8 < 1 << 32:
        return struct.pack(">I4s", size_bytes + 8, kind)
    return struct.pack(">I4sQ", 1, kind, size_bytes + 16)
