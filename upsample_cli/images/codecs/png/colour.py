"""Read and write the chunks of a PNG that state its colour space, except an ICC profile.

Source: the PNG specification (W3C, third edition), 11.3.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from upsample_cli.images.codecs.png.chunks import png_chunk
from upsample_cli.images.model import ColourSpace

_MASTERING = (b"mDCV", b"cLLI")


def colour_space(data: Mapping[bytes, bytes]) -> ColourSpace | None:
    """The colour space that intact chunks state, from their data by kind; None if there are no such chunks.

    >>> colour_space({b"gAMA": (45455).to_bytes(4, "big")}).gamma
    45455
    """
    coded, gamma, chromaticities, intent = (data.get(kind) for kind in (b"cICP", b"gAMA", b"cHRM", b"sRGB"))
    made = ColourSpace(
        codes=(coded[0], coded[1]) if coded else None,
        is_limited=bool(coded) and coded is not None and not coded[3],
        gamma=int.from_bytes(gamma, "big") if gamma else None,
        chromaticities=struct.unpack(">8I", chromaticities) if chromaticities else None,
        intent=intent[0] if intent else None,
        mastering=tuple((kind, data[kind]) for kind in _MASTERING if kind in data),
    )
    return made if made != ColourSpace() else None


def colour_chunks(colour: ColourSpace) -> Iterator[bytes]:
    """The chunks that state a colour space.

    >>> [chunk[4:8] for chunk in colour_chunks(ColourSpace(codes=(12, 13), gamma=45455))]
    [b'cICP', b'gAMA']
    """
    if colour.codes is not None:
        yield png_chunk(b"cICP", bytes((*colour.codes, 0, not colour.is_limited)))
    for kind, data in colour.mastering:
        yield png_chunk(kind, data)
    if colour.intent is not None:
        yield png_chunk(b"sRGB", bytes([colour.intent]))
    if colour.gamma is not None:
        yield png_chunk(b"gAMA", colour.gamma.to_bytes(4, "big"))
    if colour.chromaticities is not None:
        yield png_chunk(b"cHRM", struct.pack(">8I", *colour.chromaticities))
