"""What a PNG carries beside its pixels, read from its chunks wherever they lie, without decoding.

Many tools write their chunks behind the pixels, keywords may come twice, and old ImageMagick hides Exif in text; Pillow
knows the first only after decoding, keeps the last of the second, and leaves the third to its caller.
Source: the PNG specification (W3C, third edition), chapters 5 and 11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from upsample_cli.images.codecs.png.chunks import XMP_KEYWORD, read_chunks, read_data
from upsample_cli.images.limits import MAX_METADATA_BYTES, check_metadata_bytes
from upsample_cli.images.metadata.iptc import PNG_KEYWORD, captions_in_text, profile_in_text

_PIECE_BYTES = 1 << 16
_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_READ_KINDS = (*_TEXT_KINDS, b"iCCP", b"eXIf", b"gAMA")
_NOTED_KINDS = (b"sRGB", b"cICP", b"acTL")
_SRGB_GAMMA = 45455

_EXIF_IN_TEXT = ("Raw profile type exif", "Raw profile type APP1")


@dataclass(frozen=True, slots=True)
class Ancillary:
    """The chunks beside the pixels.

    Args:
        exif: a TIFF structure.
        xmp: an XMP packet.
        text: keyword and value pairs in file order, without XMP, Exif and IPTC captions.
        iptc: captions, as IPTC-NAA records.
        unusual_colour: names of chunks that give the samples a meaning other than sRGB's or an ICC profile's.
    """

    exif: bytes | None
    xmp: bytes | None
    text: tuple[tuple[str, str], ...]
    iptc: bytes | None
    unusual_colour: tuple[str, ...]


def read_ancillary(file: BinaryIO) -> Ancillary:
    """Read them. The file's position is moved about; whatever is damaged is passed over.

    Raises:
        MetadataError: they hold more than `limits.MAX_METADATA_BYTES`, decompressed.
    """
    text: list[tuple[str, str]] = []
    found: dict[bytes, bytes] = {}
    room = _Room()
    for kind, data in _chunks(file, room):
        if kind in _TEXT_KINDS:
            text += _text_pairs(kind, data, room)
        elif kind == b"iCCP":
            found[kind] = b""
            _inflated(data.partition(b"\0")[2][1:], room)
        else:
            found.setdefault(kind, data)
    exif, xmp, captions = found.get(b"eXIf"), None, None
    rest = []
    for keyword, value in text:
        if keyword == XMP_KEYWORD:
            xmp = xmp or value.encode()
        elif keyword in _EXIF_IN_TEXT and (hidden := _exif_in_text(value)) is not None:
            exif = exif or hidden
        elif keyword == PNG_KEYWORD and captions is None and (captions := captions_in_text(value)) is not None:
            continue
        else:
            rest.append((keyword, value))
    unusual = ["cICP"] if b"cICP" in found else []
    if b"gAMA" in found and not found.keys() & {b"iCCP", b"sRGB", b"cICP"}:
        unusual += ["gAMA"] if int.from_bytes(found[b"gAMA"], "big") != _SRGB_GAMMA else []
    return Ancillary(exif, xmp, tuple(rest), captions, tuple(unusual))


@dataclass
class _Room:
    """What the chunks of one file may still hold."""

    left_bytes: int = MAX_METADATA_BYTES

    def take(self, size_bytes: int) -> None:
        self.left_bytes -= size_bytes
        check_metadata_bytes(MAX_METADATA_BYTES - self.left_bytes)


def _chunks(file: BinaryIO, room: _Room) -> Iterator[tuple[bytes, bytes]]:
    for kind, size in read_chunks(file):
        if kind in _NOTED_KINDS:
            yield kind, b""
        elif kind in _READ_KINDS:
            room.take(size)
            try:
                data = read_data(file, kind, size)
            except ValueError:
                continue
            yield kind, data


def _text_pairs(kind: bytes, data: bytes, room: _Room) -> Iterator[tuple[str, str]]:
    keyword, _, rest = data.partition(b"\0")
    encoding, deflated = "latin-1", kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        encoding, deflated = "utf-8", rest[:1] == b"\1"
        rest = b"".join(rest[2:].split(b"\0", 2)[2:])  # behind the language and the translated keyword
    if deflated:
        inflated = _inflated(rest, room)
        if inflated is None:
            return
        rest = inflated
    if keyword:
        yield keyword.decode("latin-1"), rest.decode(encoding, "replace")


def _inflated(data: bytes, room: _Room) -> bytes | None:
    """Deflated bytes, as far as they go; None if they are damaged."""
    inflater, pieces = zlib.decompressobj(), list[bytes]()
    try:
        while data and not inflater.eof:
            pieces.append(inflater.decompress(data, _PIECE_BYTES))
            room.take(len(pieces[-1]))  # of damaged ones too: to inflate them takes its time
            data = inflater.unconsumed_tail
    except zlib.error:
        return None
    return b"".join(pieces)


def _exif_in_text(value: str) -> bytes | None:
    return (profile_in_text(value) or b"").removeprefix(b"Exif\0\0") or None
