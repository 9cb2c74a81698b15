"""BMP: pixels with bit masks that Pillow does not support or that have alpha, and the colour space in the header.

Alpha that is 0 everywhere counts as unused, because many programs do not fill in the alpha bits.
Sources: Microsoft's BITMAPV4HEADER and BITMAPV5HEADER; bmpsuite by Jason Summers for files found in practice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.limits import check_metadata_bytes, check_pixels
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import Depth, ImageInfo, Layout, Metadata, Rows
from upsample_cli.images.regions import RegionSource

_FILE_HEAD_BYTES, _MASKS_AT = 14, 40
_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_HEADS_WITH_MASKS = {40, 52, 56, 108, 124}  # not 64, of OS/2, where compression 3 has another meaning
_PILLOW_READS = {
    (32, 0xFF0000, 0xFF00, 0xFF), (32, 0xFF000000, 0xFF0000, 0xFF00), (32, 0xFF000000, 0xFF00, 0xFF),
    (16, 0xF800, 0x7E0, 0x1F), (16, 0x7C00, 0x3E0, 0x1F),
}  # fmt: skip
_USUAL_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_SCAN_BYTES = 1 << 20
_CALIBRATED, _EMBEDDED, _LINKED = 0, 0x4D424544, 0x4C494E4B


@dataclass(frozen=True, slots=True)
class _Head:
    """The header of a BMP with bit masks for red, green, blue and alpha; the mask of an absent channel is 0."""

    height: int
    width: int
    is_top_down: bool
    bits: int
    masks: tuple[int, int, int, int]
    data_at: int
    dpi: tuple[float, float] | None

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def open_bmp(file: BinaryIO, name: str, *, max_pixels: int) -> RegionSource | None:
    """A source for the BMP in `file`, which reads rows on request; None if Pillow reads it.

    Args:
        file: the open file, at its start; it must stay open.
        name: name of the file in messages.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the image is too large, or its masks are not supported.
        OSError: the file is truncated.
    """
    head = _head(file)
    if head is None:
        return None
    check_pixels(name, head.height, head.width, max_pixels)
    if file.seek(0, 2) < head.data_at + head.height * head.row_bytes:
        raise OSError("truncated")
    channels = [Channel(mask) for mask in head.masks if mask]
    if not all(channel.is_contiguous for channel in channels) or sum(head.masks) > _together(head.masks):
        raise ImageError(name, "is a BMP whose bit masks overlap or have gaps", CONVERT, kind="unsupported")
    profile, losses = colour_of(file)
    masks = head.masks
    if masks[3] and not _has_alpha(file, head):
        text = "alpha is 0 everywhere, which in a BMP means that it is not used; the image is read as opaque"
        masks, losses = (*masks[:3], 0), [Loss("alpha", text), *losses]
    depth: Depth = 16 if any(channel.largest > 255 for channel in channels) else 8
    layout = Layout("rgb", bool(masks[3]), depth)

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        stored = _stored(file, head, top, bottom)[:, left:right]
        kept = [Channel(mask) for mask in masks[: layout.channels]]
        return np.stack([channel.levels(stored, layout) for channel in kept], axis=2)

    info = ImageInfo("bmp", head.height, head.width, layout, tuple(losses), lossless=True)
    return RegionSource(info, Metadata(icc_profile=profile, dpi=head.dpi), orientation=1, read_box=read_box)


def _head(file: BinaryIO) -> _Head | None:
    """The header; None if Pillow reads the file correctly or reports a better error."""
    file.seek(0)
    start = file.read(_FILE_HEAD_BYTES + 124)
    if len(start) < _FILE_HEAD_BYTES + _MASKS_AT:
        return None
    data_at, size, width, height, bits, compression, across, down = struct.unpack_from("<IIii2xHI4xII", start, 10)
    if size not in _HEADS_WITH_MASKS or bits not in {16, 32} or compression not in {_BITFIELDS, _ALPHA_BITFIELDS}:
        return None
    count = 4 if size >= 56 or compression == _ALPHA_BITFIELDS else 3
    found = struct.unpack_from(f"<{count}I", start.ljust(138, b"\0"), _FILE_HEAD_BYTES + _MASKS_AT)
    red, green, blue, alpha = (*found, 0)[:4]
    if bits == 32 and not any(found):
        red, green, blue, alpha = _USUAL_MASKS
    if width < 1 or height == 0 or (not alpha and (bits, red, green, blue) in _PILLOW_READS):
        return None
    dpi = (across * METRES_PER_INCH, down * METRES_PER_INCH) if across and down else None
    return _Head(abs(height), width, height < 0, bits, (red, green, blue, alpha), data_at, dpi)


def _together(masks: tuple[int, ...]) -> int:
    """The bits of all masks. Their sum is larger if masks overlap."""
    return masks[0] | masks[1] | masks[2] | masks[3]


class Channel:
    """The bits of one channel."""

    def __init__(self, mask: int) -> None:
        self.shift = (mask & -mask).bit_length() - 1 if mask else 0
        self.largest = mask >> self.shift
        self.is_contiguous = self.largest & (self.largest + 1) == 0

    def levels(self, stored: NDArray[Any], layout: Layout) -> Rows:
        """Scale stored bits to 0 up to the largest value of the layout, rounded half up."""
        if not self.largest:
            return np.zeros(stored.shape, layout.dtype)
        whole = np.uint64(np.iinfo(layout.dtype).max)
        numbers = (stored >> self.shift & self.largest).astype(np.uint64)
        rows: Rows = ((numbers * whole + np.uint64(self.largest // 2)) // np.uint64(self.largest)).astype(layout.dtype)
        return rows


def _stored(file: BinaryIO, head: _Head, top: int, bottom: int) -> NDArray[Any]:
    first = top if head.is_top_down else head.height - bottom
    file.seek(head.data_at + first * head.row_bytes)
    data = file.read((bottom - top) * head.row_bytes)
    if len(data) < (bottom - top) * head.row_bytes:
        raise OSError("truncated")
    pixels = np.frombuffer(data, f"<u{head.bits // 8}").reshape(bottom - top, -1)[:, : head.width]
    return pixels if head.is_top_down else pixels[::-1]


def _has_alpha(file: BinaryIO, head: _Head) -> bool:
    """Whether alpha is not 0 everywhere. Files that use alpha usually show it in the first rows, so this ends early."""
    step = max(1, _SCAN_BYTES // head.row_bytes)
    mask = np.array(head.masks[3], f"<u{head.bits // 8}")
    for top in range(0, head.height, step):
        if (_stored(file, head, top, min(top + step, head.height)) & mask).any():
            return True
    return False


def colour_of(file: BinaryIO) -> tuple[bytes | None, list[Loss]]:
    """The ICC profile of a BMP, and the loss of other information about colour. The file's position is moved.

    Raises:
        MetadataError: the profile is larger than `limits.MAX_METADATA_BYTES`.
    """
    file.seek(0)
    start = file.read(_FILE_HEAD_BYTES + 124)
    size = int.from_bytes(start[14:18], "little")
    if size not in {108, 124} or len(start) < _FILE_HEAD_BYTES + size:
        return None, []
    space = int.from_bytes(start[70:74], "little")
    if space == _CALIBRATED and any(start[74:122]):
        return None, [
            Loss("profile", "the colour space (endpoints and gamma) is left out, so colours may look different")
        ]
    if size == 124 and space == _LINKED:
        return None, [Loss("profile", "the colour profile is in another file, and is left out")]
    if size == 124 and space == _EMBEDDED:
        at, size_bytes = struct.unpack_from("<II", start, 126)
        check_metadata_bytes(size_bytes)
        file.seek(_FILE_HEAD_BYTES + at)
        profile = file.read(size_bytes)
        if profile[36:40] == b"acsp" and int.from_bytes(profile[:4], "big") <= len(profile):
            return profile, []
        return None, [Loss("profile", "the colour profile (ICC) is damaged and is left out")]
    return None, []
