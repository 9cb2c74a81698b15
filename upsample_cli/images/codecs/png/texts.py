"""The text of a PNG, and the EXIF, XMP and captions that programs hide in it.

ImageMagick writes them as hexadecimal text with the keyword "Raw profile type ...". Keywords may occur twice.
Source: the PNG specification (W3C, third edition), chapter 11; ExifTool's list of PNG text.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jpeg_markers import XMP
from upsample_cli.images.codecs.png.chunks import XMP_KEYWORD
from upsample_cli.images.codecs.png.structure import Structure
from upsample_cli.images.limits import MAX_METADATA_BYTES, check_metadata_bytes
from upsample_cli.images.metadata.comments import decoded
from upsample_cli.images.metadata.exif import without_prefix
from upsample_cli.images.metadata.iptc import PNG_KEYWORD, profile_in_text, resources_in_text
from upsample_cli.images.metadata.photoshop import Resources, lost_resources

_PIECE_BYTES = 1 << 16
_HIDDEN = {"Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp"}
_CAPTIONS = {PNG_KEYWORD, "Raw profile type 8bim"}


class Texts(NamedTuple):
    """The contents of the text chunks, with the Exif block of its own chunk: see `ancillary.Ancillary`."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    others: tuple[tuple[str, str], ...]
    losses: tuple[Loss, ...]


@dataclass
class Budget:
    """How many bytes the chunks of one file may still hold."""

    left_bytes: int

    def take(self, size_bytes: int) -> None:
        """Count bytes.

        Raises:
            MetadataError: they are too many.
        """
        self.left_bytes -= size_bytes
        check_metadata_bytes(MAX_METADATA_BYTES - self.left_bytes)


class _Text(NamedTuple):
    """A text: its keyword, its bytes, and whether it names its language or translates its keyword."""

    keyword: str
    data: bytes
    is_international: bool
    is_translated: bool

    @property
    def value(self) -> str:
        return decoded(self.data) if self.is_international else self.data.decode("latin-1")


def read_texts(structure: Structure, budget: Budget) -> Texts:
    """Read the text chunks; damaged ones become losses.

    Raises:
        MetadataError: decompressed, they exceed the budget.
    """
    exif, xmp, hidden_xmp = [structure.data[b"eXIf"]] if b"eXIf" in structure.data else [], list[bytes](), list[bytes]()
    iptc, others, translated, lost = None, list[tuple[str, str]](), dict[str, None](), Counter[str]()
    for text in _texts(structure, budget):
        if text.keyword == XMP_KEYWORD:
            xmp.append(text.data)
        elif text.keyword in _HIDDEN and (hidden := profile_in_text(text.value)):
            if text.keyword.endswith("xmp") or hidden.startswith(XMP):
                hidden_xmp.append(hidden.removeprefix(XMP))
            else:
                exif.append(hidden)
        elif (held := _captions(text)) is not None and held.captions == (iptc or held.captions):
            iptc, lost = held.captions, lost | held.lost  # ImageMagick writes them twice
        else:
            others.append((text.keyword, text.value))
            translated |= {text.keyword: None} if text.is_translated else {}
    exif, xmp = [*dict.fromkeys(map(without_prefix, exif))], [*dict.fromkeys(xmp + hidden_xmp)]
    losses = [*lost_resources(lost)]
    for what, several in (("EXIF blocks", exif), ("XMP packets", xmp)):
        if len(several) > 1:
            losses.append(Loss("metadata", f"of {len(several)} {what} one is kept"))
    if translated:
        text_of = f"the text {', '.join(translated)}"
        losses.append(Loss("metadata", f"the language of {text_of}, or a translation of its keyword, is left out"))
    return Texts(exif[0] if exif else None, xmp[0] if xmp else None, iptc, tuple(others), tuple(losses))


def _captions(text: _Text) -> Resources | None:
    """Photoshop's resources, if the text holds them and captions are among them."""
    held = resources_in_text(text.value) if text.keyword in _CAPTIONS else None
    return held if held is not None and held.captions else None


def _texts(structure: Structure, budget: Budget) -> Iterator[_Text]:
    for kind, data in structure.text:
        keyword, _, rest = data.partition(b"\0")
        is_deflated, names = kind == b"zTXt", [b"", b""]
        if kind == b"zTXt":
            rest = rest[1:]
        elif kind == b"iTXt":
            is_deflated, names = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
            rest = b"".join(names[2:])
        inflated_rest = inflated(rest, budget) if is_deflated else rest
        if inflated_rest is None:
            structure.lose(kind, "is damaged")
        else:
            yield _Text(keyword.decode("latin-1"), inflated_rest, kind == b"iTXt", any(names[:2]))


def inflated(data: bytes, budget: Budget) -> bytes | None:
    """The bytes inflated, up to where the data end; None if they are damaged.

    Raises:
        MetadataError: they exceed the budget.
    """
    inflater, pieces = zlib.decompressobj(), list[bytes]()
    try:
        while data and not inflater.eof:
            pieces.append(inflater.decompress(data, _PIECE_BYTES))
            budget.take(len(pieces[-1]))  # damaged data too take time to inflate
            data = inflater.unconsumed_tail
    except zlib.error:
        return None
    return b"".join(pieces)
