"""ICO and CUR: the largest of their images, decoded by Pillow. Source: Microsoft, "Icons", and the header of a DIB."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.codecs.whole.model import CheckSize, Whole
from upsample_cli.images.limits import ANY_PIXELS, check_coded_bytes
from upsample_cli.images.model import Layout, Metadata, Rows

_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES, _ENTRY_BYTES, _DIB_BYTES = 6, 16, 40
_CURSOR = 2
_BITS = {1, 4, 8, 16, 24, 32}


class _Dib(NamedTuple):
    """A bitmap without a file header, and the mask that follows it."""

    height: int
    width: int
    bits: int
    data: bytes


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The largest image in `file`; of equal sizes, the one with most bits per pixel.

    Raises:
        ImageError: it is of a kind that is not supported.
        ValueError: the file is damaged or truncated.
    """
    kind, count = struct.unpack("<2xHH", file.read(_HEAD_BYTES))
    table = file.read(count * _ENTRY_BYTES)
    if len(table) < count * _ENTRY_BYTES:
        raise ValueError("truncated")
    entries = list(struct.iter_unpack("<BBxxHHII", table))

    def rank(entry: tuple[int, ...]) -> tuple[int, int]:
        width, height, _, bits, *_ = entry
        return (width or 256) * (height or 256), 0 if kind == _CURSOR else bits  # a cursor has its hot spot there

    largest = max(entries, key=rank)
    *_, size_bytes, at = largest
    check_coded_bytes(name, size_bytes, rank(largest)[0])
    file.seek(at)
    data = file.read(size_bytes)
    if len(data) < size_bytes:
        raise ValueError("truncated")
    losses = [Loss("frames", f"of its {count} images, the largest is read")] if count > 1 else []
    losses += [Loss("metadata", "the hot spot of the cursor is left out")] if kind == _CURSOR else []
    read = _png if data.startswith(_PNG) else _bitmap
    return read(data, name, check_size, losses)


def _png(data: bytes, name: str, check_size: CheckSize, losses: list[Loss]) -> Whole:
    from upsample_cli.images.codecs.pillow_file import open_with_pillow
    from upsample_cli.images.header import header_of

    file = BytesIO(data)
    opened = open_with_pillow(file, name, max_pixels=ANY_PIXELS)
    check_size(opened.image.height, opened.image.width)
    header = header_of(opened, file, name)
    if header.info.layout.depth != 8:
        cause = f"holds a PNG of {header.info.layout.depth} bits per channel, which is not supported"
        raise ImageError(name, cause, CONVERT, kind="unsupported")

    def decode(_losses: set[Loss]) -> Rows:
        opened.image.load()
        return header.reading.rows(opened.image)

    kept, lost = header.metadata, _lost(header.metadata)
    info = {"icc_profile": kept.icc_profile, "dpi": kept.dpi}
    return Whole(
        opened.image.height, opened.image.width, header.info.layout, decode,
        info={key: value for key, value in info.items() if value},
        colour=kept.colour, aspect=kept.aspect, losses=(*losses, *header.info.losses, *lost),
    )  # fmt: skip


def _lost(metadata: Metadata) -> list[Loss]:
    """The loss of what is in the PNG of an icon, and is not carried: programs that show icons do not read it."""
    parts = {"EXIF": metadata.exif, "XMP": metadata.xmp, "captions (IPTC)": metadata.iptc, "text": metadata.text}
    names = ", ".join(name for name, part in parts.items() if part)
    return [Loss("metadata", f"metadata of the PNG in it are left out ({names})")] if names else []


def _bitmap(data: bytes, name: str, check_size: CheckSize, losses: list[Loss]) -> Whole:
    size, width, doubled, bits, used = struct.unpack_from("<IiixxH16xI", data)
    height = doubled // 2
    check_size(height, width)
    if size != _DIB_BYTES or bits not in _BITS:
        raise ImageError(name, "is an icon with a bitmap of an unusual kind", CONVERT, kind="unsupported")
    colours = min(used, 256) or 1 << bits if bits <= 8 else used
    mask_at = _DIB_BYTES + 4 * colours + height * ((width * bits + 31) // 32 * 4)
    if len(data) < mask_at:
        raise ValueError("truncated")
    end = mask_at + height * ((width + 31) // 32 * 4)
    dib = _Dib(height, width, bits, data[:end].ljust(end, b"\0"))  # Pillow finds the mask from the end; some have none

    def decode(_losses: set[Loss]) -> Rows:
        rows = _decoded(dib, bits)
        # Alpha that is 0 everywhere is not used; then the mask holds.
        return rows if bits < 32 or rows[..., 3].any() else _decoded(dib, 24)

    return Whole(height, width, Layout("rgb", alpha=True), decode, losses=tuple(losses))


def _decoded(dib: _Dib, bits: int) -> Rows:
    """The pixels, with alpha from the fourth byte if `bits` is 32, or else from the mask."""
    import numpy as np
    from PIL.IcoImagePlugin import IcoFile

    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, bits, len(dib.data), _HEAD_BYTES + _ENTRY_BYTES)
    icon = IcoFile(BytesIO(struct.pack("<HHH", 0, 1, 1) + entry + dib.data))
    rows: Rows = np.array(icon.frame(0).convert("RGBA"))
    return rows
