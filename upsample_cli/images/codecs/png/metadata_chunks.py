"""Write the chunks of a PNG that carry metadata.

Source: the PNG specification (W3C, third edition), chapter 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from upsample_cli.images.codecs.png.chunks import XMP_KEYWORD, png_chunk
from upsample_cli.images.codecs.png.colour import colour_chunks
from upsample_cli.images.metadata import iptc
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import Layout, Metadata

_RGB = Layout("rgb")


def _keyword(text: str) -> bytes:
    """The text as a keyword that PNG allows: 1 to 79 bytes of printable Latin-1, without leading or double spaces."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).encode("latin-1", "replace")[:79].strip() or b"Comment"


def _international_text(keyword: bytes, text: bytes) -> bytes:
    # two zeros: not compressed; then a language tag and a translated keyword, both empty
    return png_chunk(b"iTXt", keyword + b"\0" + b"\0\0" + b"\0" + b"\0" + text)


def _text(keyword: str, value: str) -> bytes:
    name, text = _keyword(keyword), value.replace("\0", "")
    try:
        return png_chunk(b"tEXt", name + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _international_text(name, text.encode("utf-8", "replace"))


def _background(colour: tuple[float, ...], layout: Layout) -> bytes:
    count = layout.channels - 1
    levels = [round(part * (2**layout.depth - 1)) for part in (colour * 3)[:count]]
    return struct.pack(f">{count}H", *levels)


def metadata_chunks(metadata: Metadata, layout: Layout = _RGB) -> Iterator[bytes]:
    """The chunks between IHDR and IDAT that carry `metadata`.

    A resolution that PNG cannot hold is left out, zero bytes in text are dropped, keywords are made legal. XMP is
    written once, even if `text` holds it too.

    >>> [chunk[4:8] for chunk in metadata_chunks(Metadata(dpi=(300, 300), text=(("Author", "Ada"),)))]
    [b'pHYs', b'tEXt']
    """
    if metadata.icc_profile:
        yield png_chunk(b"iCCP", b"ICC profile\0" + b"\0" + zlib.compress(metadata.icc_profile, 9))
    if metadata.colour:
        yield from colour_chunks(metadata.colour)
    dots_per_metre = [dots / METRES_PER_INCH for dots in metadata.dpi or ()]
    if dots_per_metre and all(0.5 < dots < 2**31 - 1 for dots in dots_per_metre):
        yield png_chunk(b"pHYs", struct.pack(">IIB", *map(round, dots_per_metre), 1))
    elif metadata.aspect:
        yield png_chunk(b"pHYs", struct.pack(">IIB", *metadata.aspect, 0))
    if metadata.background and layout.alpha:
        yield png_chunk(b"bKGD", _background(metadata.background, layout))
    if metadata.exif:
        yield png_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _international_text(XMP_KEYWORD.encode(), metadata.xmp)
    if metadata.iptc:
        yield _text(iptc.PNG_KEYWORD, iptc.png_text(metadata.iptc))
    for keyword, value in metadata.text:
        if keyword != XMP_KEYWORD or not metadata.xmp:
            yield _text(keyword, value)
