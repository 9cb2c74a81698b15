"""Unpack the run lengths of a BMP (RLE8, RLE4), from which Pillow reads only images that leave out no row.

A row or the whole bitmap may end early, and a delta moves on: the pixels between have no colour. As in ImageMagick and
GDI, they get the first colour of the palette; browsers show them as transparent.
Source: Microsoft's "Bitmap Compression".
"""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from PIL import ImageFile

from upsample_cli.errors import Loss
from upsample_cli.images.limits import check_coded_bytes

_LEFT_OUT = Loss("alpha", "pixels that its run lengths leave out become the first colour of its palette")
_END_OF_ROW, _END_OF_BITMAP, _DELTA = range(3)


def unpack_rle(image: ImageFile.ImageFile, file: BinaryIO, name: str) -> tuple[Loss, ...]:
    """Replace the pixels that an image in run lengths reads by the unpacked ones; return the losses.

    Args:
        image: a BMP that Pillow has opened and not decoded. One without run lengths is not changed.
        file: its file; the position is moved.
        name: name of the file in messages.

    Raises:
        EOFError: the file ends before its pixels do.
        ImageError: its data are larger than any encoder makes them.
    """
    tile = image.tile[0]
    if tile.codec_name != "bmp_rle" or not isinstance(tile.args, tuple):
        return ()
    check_coded_bytes(name, file.seek(0, 2) - tile.offset, image.height * image.width)
    file.seek(tile.offset)
    is_of_4_bits, direction = tile.args[1:]
    indices, is_whole = _unpacked(file.read(), image.height, image.width, is_of_4_bits=is_of_4_bits)
    raw_mode = "1;8" if image.mode == "1" else image.mode
    image.fp = BytesIO(indices)
    image.tile = [tile._replace(codec_name="raw", offset=0, args=(raw_mode, 0, direction))]
    return () if is_whole else (_LEFT_OUT,)


def _unpacked(data: bytes, height: int, width: int, *, is_of_4_bits: bool) -> tuple[bytearray, bool]:
    """The index of each pixel in a byte, in the order of the file, and whether every pixel has one."""
    indices, stated, x, y, at = bytearray(height * width), 0, 0, 0, 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        if at > len(data):
            raise EOFError("truncated")
        return data[at - count : at]

    run = b""
    while (y, x) < (height - 1, width):
        count, value = take(2)
        if count:
            run = bytes((value >> 4, value & 15) if is_of_4_bits else (value, value)) * (count + 1 >> 1)
        elif value == _END_OF_ROW:
            x, y = 0, y + 1
        elif value == _END_OF_BITMAP:
            break
        elif value == _DELTA:
            right, down = take(2)
            x, y = x + right, y + down
        else:
            count = value
            size_bytes = count + 1 >> 1 if is_of_4_bits else count
            run, at = take(size_bytes), at + size_bytes % 2
            run = bytes(nibble for byte in run for nibble in (byte >> 4, byte & 15)) if is_of_4_bits else run
        kept = max(0, min(count, width - x))
        indices[y * width + x : y * width + x + kept] = run[:kept]
        stated, x = stated + kept, x + kept
    return indices, stated == height * width
