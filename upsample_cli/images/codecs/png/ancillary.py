"""Metadata of a PNG, read from its chunks without decoding.

Many tools write chunks after the pixels, keywords may occur twice, and old ImageMagick hides Exif in text. Pillow finds
the first only after decoding, keeps the last of the second, and leaves the third to its caller.
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
    """What the ancillary chunks hold.

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
    """Read the ancillary chunks; damaged ones are ignored. The file's position is moved.

    Raises:
        MetadataError: decompressed, they exceed `limits.MAX_METADATA_BYTES`.
    """
    text: list[tuple[str, str]] = []
    found: dict[bytes, bytes] = {}
    budget = _Budget()
    for kind, data in _chunks(file, budget):
        if kind in _TEXT_KINDS:
            text += _text_pairs(kind, data, budget)
        elif kind == b"iCCP":
            found[kind] = b""
            _inflated(data.partition(b"\0")[2][1:], budget)
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
class _Budget:
    """How many bytes the chunks of one file may still hold."""

    left_bytes: int = MAX_METADATA_BYTES

    def take(self, size_bytes: int) -> None:
        self.left_bytes -= size_bytes
        check_metadata_bytes(MAX_METADATA_BYTES - self.left_bytes)


def _chunks(file: BinaryIO, budget: _Budget) -> Iterator[tuple[bytes, bytes]]:
    for kind, size in read_chunks(file):
        if kind in _NOTED_KINDS:
            yield kind, b""
        elif kind in _READ_KINDS:
            budget.take(size)
            try:
                data = read_data(file, kind, size)
            except ValueError:
                continue
            yield kind, data


def _text_pairs(kind: bytes, data: bytes, budget: _Budget) -> Iterator[tuple[str, str]]:
    keyword, _, rest = data.partition(b"\0")
    encoding, deflated = "latin-1", kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        encoding, deflated = "utf-8", rest[:1] == b"\1"
        rest = b"".join(rest[2:].split(b"\0", 2)[2:])  # after the language and the translated keyword
    if deflated:
        inflated = _inflated(rest, budget)
        if inflated is None:
            return
        rest = inflated
    if keyword:
        yield keyword.decode("latin-1"), rest.decode(encoding, "replace")


def _inflated(data: bytes, budget: _Budget) -> bytes | None:
    """The bytes inflated, up to where the data end; None if they are damaged."""
    inflater, pieces = zlib.decompressobj(), list[bytes]()
    try:
        while data and not inflater.eof:
            pieces.append(inflater.decompress(data, _PIECE_BYTES))
            budget.take(len(pieces[-1]))  # damaged data too take time to inflate
            data = inflater.unconsumed_tail
    except zlib.error:
        return None
    return b"".join(pieces)


def _exif_in_text(value: str) -> bytes | None:
    return profile_in_text(value) or None
