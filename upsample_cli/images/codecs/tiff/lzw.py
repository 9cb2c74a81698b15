"""LZW strips and tiles of a TIFF, decoded by Pillow's libtiff, each wrapped in a TIFF of its own.

imagecodecs' decoder, which tifffile would use, follows codes of damaged data out of its table: the process crashes.
"""

from __future__ import annotations

from io import BytesIO

from PIL import TiffImagePlugin

from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.metadata import ifd, ifd_write

_HEAD = b"II*\0\x08\0\0\0"
_LZW, _GREY = 5, 1


def lzw_decoded(data: bytes, rows: int, row_bytes: int, *, fill_order: int = 1) -> bytes:
    r"""`rows` rows of `row_bytes` bytes.

    Args:
        data: as stored.
        rows, row_bytes: of the segment decoded, its predictor not undone.
        fill_order: TIFF's; 2 where the bits of each byte come the lowest first.

    Raises:
        OSError: it is damaged, or less than that.

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
