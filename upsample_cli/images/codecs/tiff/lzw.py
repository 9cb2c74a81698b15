"""Decode LZW strips and tiles of a TIFF with Pillow's libtiff. Each one is wrapped in a separate TIFF.

The decoder of imagecodecs, which tifffile would use, reads outside its table on damaged data and crashes the process.
"""

from __future__ import annotations

from io import BytesIO

from PIL import TiffImagePlugin

from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.metadata import ifd, ifd_write

_HEAD = b"II*\0\x08\0\0\0"
_LZW, _GREY = 5, 1


def lzw_decoded(data: bytes, rows: int, row_bytes: int, *, fill_order: int = 1) -> bytes:
    r"""Decode a segment to `rows` rows of `row_bytes` bytes. A predictor is not undone.

    Args:
        data: the segment as stored.
        rows: number of rows.
        row_bytes: bytes of a row.
        fill_order: TIFF's FillOrder; 2 if the lowest bit of each byte comes first.

    Raises:
        OSError: the data are damaged or too short.

    >>> lzw_decoded(bytes.fromhex("80 00 40 b0 10"), 1, 2)
    b'\x01\x05'
    """
    numbers: tuple[tuple[int, int], ...] = (
        (256, row_bytes), (257, rows), (258, 8), (259, _LZW), (262, _GREY), (266, fill_order), (273, 0), (277, 1),
        (278, rows), (279, len(data)),
    )  # fmt: skip
    size = len(ifd_write.directory_bytes(_fields(numbers), order="<", at=len(_HEAD)))
    numbers = tuple((tag, len(_HEAD) + size if tag == 273 else number) for tag, number in numbers)
    directory = ifd_write.directory_bytes(_fields(numbers), order="<", at=len(_HEAD))
    with quiet_pillow():
        return TiffImagePlugin.TiffImageFile(BytesIO(_HEAD + directory + data)).tobytes()


def _fields(numbers: tuple[tuple[int, int], ...]) -> list[ifd_write.Field]:
    return [ifd_write.integers(tag, ifd.LONG, "<", number) for tag, number in numbers]
