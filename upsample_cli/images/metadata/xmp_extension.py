"""XMP that is too large for one segment of a JPEG: join a packet with its extension, and divide it again.

Source: XMP Specification, part 3, "JPEG: extended XMP".
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5

from upsample_cli.images.codecs.jpeg_markers import EXTENDED_XMP
from upsample_cli.images.metadata.xmp import RDF, Packet, Part

_NOTE = "http://ns.adobe.com/xmp/note/"
_HAS_EXTENSION = (_NOTE, "HasExtendedXMP")
_DIGEST_BYTES = 32
_PIECE_BYTES = 65400
_START = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="">'.encode()
)  # fmt: skip
_END = b"</rdf:Description></rdf:RDF></x:xmpmeta>"


def joined(xmp: bytes, pieces: Iterable[bytes]) -> bytes:
    """Join a packet with its extension. The packet is unchanged if the extension is missing, damaged or incomplete.

    Args:
        xmp: the packet; a damaged one is returned unchanged.
        pieces: the contents of the extension segments, after `EXTENDED_XMP`.
    """
    try:
        packet = Packet(xmp)
        note, tree = packet.find(_HAS_EXTENSION), packet.find((RDF, "RDF"))
        if note is None or tree is None:
            return xmp
        extension = Packet(_assembled(packet.text(note).encode(), pieces))
        for part in _descriptions(extension):
            packet.insert(tree.value_end, extension.alone(part))
        packet.remove(note)
    except ValueError:
        return xmp
    return packet.changed()


def _assembled(digest: bytes, pieces: Iterable[bytes]) -> bytes:
    found: dict[int, bytes] = {}
    size_bytes = 0
    for piece in pieces:
        if piece.startswith(digest) and len(digest) == _DIGEST_BYTES:
            size_bytes, offset = (int.from_bytes(piece[at : at + 4], "big") for at in (32, 36))
            found.setdefault(offset, piece[40:])
    data = b"".join(found[offset] for offset in sorted(found))
    ends = 0
    for offset in sorted(found):
        if offset != ends:
            raise ValueError("a piece is missing")
        ends += len(found[offset])
    if not data or ends != size_bytes:
        raise ValueError("a piece is missing")
    return data


def _descriptions(packet: Packet) -> list[Part]:
    tree = packet.find((RDF, "RDF"))
    return [part for part in tree.parts if part.name == (RDF, "Description")] if tree is not None else []


def divided(xmp: bytes, limit_bytes: int) -> tuple[bytes, bytes]:
    """Divide a packet into one of at most `limit_bytes` bytes and the segments of its extension.

    The largest properties are moved to the extension. A packet that fits is unchanged and has no segments.

    Raises:
        ValueError: the part that cannot be moved is too large, or the packet is damaged.
    """
    if len(xmp) <= limit_bytes:
        return xmp, b""
    packet = Packet(xmp)
    tree = packet.find((RDF, "RDF"))
    descriptions = _descriptions(packet)
    elements = [part for owner in descriptions for part in owner.parts if xmp.startswith(b"<", part.start)]
    moved, left_bytes = list[Part](), len(xmp) + 512
    for part in sorted(elements, key=lambda part: part.start - part.end):
        if left_bytes > limit_bytes:
            moved.append(part)
            left_bytes -= part.end - part.start
    if left_bytes > limit_bytes or tree is None:
        raise ValueError("too large for a packet")
    for part in moved:
        packet.remove(part)
    extension = _START + b"".join(packet.alone(part) for part in sorted(moved, key=lambda part: part.start)) + _END
    digest = md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    note = b'<r:Description xmlns:r="%b" r:about="" xmlns:n="%b" n:HasExtendedXMP="%b"/>'
    packet.insert(tree.value_end, note % (RDF.encode(), _NOTE.encode(), digest))
    return packet.changed(), b"".join(_segments(extension, digest))


def _segments(extension: bytes, digest: bytes) -> Iterable[bytes]:
    for offset in range(0, len(extension), _PIECE_BYTES):
        places = len(extension).to_bytes(4, "big") + offset.to_bytes(4, "big")
        body = EXTENDED_XMP + digest + places + extension[offset : offset + _PIECE_BYTES]
        yield b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
