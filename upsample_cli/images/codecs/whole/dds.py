"""DDS (DirectDraw Surface): the largest level of its first image, from blocks (imagecodecs) or from bit masks.

Source: Microsoft, "Programming guide for DDS" and the DXGI_FORMAT enumeration.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.codecs.whole.model import BAND_ROWS, CheckSize, Whole
from upsample_cli.images.model import Layout, Rows

_HEAD_BYTES, _MORE_BYTES, _BLOCK = 128, 20, 4
_ALPHA_PIXELS, _ALPHA_ONLY, _FOUR_CODE, _RGB, _LUMINANCE = 0x1, 0x2, 0x4, 0x40, 0x20000
_CUBE, _VOLUME = 0x200, 0x200000
_CUBE_OF_MORE = 0x4
_PREMULTIPLIED_MODE = 2
_PREMULTIPLIED_CODES = {b"DXT2", b"DXT4"}
_BLOCKS: dict[bytes | int, int] = {
    b"DXT1": 1, b"DXT2": 2, b"DXT3": 2, b"DXT4": 3, b"DXT5": 3, b"ATI1": 4, b"BC4U": 4,
    **dict.fromkeys((70, 71, 72), 1), **dict.fromkeys((73, 74, 75), 2), **dict.fromkeys((76, 77, 78), 3),
    **dict.fromkeys((79, 80), 4), **dict.fromkeys((97, 98, 99), 7),
}  # fmt: skip
"""The number of the block compression (BC1 to BC7), by four-character code or by DXGI's number."""

_BLOCK_BYTES = {1: 8, 2: 16, 3: 16, 4: 8, 7: 16}
_RED_FIRST, _BLUE_FIRST = (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_MASKS = {**dict.fromkeys((27, 28, 29), _RED_FIRST), **dict.fromkeys((87, 91), _BLUE_FIRST)}
_ONE_CHANNEL = 61


@dataclass(frozen=True, slots=True)
class _Pixels:
    """How pixels are stored: in blocks of a kind, or as numbers of some bits with a mask for each channel."""

    blocks: int = 0
    bits: int = 0
    masks: tuple[int, ...] = ()
    is_premultiplied: bool = False

    @property
    def layout(self) -> Layout:
        is_grey = self.blocks == _BLOCK or len(self.masks) in {1, 2}
        return Layout("grey" if is_grey else "rgb", self.blocks in {1, 2, 3, 7} or len(self.masks) in {2, 4})

    def size_bytes(self, height: int, width: int) -> int:
        if self.blocks:
            return -(-height // _BLOCK) * -(-width // _BLOCK) * _BLOCK_BYTES[self.blocks]
        return height * width * self.bits // 8


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The first image in `file`.

    Raises:
        ImageError: it is of a kind that is not supported.
        ValueError: the file is damaged or truncated.
    """
    head = file.read(_HEAD_BYTES)
    height, width = struct.unpack_from("<II", head, 12)
    check_size(height, width)
    flags, code = struct.unpack_from("<I4s", head, 80)
    caps = struct.unpack_from("<I", head, 112)[0]
    more = struct.unpack("<5I", file.read(_MORE_BYTES)) if flags & _FOUR_CODE and code == b"DX10" else None
    pixels = _of_old(head, flags, code) if more is None else _of_dxgi(more)
    if pixels is None or caps & _VOLUME:
        coded = more[0] if more else code.decode("latin-1") if flags & _FOUR_CODE else "a palette or unusual masks"
        kind = "a volume" if caps & _VOLUME else f"pixels of the kind {coded!r}"
        raise ImageError(name, f"is a DDS with {kind}, which is not supported", CONVERT, kind="unsupported")
    at, layout = _HEAD_BYTES + _MORE_BYTES * (more is not None), pixels.layout
    size_bytes = pixels.size_bytes(height, width)
    if file.seek(0, os.SEEK_END) < at + size_bytes:
        raise ValueError("truncated")

    def decode(losses: set[Loss]) -> Rows:
        from upsample_cli.images.codecs.levels import make_straight

        file.seek(at)
        data = file.read(size_bytes)
        rows = _of_blocks(data, pixels.blocks, height, width) if pixels.blocks else _of_masks(data, pixels, height)
        if pixels.is_premultiplied:
            make_straight(rows, losses)
        return rows

    is_cube = caps & _CUBE or (more is not None and more[2] & _CUBE_OF_MORE)
    lost = "of the faces of its cube" if is_cube else "of its images" if more is not None and more[3] > 1 else ""
    losses = (Loss("frames", f"{lost}, the first is read"),) if lost else ()
    return Whole(
        height, width, layout, decode, losses=losses, lossless=not pixels.blocks, decoding_bytes=size_bytes * 2
    )


def _of_old(head: bytes, flags: int, code: bytes) -> _Pixels | None:
    if flags & _FOUR_CODE:
        return _Pixels(_BLOCKS[code], is_premultiplied=code in _PREMULTIPLIED_CODES) if code in _BLOCKS else None
    bits, *masks = struct.unpack_from("<5I", head, 88)
    if bits not in {8, 16, 24, 32} or flags & _ALPHA_ONLY or not flags & (_RGB | _LUMINANCE):
        return None
    if flags & _LUMINANCE:  # many writers leave its masks empty or give others
        grey = (0xFF, 0xFF00)[: bits // 8]
        return _Pixels(bits=bits, masks=grey) if len(grey) == 1 + flags % 2 and bits <= 16 else None
    used = masks[: 4 if flags & _ALPHA_PIXELS else 3]
    return _Pixels(bits=bits, masks=tuple(used)) if _are_sound(used, bits) else None


def _are_sound(masks: list[int], bits: int) -> bool:
    """Whether every mask is one run of at most 8 bits, and none overlaps another."""
    runs = [mask // (mask & -mask) for mask in masks if mask]
    together = 0
    for mask in masks:
        together |= mask
    return (
        len(runs) == len(masks)
        and together == sum(masks) < 1 << bits
        and all(run & (run + 1) == 0 and run < 256 for run in runs)
    )


def _of_dxgi(more: tuple[int, ...]) -> _Pixels | None:
    number, mode = more[0], more[4] & 7
    if number in _BLOCKS:
        return _Pixels(_BLOCKS[number], is_premultiplied=mode == _PREMULTIPLIED_MODE and _BLOCKS[number] != _BLOCK)
    if number in _MASKS:
        return _Pixels(bits=32, masks=_MASKS[number], is_premultiplied=mode == _PREMULTIPLIED_MODE)
    return _Pixels(bits=8, masks=(0xFF,)) if number == _ONE_CHANNEL else None


def _of_blocks(data: bytes, kind: int, height: int, width: int) -> Rows:
    import numpy as np
    from imagecodecs import bcn_decode

    sides = -(-height // _BLOCK) * _BLOCK, -(-width // _BLOCK) * _BLOCK
    decoded = np.asarray(bcn_decode(data, kind, shape=sides if kind == _BLOCK else (*sides, 4)))
    return np.ascontiguousarray(decoded[:height, :width].reshape(height, width, -1))


def _of_masks(data: bytes, pixels: _Pixels, height: int) -> Rows:
    import numpy as np

    from upsample_cli.images.codecs.bmp import Channel

    stored = np.frombuffer(data, np.uint8).reshape(height, -1, pixels.bits // 8)
    rows: Rows = np.empty((*stored.shape[:2], len(pixels.masks)), pixels.layout.dtype)
    for top in range(0, height, BAND_ROWS):
        band = stored[top : top + BAND_ROWS]
        numbers = np.pad(band, ((0, 0), (0, 0), (0, 4 - pixels.bits // 8))).view("<u4")[..., 0]
        for channel, mask in enumerate(pixels.masks):
            rows[top : top + BAND_ROWS, :, channel] = Channel(mask).levels(numbers, pixels.layout)
    return rows
