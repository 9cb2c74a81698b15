"""JPEG 2000: JP2 files and bare codestreams. OpenJPEG, in imagecodecs, decodes the codestream only.

What the boxes of a JP2 say about channels, colour and metadata is applied here. Source: ISO/IEC 15444-1, annexes A
and I.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.avif import boxes_in
from upsample_cli.images.codecs.jpeg2000_tiles import CODESTREAM_START, check_tiles, tile_count
from upsample_cli.images.codecs.left_out import channels_left_out
from upsample_cli.images.codecs.readable import CONVERT, REDUCE
from upsample_cli.images.codecs.whole.model import BAND_ROWS, CheckSize, Whole
from upsample_cli.images.limits import check_coded_bytes, check_metadata_bytes
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import Depth, Layout, Rows

_KINDS_AT = 42
_MOST_CHANNELS, _MOST_BITS = 8, 16
_LEAST_TILE_PIXELS, _FREE_TILES = 1024, 64
_DECODER_BYTES = 5
"""Bytes per sample in OpenJPEG: a 32-bit number and its share of the code blocks. Measured."""

_ENUMERATED, _GREY, _SYCC = 1, 17, 18
_SPACES = {12: "CMYK", 13: "Lab", 14: "Lab", 20: "e-sRGB", 21: "ROMM RGB", 24: "e-sYCC"}
_PROFILES, _SPACE_OF_PROFILE = {2, 3}, {b"CMYK": 12, b"Lab ": 14, b"GRAY": _GREY}
_COLOUR, _OPACITY, _PREMULTIPLIED = 0, 1, 2
_UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
}
_KNOWN_BOXES = {b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"uuid", b"free", b"skip"}
_KNOWN_IN_HEADER = {b"ihdr", b"bpcc", b"colr", b"cdef", b"res ", b"pclr", b"cmap"}


@dataclass
class _Boxes:
    """The contents of the boxes: the span of the codestream, the colour space, the channels and the metadata."""

    codestream: tuple[int, int] | None = None
    space: int | None = None
    channels: list[tuple[int, int, int]] = field(default_factory=list)
    has_palette: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    lost: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Size:
    """The sizes in a codestream: of the image, its number of channels and their bits."""

    height: int
    width: int
    channels: int
    bits: int


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The image in `file`.

    Raises:
        ImageError: it is of a kind that is not supported.
        ValueError: the file is damaged or truncated.
    """
    end, is_bare = file.seek(0, 2), _read(file, 0, 4) == CODESTREAM_START
    boxes = _Boxes(codestream=(0, end)) if is_bare else _boxes(file, end)
    if boxes.codestream is None:
        raise ValueError("truncated")
    begin, stop = boxes.codestream
    size = _size(_read(file, begin, 1 << 12), name, check_size)
    check_coded_bytes(name, stop - begin, size.height * size.width)
    if boxes.has_palette:
        raise _unsupported(name, "a palette")
    if boxes.space in _SPACES:
        raise _unsupported(name, f"{_SPACES[boxes.space]} colours")
    order, alpha, is_premultiplied, losses = _channels(boxes, size.channels, name)
    is_sycc = boxes.space == _SYCC
    colours = len(order) - alpha
    if is_sycc and colours != 3:
        raise ValueError("its colours and channels disagree")
    depth: Depth = 8 if size.bits <= 8 else 16
    layout = Layout("grey" if colours == 1 else "rgb", alpha, depth)

    def decode(losses: set[Loss]) -> Rows:
        codestream = _read(file, begin, stop - begin)
        check_tiles(codestream)
        stored = _decoded(codestream, size)
        return _rows(stored[..., order], size.bits, layout, is_sycc, is_premultiplied, losses)

    names = sorted(kind.decode("latin-1").strip() for kind in boxes.lost)
    lost = [Loss("metadata", f"boxes that we do not keep are left out ({', '.join(names)[:200]})")] if names else []
    return Whole(
        size.height,
        size.width,
        layout,
        decode,
        info={key: value for key, value in boxes.metadata.items() if key != "iptc"},
        iptc=boxes.metadata.get("iptc"),
        losses=(*losses, *lost),
        lossless=False,
        decoding_bytes=size.height * size.width * size.channels * _DECODER_BYTES,
    )


def _unsupported(name: str, what: str, next_step: str = REDUCE) -> ImageError:
    return ImageError(name, f"is a JPEG 2000 with {what}, which is not supported", next_step, kind="unsupported")


def _read(file: BinaryIO, at: int, size_bytes: int) -> bytes:
    file.seek(at)
    return file.read(size_bytes)


def _size(head: bytes, name: str, check_size: CheckSize) -> _Size:
    """Read the SIZ segment, which every codestream begins with."""
    if not head.startswith(CODESTREAM_START):
        raise ValueError("its codestream makes no sense")
    right, bottom, left, top, count = struct.unpack_from(">4I16xH", head, 8)
    if not 1 <= count <= _MOST_CHANNELS:
        raise _unsupported(name, f"{count} channels")
    check_size(bottom - top, right - left)
    if tile_count(head) > _FREE_TILES + (bottom - top) * (right - left) // _LEAST_TILE_PIXELS:
        raise ValueError("more tiles than an image has")  # each takes kilobytes in the decoder
    kinds = [tuple(head[at : at + 3]) for at in range(_KINDS_AT, _KINDS_AT + 3 * count, 3)]
    if len(kinds[-1]) < 3:
        raise ValueError("truncated")
    depths = {kind[0] for kind in kinds}
    if any(kind[1:] != (1, 1) for kind in kinds):
        raise _unsupported(name, "subsampled channels", CONVERT)
    if len(depths) > 1 or max(depths) >= _MOST_BITS:
        raise _unsupported(name, "signed numbers, more than 16 bits per channel, or channels of different depths")
    return _Size(bottom - top, right - left, count, depths.pop() + 1)


def _boxes(file: BinaryIO, end: int) -> _Boxes:
    found = _Boxes()
    for kind, at, stop in boxes_in(file, 0, end):
        if kind == b"jp2h":
            for inner, inner_at, inner_stop in boxes_in(file, at, stop):
                _header_box(file, found, inner, inner_at, inner_stop)
        elif kind == b"jp2c" and found.codestream is None:
            found.codestream = at, stop
        elif kind == b"uuid":
            key = _UUIDS.get(_read(file, at, 16))
            if key is None:
                found.lost.add(kind)
            else:
                check_metadata_bytes(stop - at)
                found.metadata.setdefault(key, _read(file, at + 16, stop - at - 16))
        if kind not in _KNOWN_BOXES:
            found.lost.add(kind)
    return found


def _header_box(file: BinaryIO, found: _Boxes, kind: bytes, at: int, stop: int) -> None:
    if kind == b"res ":
        spans = {inner: span for inner, *span in boxes_in(file, at, stop)}
        span = spans.get(b"resd") or spans.get(b"resc")  # for display, or as captured
        if span is not None and (dpi := _dpi(_read(file, span[0], 10))) is not None:
            found.metadata["dpi"] = dpi
        return
    check_metadata_bytes(stop - at)
    data = _read(file, at, stop - at)
    if kind == b"colr" and found.space is None and "icc_profile" not in found.metadata:
        if data[0] == _ENUMERATED:
            found.space = int.from_bytes(data[3:7], "big")
        elif data[0] in _PROFILES:
            found.metadata["icc_profile"], found.space = data[3:], _SPACE_OF_PROFILE.get(data[19:23])
    elif kind == b"cdef":
        numbers = struct.unpack_from(f">{3 * min(data[0] << 8 | data[1], _MOST_CHANNELS)}H", data, 2)
        found.channels = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
    elif kind == b"pclr":
        found.has_palette = True
    elif kind not in _KNOWN_IN_HEADER:
        found.lost.add(kind)


def _dpi(data: bytes) -> tuple[float, float] | None:
    """Dots per inch, (x, y), from dots per metre as fractions with powers of ten, y first."""
    above_y, below_y, above_x, below_x, power_y, power_x = struct.unpack(">4H2b", data)
    if not (below_y and below_x):
        return None
    across, down = above_x / below_x * 10.0**power_x, above_y / below_y * 10.0**power_y
    return across * METRES_PER_INCH, down * METRES_PER_INCH


def _channels(boxes: _Boxes, count: int, name: str) -> tuple[list[int], bool, bool, list[Loss]]:
    """The channels to read in order, whether the last is alpha, whether it is multiplied in, and the losses.

    Without a description of channels, a second or fourth one is alpha, as in other programs.
    """
    colours = 1 if count < 3 or boxes.space == _GREY else 3
    if not boxes.channels:
        has_alpha = count == colours + 1
        used = list(range(colours + has_alpha))
        return used, has_alpha, False, channels_left_out(count - len(used))
    placed = {place: channel for channel, kind, place in boxes.channels if kind == _COLOUR and channel < count}
    opacities = [
        (channel, kind) for channel, kind, place in boxes.channels
        if kind in {_OPACITY, _PREMULTIPLIED} and place == 0 and channel < count
    ]  # fmt: skip
    if sorted(placed) not in ([1], [1, 2, 3]):
        raise _unsupported(name, f"{len(placed)} colours")
    used = [placed[place] for place in sorted(placed)]
    alpha, kind = opacities[0] if opacities else (None, 0)
    order = used if alpha is None else [*used, alpha]
    return order, alpha is not None, kind == _PREMULTIPLIED, channels_left_out(count - len(order))


def _decoded(codestream: bytes, size: _Size) -> Rows:
    from imagecodecs import jpeg2k_decode

    stored: Rows = jpeg2k_decode(codestream, planar=False)
    return stored.reshape(size.height, size.width, size.channels)


def _rows(stored: Rows, bits: int, layout: Layout, is_sycc: bool, is_premultiplied: bool, losses: set[Loss]) -> Rows:
    from upsample_cli.images.codecs.levels import make_straight, scaled

    if is_sycc:
        stored = stored.copy()
        for top in range(0, len(stored), BAND_ROWS):
            stored[top : top + BAND_ROWS, :, :3] = _rgb_of_sycc(stored[top : top + BAND_ROWS, :, :3], bits)
    rows: Rows = scaled(stored, bits).astype(layout.dtype, copy=False)
    if is_premultiplied:
        rows = rows.copy()
        make_straight(rows, losses)
    return rows


def _rgb_of_sycc(stored: Rows, bits: int) -> Rows:
    """Source: IEC 61966-2-1, amendment 1."""
    import numpy as np

    most, middle = 2**bits - 1, 2 ** (bits - 1)
    light, blue, red = (stored[..., channel].astype(np.float32) - middle * (channel > 0) for channel in range(3))
    rgb = np.stack((light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue), axis=2)
    rows: Rows = np.floor(rgb + 0.5).clip(0, most).astype(stored.dtype)
    return rows
