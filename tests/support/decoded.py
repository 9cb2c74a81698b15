"""The pixels of an encoded image, independent of its metadata and compression."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageSequence

from support.corpus import png_chunk

_PNG, _TIFF, _PNM = (
    b"\x89PNG\r\n\x1a\n",
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    tuple(b"P%d" % n for n in range(1, 8)),
)
_COMMENTS = re.compile(rb"\A(P\d\n)(?:#[^\n]*\n)+")
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")


def decoded(data: bytes) -> bytes | None:
    """Shape, type and pixels of every frame or page; None if it is not an image."""
    if data.startswith(_PNM):
        return _COMMENTS.sub(rb"\1", data)
    if data.startswith(_PNG):
        return b"".join(_described(imagecodecs.png_decode(frame)) for frame in _png_frames(data))
    if data.startswith(_TIFF):
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return b"".join(_described(page.asarray()) for page in file.pages)
    if data.startswith(_JXL):
        return _described(imagecodecs.jpegxl_decode(data))
    try:
        with Image.open(io.BytesIO(data)) as image:
            # The first frame of an animation may have a palette that the others lack.
            frames = (frame.convert("RGBA") if frame.mode == "P" else frame for frame in ImageSequence.Iterator(image))
            return b"".join(_described(np.asarray(frame)) for frame in frames)
    except OSError:
        return None


def _described(pixels: np.ndarray) -> bytes:
    return f"{pixels.shape} {pixels.dtype}".encode() + np.ascontiguousarray(pixels).tobytes()


def _png_frames(data: bytes) -> Iterator[bytes]:
    """Each frame of a PNG as a separate PNG: decoders of 16 bits read only the first."""
    head, before, pixels, sizes = b"", b"", [], []
    at = len(_PNG)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            head = content
        elif kind in {b"PLTE", b"tRNS"}:
            before += png_chunk(kind, content)
        elif kind == b"fcTL":
            sizes.append(content[4:12])
            pixels.append(b"")
        elif kind == b"IDAT":
            if not pixels:
                pixels.append(b"")
            pixels[-1] += content
        elif kind == b"fdAT":
            pixels[-1] += content[4:]
    for number, part in enumerate(pixels):
        size = sizes[number] if sizes else head[:8]
        yield _PNG + png_chunk(b"IHDR", size + head[8:]) + before + png_chunk(b"IDAT", part) + png_chunk(b"IEND", b"")
