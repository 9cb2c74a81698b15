"""The header of a JPEG XL codestream: size, kind of pixels and colour encoding, read without decoding pixels.

Source: ISO/IEC 18181-1, annexes D and E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from upsample_cli.images.codecs.jxl.bits import BitReader, Choice

MAGIC = b"\xff\x0a"

RGB, GREY, XYB, UNKNOWN = range(4)
"""Colour spaces."""

D65, CUSTOM, E, DCI = 1, 2, 10, 11
"""White points. CUSTOM also means custom primaries."""

ALPHA, SPOT, BLACK = 0, 2, 4
"""Kinds of extra channels."""

_SIDE: tuple[Choice, ...] = ((1, 9), (1, 13), (1, 18), (1, 30))
_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_PREVIEW_SMALL: tuple[Choice, ...] = ((16, 0), (32, 0), (1, 5), (33, 9))
_PREVIEW: tuple[Choice, ...] = ((1, 6), (65, 8), (321, 10), (1345, 12))
TICKS: tuple[Choice, ...] = ((100, 0), (1000, 0), (1, 10), (1, 30))
PER: tuple[Choice, ...] = ((1, 0), (1001, 0), (1, 8), (1, 10))
PLAYS: tuple[Choice, ...] = ((0, 0), (0, 3), (0, 16), (0, 32))
WHOLE_BITS: tuple[Choice, ...] = ((8, 0), (10, 0), (12, 0), (1, 6))
FLOAT_BITS: tuple[Choice, ...] = ((32, 0), (16, 0), (24, 0), (1, 6))
_EXTRA_COUNT: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 4), (1, 12))
_SHIFTS: tuple[Choice, ...] = ((0, 0), (3, 0), (4, 0), (1, 3))
NAME: tuple[Choice, ...] = ((0, 0), (0, 4), (16, 5), (48, 10))
_FILTER: tuple[Choice, ...] = ((1, 0), (0, 2), (3, 4), (19, 8))
CHROMATICITY: tuple[Choice, ...] = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
_COLOUR_FILTER = 5
_WEIGHTS = (15, 55, 210)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The colour encoding of a codestream.

    Args:
        space: RGB, GREY, XYB or UNKNOWN.
        white: the white point.
        primaries: 1 (sRGB), CUSTOM, 9 (BT.2020) or 11 (P3).
        chromaticities: x and y of a custom white point, then of custom red, green and blue, times 1,000,000.
        transfer: the number of the transfer function in ITU-T H.273.
        gamma: exponent from light to level, times 10,000,000; None if `transfer` applies.
        has_profile: an ICC profile follows the header; only `space` has a meaning.
    """

    space: int = RGB
    white: int = D65
    primaries: int = 1
    chromaticities: tuple[tuple[int, int] | None, ...] = (None,) * 4
    transfer: int = 13
    gamma: int | None = None
    has_profile: bool = False


@dataclass(frozen=True, slots=True)
class Animation:
    """Ticks per second as a fraction, number of plays (0 for ever), and whether frames have time codes."""

    ticks: int
    per_seconds: int
    plays: int
    has_timecodes: bool


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra channel: its kind, the power of two that it is reduced by, and whether colour is multiplied by it."""

    kind: int = ALPHA
    shift: int = 0
    is_associated: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a codestream.

    Args:
        height, width: size as stored.
        orientation: 1 to 8, as in Exif.
        preview: (height, width) of a preview, which comes before the image; or None.
        animation: the clock of an animation; None for a still image.
        bits: bits of a sample.
        exponent_bits: bits of the exponent of a floating-point sample; 0 for whole numbers.
        extra: the channels after colour.
        is_xyb: colours are coded in XYB, which is lossy, and the decoder converts them to `encoding`.
        encoding: the colour encoding of the decoded image.
        intensity: brightness of the brightest level in cd/m², if it is stated.
        metadata_at, has_fields: bit where the description of the image starts, and whether it is not all default.
        depth_span, encoding_span: the bits of `bits` and `exponent_bits`, and of `encoding`.
        end: the bit after the header. The ICC profile follows, then the frames at the next whole byte.
    """

    height: int
    width: int
    orientation: int = 1
    preview: tuple[int, int] | None = None
    animation: Animation | None = None
    bits: int = 8
    exponent_bits: int = 0
    extra: tuple[Extra, ...] = ()
    is_xyb: bool = True
    encoding: Encoding = Encoding()
    intensity: float | None = None
    metadata_at: int = 0
    has_fields: bool = False
    depth_span: tuple[int, int] = (0, 0)
    encoding_span: tuple[int, int] = (0, 0)
    end: int = 0


def read_header(data: bytes) -> Header:
    """Read the header at the start of a codestream.

    Raises:
        ValueError: it is not a JPEG XL codestream, or it ends within the header.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("no codestream")
    bits = BitReader(data, 8 * len(MAGIC))
    height, width = coded_size(bits)
    found: dict[str, Any] = {"height": height, "width": width, "metadata_at": bits.at}
    found |= _metadata(bits)
    _transform(bits, is_xyb=found.get("is_xyb", True))
    return Header(**found, end=bits.at)


def coded_size(bits: BitReader, *, is_preview: bool = False) -> tuple[int, int]:
    """Height and width, at the position of `bits`."""
    is_small = bits.flag()

    def side() -> int:
        if not is_small:
            return bits.number(_PREVIEW if is_preview else _SIDE)
        return 8 * (bits.number(_PREVIEW_SMALL) if is_preview else bits.take(5) + 1)

    height, ratio = side(), _RATIOS[bits.take(3)]
    return height, height * ratio[0] // ratio[1] if ratio else side()


def _metadata(bits: BitReader) -> dict[str, Any]:
    if bits.flag():  # all default
        return {}
    found: dict[str, Any] = {"has_fields": True}
    has_more = bits.flag()
    if has_more:
        found["orientation"] = bits.take(3) + 1
        if bits.flag():
            coded_size(bits)  # the size at which it should be shown
        found["preview"] = coded_size(bits, is_preview=True) if bits.flag() else None
        found["animation"] = _animation(bits) if bits.flag() else None
    start = bits.at
    found["bits"], found["exponent_bits"] = _depth(bits)
    found["depth_span"] = (start, bits.at)
    bits.flag()  # whether 16-bit buffers suffice
    found["extra"] = tuple(_extra(bits) for _ in range(bits.number(_EXTRA_COUNT)))
    found["is_xyb"] = bits.flag()
    start = bits.at
    found["encoding"] = _encoding(bits)
    found["encoding_span"] = (start, bits.at)
    if has_more and not bits.flag():
        found["intensity"] = bits.half()
        bits.take(16 + 1 + 16)
    skip_extensions(bits)
    return found


def _animation(bits: BitReader) -> Animation:
    return Animation(bits.number(TICKS), bits.number(PER), bits.number(PLAYS), bits.flag())


def _depth(bits: BitReader) -> tuple[int, int]:
    if not bits.flag():
        return bits.number(WHOLE_BITS), 0
    return bits.number(FLOAT_BITS), bits.take(4) + 1


def _extra(bits: BitReader) -> Extra:
    if bits.flag():  # all default
        return Extra()
    kind = bits.number()
    _depth(bits)
    shift = bits.number(_SHIFTS)
    bits.take(8 * bits.number(NAME))
    if kind == ALPHA:
        return Extra(kind, shift, bits.flag())
    if kind == SPOT:
        bits.take(4 * 16)
    elif kind == _COLOUR_FILTER:
        bits.number(_FILTER)
    return Extra(kind, shift)


def _encoding(bits: BitReader) -> Encoding:
    if bits.flag():  # all default
        return Encoding()
    has_profile, space = bits.flag(), bits.number()
    if has_profile:
        return Encoding(space, has_profile=True)
    white, primaries, chromaticities = D65, 1, list[tuple[int, int] | None]((None,) * 4)
    if space != XYB:
        white = bits.number()
        chromaticities[0] = _chromaticity(bits) if white == CUSTOM else None
        if space != GREY:
            primaries = bits.number()
            chromaticities[1:] = [_chromaticity(bits) if primaries == CUSTOM else None for _ in range(3)]
    transfer, gamma = 13, None
    if space != XYB:
        if bits.flag():
            gamma = bits.take(24)
        else:
            transfer = bits.number()
    bits.number()  # the rendering intent
    return Encoding(space, white, primaries, tuple(chromaticities), transfer, gamma)


def _chromaticity(bits: BitReader) -> tuple[int, int]:
    return bits.signed(CHROMATICITY), bits.signed(CHROMATICITY)


def skip_extensions(bits: BitReader) -> None:
    """Move `bits` behind fields of later versions of the format."""
    kinds = bits.long()
    bits.skip(sum([bits.long() for _ in range(kinds.bit_count())]))


def _transform(bits: BitReader, *, is_xyb: bool) -> None:
    if bits.flag():  # all default
        return
    if is_xyb and not bits.flag():
        bits.take(16 * (9 + 3 + 4))
    custom = bits.take(3)
    bits.take(16 * sum(count for index, count in enumerate(_WEIGHTS) if custom >> index & 1))
