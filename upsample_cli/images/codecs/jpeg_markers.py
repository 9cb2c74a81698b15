"""The marker segments of a JPEG before its pixels, bounded before Pillow reads them."""

from __future__ import annotations

from typing import BinaryIO

from upsample_cli.errors import ImageError

MAX_EXIF_SEGMENTS = 300
"""Of 64 KiB each, more than all metadata of a file may be. Pillow joins them in time in the square of their number."""

_EXIF, _SCAN, _END = 0xE1, 0xDA, 0xD9


def check_exif_segments(file: BinaryIO, name: str) -> None:
    """Refuse a JPEG whose Exif block is in endless pieces.

    Raises:
        ImageError: naming it.
    """
    at, count = 2, 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (_SCAN, _END):
            return
        if head[1] == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        count += head[1] == _EXIF and head[4:] == b"Exif\0\0"
        if count > MAX_EXIF_SEGMENTS:
            raise ImageError(name, "holds its Exif block in endless pieces", "convert it, or get a new copy")
        at += 2 + max(2, int.from_bytes(head[2:4]))
