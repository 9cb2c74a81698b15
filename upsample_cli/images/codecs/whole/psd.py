"""PSD and PSB of Photoshop: the flattened image that they hold next to their layers.

Source: Adobe Photoshop file formats specification.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.left_out import channels_left_out
from upsample_cli.images.codecs.whole.model import BAND_ROWS, CheckSize, Whole
from upsample_cli.images.limits import check_metadata_bytes
from upsample_cli.images.metadata.photoshop import lost_resources, read_resources, resource
from upsample_cli.images.model import Colour, ColourSpace, Depth, Layout, Rows

_HEAD_BYTES = 26
_PSB = 2
_MOST_CHANNELS = 56
_COLOURS: dict[int, tuple[Colour, int]] = {1: ("grey", 1), 3: ("rgb", 3), 4: ("cmyk", 4), 8: ("grey", 1)}
_OTHER_MODES = {0: "a bitmap", 2: "a palette", 7: "several inks", 9: "Lab colours"}
_DUOTONE = 8
_PROFILE, _VERSION_INFO = 0x040F, 0x0421
_RAW, _PACKED = 0, 1
_MOST_TIMES_PACKED = 2
"""How many times its own size a packed row can take: every byte alone takes two."""

_COPIES = 2
"""Copies of the samples besides the rows: planes as stored, and planes together."""
_DEEP_LAYERS = {b"Lr16", b"Lr32", b"Layr"}
_LONG_BLOCKS = _DEEP_LAYERS | {b"LMsk", b"Mt16", b"Mt32", b"Mtrn", b"Alph", b"FMsk", b"lnk2", b"FEid", b"FXid", b"PxSD"}
"""Blocks whose length is a 64-bit number in a PSB."""
_FLATTEN = 'save it in Photoshop with "Maximize Compatibility", or export it as TIFF'
_EXPORT = "export it as TIFF or PNG first, with Photoshop, GIMP or Krita"


@dataclass(frozen=True, slots=True)
class _Head:
    """The header: `is_big` for PSB; sides and channels of the flattened image."""

    is_big: bool
    channels: int
    height: int
    width: int
    bits: int
    mode: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of one channel."""
        return self.width * self.bits // 8


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The flattened image in `file`.

    Raises:
        ImageError: there is none, or it is of a kind that is not supported.
        ValueError: the file is damaged or truncated.
    """
    head = _head(file.read(_HEAD_BYTES), name)
    check_size(head.height, head.width)
    _skip(file, 4)  # a palette, or the inks of a duotone
    resources = _section(file, 4)
    layers, has_alpha = _layers(file, head)
    pixels_at = file.tell()
    version = resource(resources, _VERSION_INFO) or b"\0\0\0\1\1"
    if not version[4:5].strip(b"\0"):
        raise ImageError(name, "holds layers only, without a flattened image", _FLATTEN, kind="unsupported")
    colour, count = _COLOURS[head.mode]
    if head.channels < count:
        raise ValueError("channels are missing")
    has_alpha = has_alpha and head.channels > count
    layout = Layout(colour, has_alpha, _DEPTHS[head.bits])
    _check_length(file, pixels_at, head)

    def decode(_losses: set[Loss]) -> Rows:
        return _decoded(file, pixels_at, head, layout)

    found, profile = read_resources(resources), resource(resources, _PROFILE)
    lost = found.lost
    lost.pop("a colour profile", None)
    info = {"icc_profile": profile, "exif": found.exif, "xmp": found.xmp, "dpi": found.dpi}
    return Whole(
        head.height,
        head.width,
        layout,
        decode,
        mode="CMYK" if colour == "cmyk" else "",
        info={key: value for key, value in info.items() if value},
        iptc=found.captions,
        colour=ColourSpace(gamma=100000) if head.bits == 32 and profile is None and colour != "cmyk" else None,
        aspect=found.aspect,
        losses=(*_losses(head, layers, head.channels - layout.channels), *lost_resources(lost)),
        decoding_bytes=_COPIES * layout.channels * head.height * head.row_bytes,
    )


_DEPTHS: dict[int, Depth] = {8: 8, 16: 16, 32: 32}


def _head(data: bytes, name: str) -> _Head:
    version, channels, height, width, bits, mode = struct.unpack(">4xH6xHIIHH", data)
    if version not in {1, _PSB} or not 1 <= channels <= _MOST_CHANNELS:
        raise ValueError("its header makes no sense")
    if mode not in _COLOURS or bits not in _DEPTHS:
        what = _OTHER_MODES.get(mode, f"{bits} bits per channel" if mode in _COLOURS else "unknown colours")
        raise ImageError(name, f"is a PSD with {what}, which is not supported", _EXPORT, kind="unsupported")
    return _Head(version == _PSB, channels, height, width, bits, mode)


def _number(file: BinaryIO, size_bytes: int) -> int:
    data = file.read(size_bytes)
    if len(data) < size_bytes:
        raise ValueError("truncated")
    return int.from_bytes(data, "big")


def _skip(file: BinaryIO, size_bytes: int) -> None:
    file.seek(_number(file, size_bytes), os.SEEK_CUR)


def _section(file: BinaryIO, size_bytes: int) -> bytes:
    length = _number(file, size_bytes)
    check_metadata_bytes(length)
    return file.read(length)


def _layers(file: BinaryIO, head: _Head) -> tuple[int, bool]:
    """The number of layers, and whether the flattened image has transparency; the position moves to its pixels.

    Layers of more than 8 bits are in a block of their own, after those that hold for all layers.
    """
    wide = 8 if head.is_big else 4
    length = _number(file, wide)
    end, count = file.tell() + length, 0
    if length > wide:
        layers_bytes = _number(file, wide)
        if layers_bytes:
            count = _number(file, 2)
        elif length > wide + 4:
            _skip(file, 4)  # the global mask
            count = _deep_layers(file, end, wide)
    file.seek(end)
    return (0x10000 - count, True) if count >= 0x8000 else (count, False)


def _deep_layers(file: BinaryIO, end: int, wide: int) -> int:
    while file.tell() + 8 + wide + 2 <= end:
        _, key = struct.unpack(">4s4s", file.read(8))
        length = _number(file, wide if key in _LONG_BLOCKS else 4)
        if key in _DEEP_LAYERS and length:
            return _number(file, 2)
        file.seek(length + -length % 4, os.SEEK_CUR)
    return 0


def _check_length(file: BinaryIO, at: int, head: _Head) -> None:
    """Refuse a file that ends before its pixels, before memory is taken for them."""
    compression, left = _number(file, 2), file.seek(0, os.SEEK_END) - at - 2
    rows = head.channels * head.height
    packed_row_bytes = (4 if head.is_big else 2) + -(-head.row_bytes // 64)  # 128 bytes become two
    if compression not in {_RAW, _PACKED}:
        raise ValueError("its compression makes no sense")
    if left < rows * (head.row_bytes if compression == _RAW else packed_row_bytes):
        raise ValueError("truncated")


def _losses(head: _Head, layers: int, more_channels: int) -> list[Loss]:
    found = list[Loss]()
    if layers > 1:
        found.append(Loss("frames", f"its {layers} layers are left out; the flattened image is read"))
    if head.mode == _DUOTONE:
        found.append(Loss("colour", "the inks of its duotone are left out; it is read as grey"))
    return [*found, *channels_left_out(more_channels)]


def _decoded(file: BinaryIO, at: int, head: _Head, layout: Layout) -> Rows:
    import numpy as np

    planes = np.empty((layout.channels, head.height, head.width), layout.dtype.newbyteorder(">"))
    for channel, data in enumerate(_planes(file, at, head, layout.channels)):
        planes[channel] = np.frombuffer(data, planes.dtype).reshape(head.height, head.width)
    rows: Rows = np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(layout.dtype, copy=False)
    full = 1 if head.bits == 32 else np.iinfo(layout.dtype).max
    if layout.colour == "cmyk":  # stored as the light that an ink leaves
        rows[..., :4] = full - rows[..., :4]
    if layout.alpha:
        _take_off_white(rows, full, 0 if layout.colour == "cmyk" else full)
    return rows


def _planes(file: BinaryIO, at: int, head: _Head, count: int) -> list[bytes]:
    """The samples of the first `count` channels."""
    file.seek(at)
    size = head.height * head.row_bytes
    if _number(file, 2) == _RAW:
        return [file.read(size) for _ in range(count)]
    import numpy as np
    from imagecodecs import packbits_decode

    wide = 4 if head.is_big else 2
    table = file.read(wide * head.height * head.channels)
    lengths = np.frombuffer(table, f">u{wide}").reshape(head.channels, head.height).tolist()
    planes = list[bytes]()
    most_bytes = _MOST_TIMES_PACKED * head.row_bytes + wide
    for of_rows in lengths[:count]:
        rows = list[bytes]()
        for length in of_rows:
            if length > most_bytes:
                raise ValueError("rows that are longer than any encoder makes them")
            row = bytearray(head.row_bytes)
            if len(packbits_decode(file.read(length), out=row)) != head.row_bytes:
                raise ValueError("truncated")
            rows.append(bytes(row))
        planes.append(b"".join(rows))
    return planes


def _take_off_white(rows: Rows, full: int, white: int) -> None:
    """Recover colour that Photoshop has laid over white where it is transparent, in place.

    Other programs store colour as it is. Then it is farther from white somewhere than its alpha allows.
    """
    import numpy as np

    bands = [rows[top : top + BAND_ROWS] for top in range(0, len(rows), BAND_ROWS)]
    step = 1 / 256 if rows.dtype.kind == "f" else 1.0
    if not all((np.abs(band[..., :-1] - float(white)) <= band[..., -1:] + step).all() for band in bands):
        return
    for band in bands:
        alpha = band[..., -1:].astype(np.float64) / full
        with np.errstate(all="ignore"):
            colour = (band[..., :-1] - white * (1 - alpha)) / alpha
        colour = np.where(alpha > 0, colour, white)
        band[..., :-1] = colour if rows.dtype.kind == "f" else np.floor(colour + 0.5).clip(0, full).astype(rows.dtype)
