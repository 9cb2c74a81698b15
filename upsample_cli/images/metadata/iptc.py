"""IPTC captions as formats store them: in Photoshop's resources in a JPEG, as hexadecimal text in a PNG.

Source: IPTC-NAA Information Interchange Model 4.2; Adobe's Photoshop file format, "Image resource blocks".
"""

from __future__ import annotations

from binascii import hexlify, unhexlify

from upsample_cli.images.metadata.photoshop import CAPTIONS, Resources, read_resources

PNG_KEYWORD = "Raw profile type iptc"
TIFF_TAG = 33723
_SEGMENT_BYTES = 65533
RECORD = b"\x1c"
"""The first byte of each record."""
_BLANKS = str.maketrans("", "", "\n ")
_MARK, _SIGNATURE = b"8BIM", b"Photoshop 3.0\0"


def jpeg_segments(iptc: bytes) -> bytes:
    r"""The APP13 segments for captions. A Photoshop resource may be split over several segments.

    >>> jpeg_segments(b"\x1c\x02\x05\0\3Sea")[:4].hex(" ")
    'ff ed 00 24'
    """
    block, step = _resource(iptc), _SEGMENT_BYTES - len(_SIGNATURE)
    pieces = [_SIGNATURE + block[at : at + step] for at in range(0, len(block), step)]
    return b"".join(b"\xff\xed" + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces)


def png_text(iptc: bytes) -> str:
    r"""The captions as the text of keyword `PNG_KEYWORD`, as ImageMagick and ExifTool write and read them.

    >>> png_text(b"\x1c\x02\x05\0\3Sea").splitlines()[:3]
    ['', 'iptc', '      20']
    """
    block = _resource(iptc)
    text = hexlify(block).decode()
    lines = [text[at : at + 72] for at in range(0, len(text), 72)]
    return "\n".join(["", "iptc", f"{len(block):8}", *lines, ""])


def resources_in_text(value: str) -> Resources | None:
    r"""Photoshop's resources in a text made by `png_text`, which may contain captions only; None if it is damaged.

    >>> resources_in_text(png_text(b"\x1c\x02\x05\0\3Sea")).captions
    b'\x1c\x02\x05\x00\x03Sea'
    """
    block = profile_in_text(value)
    if block is not None and block.startswith(RECORD):
        block = _resource(block)
    return read_resources(block) if block is not None else None


def profile_in_text(value: str) -> bytes | None:
    """Decode ImageMagick's text: a line with the kind, one with the length, then hexadecimal. None if damaged."""
    try:
        return unhexlify("".join(value.split("\n", 3)[3:]).translate(_BLANKS))
    except ValueError:
        return None


def _resource(iptc: bytes) -> bytes:
    head = _MARK + CAPTIONS.to_bytes(2, "big") + b"\0\0"  # an empty name, padded
    return head + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
