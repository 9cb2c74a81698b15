"""Find the chunks of a PNG, check them, and make a view of the file with only the chunks that pixels need.

A decoder reads only this view. So a damaged chunk of metadata does not make the image unreadable, and libraries do not
print warnings about it.
Source: the PNG specification (W3C, third edition), chapters 5, 11 and 13.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.png.chunks import SIGNATURE, png_chunk, read_chunks, read_data
from upsample_cli.images.codecs.readable import COPY
from upsample_cli.images.codecs.spliced import spliced
from upsample_cli.images.limits import check_metadata_bytes

_CHUNK_COST_BYTES = 256
"""Memory that this module takes for a chunk, without its data."""

_BEFORE_PALETTE = {b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"sBIT"}
_AFTER_PALETTE = {b"tRNS", b"bKGD", b"hIST"}
_BEFORE_PIXELS = {*_BEFORE_PALETTE, *_AFTER_PALETTE, b"pHYs", b"sPLT", b"acTL"}
_TEXT = {b"tEXt", b"zTXt", b"iTXt"}
_OFTEN = {*_TEXT, b"sPLT", b"fcTL", b"fdAT"}
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_SIZES = {
    b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"pHYs": 9, b"tIME": 7, b"acTL": 8,
    b"oFFs": 9, b"sTER": 1,
}  # fmt: skip
_READ = {*_SIZES, *_BEFORE_PIXELS, *_TEXT, b"eXIf"}
_ONE = 100_000
"""The chromaticity 1 in cHRM."""
_LOSS_KINDS = dict.fromkeys(_BEFORE_PALETTE - {b"sBIT"}, "profile") | {b"tRNS": "alpha", b"acTL": "frames"}


class _Found(NamedTuple):
    """A chunk: its kind, the offset and size of its data, and whether PLTE and IDAT come before it."""

    kind: bytes
    at: int
    size: int
    after_palette: bool
    after_pixels: bool


@dataclass
class Structure:
    """The chunks of a PNG.

    Args:
        head: the data of IHDR.
        palette: the data of PLTE; None without one.
        data: the data of intact ancillary chunks, without text, by kind.
        text: kind and data of intact text chunks, in file order.
        others: kinds of chunks that are not read here.
        losses: a loss for each kind of damage.
        controls: number of fcTL chunks (frames).
        has_still: whether the pixels of a still image come before the first fcTL.
        size_bytes: size of the ancillary chunks that are read.
        is_cut: whether the end of the file is missing.
        pieces: the pieces of `plain_png`.
    """

    head: bytes = b""
    palette: bytes | None = None
    data: dict[bytes, bytes] = field(default_factory=dict)
    text: list[tuple[bytes, bytes]] = field(default_factory=list)
    others: set[bytes] = field(default_factory=set)
    losses: list[Loss] = field(default_factory=list)
    controls: int = 0
    has_still: bool = False
    size_bytes: int = 0
    is_cut: bool = False
    pieces: list[bytes | tuple[int, int]] = field(default_factory=list)

    @property
    def colour_type(self) -> int:
        """The number in IHDR for the kind of pixels."""
        return self.head[9] if len(self.head) == 13 else 0

    def shared_chunks(self) -> bytes:
        """PLTE and tRNS as chunks, which all frames of an animation share."""
        transparency = self.data.get(b"tRNS")
        palette = b"" if self.palette is None else png_chunk(b"PLTE", self.palette)
        return palette + (b"" if transparency is None else png_chunk(b"tRNS", transparency))

    def lose(self, kind: bytes, why: str) -> None:
        """Add the loss of a damaged chunk, once."""
        loss = Loss(_LOSS_KINDS.get(kind, "metadata"), f"the {kind.decode('latin-1')} chunk {why} and is left out")
        if loss not in self.losses:
            self.losses.append(loss)


def plain_png(file: BinaryIO, structure: Structure) -> BinaryIO:
    """The still image of a PNG without metadata. It reads `file`, and moves its position."""
    return spliced(file, structure.pieces)


def structure_of(file: BinaryIO, name: str) -> Structure:
    """Read the structure of a PNG from its chunks, without decoding. The file's position is moved.

    Raises:
        ImageError: it is a PNG of Apple's own kind (CgBI), or its palette is missing or incomplete.
        MetadataError: its chunks exceed `limits.MAX_METADATA_BYTES`.
    """
    made = Structure()
    found, spans, is_whole = _chunks(file, made)
    if found and found[0].kind == b"CgBI":
        cause = "is a PNG of Apple's own kind (CgBI, for iPhone apps), which other programs cannot read"
        next_step = "convert it on a Mac with: pngcrush -revert-iphone-optimizations, or sips -s format png"
        raise ImageError(name, cause, next_step, kind="unsupported")
    made.is_cut = not is_whole or not found or found[-1].kind != b"IEND"
    pieces: list[bytes | tuple[int, int]] = [SIGNATURE]
    for chunk in found:
        if chunk.kind in {b"IHDR", b"PLTE"} and not chunk.after_pixels:
            pieces.append((chunk.at - 8, chunk.at + chunk.size + 4))
        if chunk.kind == b"IHDR" and not made.head:
            file.seek(chunk.at)
            made.head = file.read(min(chunk.size, 13))
        elif chunk.kind == b"PLTE" and made.palette is None and chunk.size <= 3 * 256 and not chunk.after_pixels:
            file.seek(chunk.at)
            made.palette = file.read(chunk.size)
        elif chunk.kind[:1].islower() and chunk.kind in _READ:
            made.size_bytes += chunk.size
            check_metadata_bytes(made.size_bytes)
            _take(made, chunk, file)
        elif chunk.kind not in {b"IHDR", b"PLTE", b"IEND"}:
            made.others.add(chunk.kind)
    if made.colour_type == 3 and (not made.palette or len(made.palette) % 3):
        raise ImageError(name, "is damaged: its palette is missing or incomplete", COPY, kind="damaged")
    if (transparency := made.data.get(b"tRNS")) is not None:
        if made.colour_type != 3:  # the highest of its 16 bits have no meaning if the image has fewer
            mask = (1 << made.head[8]) - 1
            levels = struct.unpack(f">{len(transparency) // 2}H", transparency)
            transparency = struct.pack(f">{len(levels)}H", *(level & mask for level in levels))
            made.data[b"tRNS"] = transparency
        pieces.append(png_chunk(b"tRNS", transparency))
    made.pieces = [*pieces, *spans, *([png_chunk(b"IEND", b"")] if is_whole else [])]
    return made


def _chunks(file: BinaryIO, made: Structure) -> tuple[list[_Found], list[tuple[int, int]], bool]:
    """All chunks except those of pixels and frames; the spans of IDAT chunks; whether the last chunk is whole."""
    size_bytes = file.seek(0, os.SEEK_END)
    found, spans, end = list[_Found](), list[tuple[int, int]](), 0
    after_palette = False
    for kind, size in read_chunks(file):
        at = file.tell()
        end = at + size + 4
        if kind == b"IDAT":
            if spans and spans[-1][1] == at - 8:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((at - 8, end))
                check_metadata_bytes(len(spans) * _CHUNK_COST_BYTES)
        elif kind == b"fcTL":
            made.controls += 1
            made.has_still |= bool(spans) and made.controls == 1
        elif kind != b"fdAT":
            found.append(_Found(kind, at, size, after_palette, bool(spans)))
            after_palette |= kind == b"PLTE"
            check_metadata_bytes(len(found) * _CHUNK_COST_BYTES)
    if len(spans) > 1:
        text = "chunks are in the wrong place, between those of the pixels; they are read all the same"
        made.losses.append(Loss("metadata", text))
    return found, spans, end <= size_bytes


def _take(made: Structure, chunk: _Found, file: BinaryIO) -> None:
    kind = chunk.kind
    if kind in made.data and kind not in _OFTEN:
        file.seek(chunk.at)
        if file.read(chunk.size) != made.data[kind]:  # libvips writes the same Exif twice
            made.lose(kind, "comes a second time")
        return
    if why := _misplacement(made, chunk) or _wrong_size(made, chunk):
        made.lose(kind, why)
        return
    file.seek(chunk.at)
    try:
        data = read_data(file, kind, chunk.size)
    except ValueError:
        made.lose(kind, "is damaged (its checksum is wrong)")
        return
    if not _makes_sense(kind, data):
        made.lose(kind, "makes no sense")
    elif kind in _TEXT:
        made.text.append((kind, data))
    else:
        made.data[kind] = data


def _misplacement(made: Structure, chunk: _Found) -> str:
    is_misplaced = (
        (chunk.kind in _BEFORE_PIXELS and chunk.after_pixels)
        or (chunk.kind in _BEFORE_PALETTE and chunk.after_palette)
        or (chunk.kind in _AFTER_PALETTE and made.colour_type == 3 and not chunk.after_palette)
    )
    return "is in the wrong place" if is_misplaced else ""


def _wrong_size(made: Structure, chunk: _Found) -> str:
    kind, size, colour_type = chunk.kind, chunk.size, made.colour_type
    colours = len(made.palette or b"") // 3
    right = {
        b"tRNS": range(1, colours + 1) if colour_type == 3 else {0: (2,), 2: (6,)}.get(colour_type, ()),
        b"sBIT": (_CHANNELS.get(colour_type, 0),),
        b"bKGD": (1 if colour_type == 3 else 2 if colour_type in {0, 4} else 6,),
        b"hIST": (2 * colours,),
        b"iCCP": range(3, 2**31), b"eXIf": range(1, 2**31), b"sPLT": range(4, 2**31),
    }.get(kind) or ((_SIZES[kind],) if kind in _SIZES else None)  # fmt: skip
    if kind == b"tRNS" and not right:
        return "is one for images without an alpha channel"
    if right is None or size in right:
        return ""
    return "is too short" if size < right[0] else "is too long"


def _makes_sense(kind: bytes, data: bytes) -> bool:
    numbers = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data) - 3, 4)]
    fit = all(number < 2**31 for number in numbers)
    keyword, separator, _ = data.partition(b"\0")
    return {
        b"pHYs": lambda: data[8] < 2 and fit and all(numbers),
        b"gAMA": lambda: fit and numbers[0] > 0,
        b"cHRM": lambda: all(numbers[1::2]) and max(numbers) <= _ONE,
        b"sRGB": lambda: data[0] < 4,
        b"cICP": lambda: data[2] == 0 and data[3] < 2,
        b"acTL": lambda: fit and numbers[0] > 0,
        **dict.fromkeys(_TEXT, lambda: bool(keyword and separator)),
    }.get(kind, lambda: True)()


def unused_kinds(structure: Structure, used: set[bytes]) -> list[str]:
    """Names of the kinds of chunks in a PNG that are not in `used`, sorted."""
    kinds = sorted({*structure.data, *structure.others} - used)
    return [kind.decode("latin-1") if kind.isalpha() else repr(kind)[2:-1] for kind in kinds]
