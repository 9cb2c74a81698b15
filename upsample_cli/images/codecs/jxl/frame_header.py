"""The header of a frame of a JPEG XL. Source: ISO/IEC 18181-1, annex F."""

from __future__ import annotations

from dataclasses import dataclass

from upsample_cli.images.codecs.jxl.bits import BitReader, Choice
from upsample_cli.images.codecs.jxl.codestream import NAME, Header, skip_extensions
from upsample_cli.images.codecs.jxl.entropy import EntropyReader

REGULAR, _DC, _REFERENCE, SKIP_PROGRESSIVE = range(4)
_USES_DC_FRAME = 32
_REPLACE, _BLEND, _ADD_WEIGHTED, _MULTIPLY = 0, 2, 3, 4
_TIMES: tuple[Choice, ...] = ((1, 0), (2, 0), (4, 0), (8, 0))
_BLENDING: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 0), (3, 2))
_ALPHA: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 0), (3, 3))
_PASSES: tuple[Choice, ...] = ((1, 0), (2, 0), (3, 0), (4, 3))
_DOWNSAMPLED: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 0), (3, 1))
_LAST_PASS: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 0), (0, 3))
_LEVEL: tuple[Choice, ...] = ((1, 0), (2, 0), (3, 0), (4, 0))
_CROP: tuple[Choice, ...] = ((0, 8), (256, 11), (2304, 14), (18688, 30))
DURATION: tuple[Choice, ...] = ((0, 0), (1, 0), (0, 8), (0, 32))
_PART: tuple[Choice, ...] = ((0, 10), (1024, 14), (17408, 22), (4211712, 30))
_PERMUTATION_CONTEXTS, _MOST_PARTS = 8, 65536


@dataclass
class FrameHeader:
    """The header of a frame, as far as it has been read. The defaults are those of a header that is all default.

    Args:
        height, width: size of the frame, in pixels.
        kind: REGULAR, or one of the next three.
        is_modular: pixels are coded by prediction, and not by a transform.
        passes: number of passes, each of which refines the pixels.
        upsampling: how many times smaller the sides of the coded frame are.
        group: side of the groups that pixels are coded in.
        level: for a frame of DC values, by which power of 8 its sides are smaller.
        duration: in ticks of the animation; 0 for a layer that is not shown alone.
        is_last: it is the last frame.
        is_partial: it does not cover the whole image.
        replaces: its colours replace those below it; they are not blended.
        is_default: the header is all default, so only its first bit is stored.
        last_at: the bit that says whether the frame is the last one.
    """

    height: int
    width: int
    kind: int = REGULAR
    is_modular: bool = False
    passes: int = 1
    upsampling: int = 1
    group: int = 256
    level: int = 0
    duration: int = 0
    is_last: bool = True
    is_partial: bool = False
    replaces: bool = True
    is_default: bool = True
    last_at: int = 0

    @property
    def parts(self) -> int:
        """Number of the parts that its pixels are coded in."""
        shrink = self.upsampling << 3 * self.level
        height, width = -(-self.height // shrink), -(-self.width // shrink)
        groups = -(-height // self.group) * -(-width // self.group)
        if groups == 1 and self.passes == 1:
            return 1
        coarse = -(-height // (8 * self.group)) * -(-width // (8 * self.group))
        return 2 + coarse + groups * self.passes


def read_frame(bits: BitReader, header: Header) -> FrameHeader:
    """Read the header of a frame at the position of `bits`, of an image with this header."""
    frame = FrameHeader(header.height, header.width)
    if bits.flag():  # all default
        return frame
    frame.is_default, frame.kind, frame.is_modular = False, bits.take(2), bits.flag()
    flags = bits.long()
    has_ycbcr = not header.is_xyb and bits.flag()
    uses_dc = bool(flags & _USES_DC_FRAME)
    if has_ycbcr and not uses_dc:
        bits.take(3 * 2)
    if not uses_dc:
        frame.upsampling = bits.number(_TIMES)
        for _ in header.extra:
            bits.number(_TIMES)
    if frame.is_modular:
        frame.group = 128 << bits.take(2)
    elif header.is_xyb:
        bits.take(3 + 3)
    if frame.kind != _REFERENCE:
        frame.passes = _passes(bits)
    if frame.kind == _DC:
        frame.level = bits.number(_LEVEL)
    else:
        _crop(bits, frame, header)
    frame.is_last = False
    if frame.kind in {REGULAR, SKIP_PROGRESSIVE}:
        _blending(bits, frame, header)
    _after_blending(bits, frame)
    bits.take(8 * bits.number(NAME))
    _filters(bits, is_modular=frame.is_modular)
    skip_extensions(bits)
    return frame


def _passes(bits: BitReader) -> int:
    passes = bits.number(_PASSES)
    if passes > 1:
        downsampled = bits.number(_DOWNSAMPLED)
        bits.take(2 * (passes - 1))
        for choices in (_TIMES, _LAST_PASS):
            for _ in range(downsampled):
                bits.number(choices)
    return passes


def _crop(bits: BitReader, frame: FrameHeader, header: Header) -> None:
    if not bits.flag():
        return
    left = top = 0
    if frame.kind != _REFERENCE:
        left, top = bits.signed(_CROP), bits.signed(_CROP)
    frame.width, frame.height = bits.number(_CROP), bits.number(_CROP)
    if not frame.width or not frame.height:
        raise ValueError("a frame without pixels")
    ends = left + frame.width < header.width or top + frame.height < header.height
    frame.is_partial = frame.kind != _REFERENCE and (left > 0 or top > 0 or ends)


def _blending(bits: BitReader, frame: FrameHeader, header: Header) -> None:
    has_extra = bool(header.extra)
    for index in range(1 + len(header.extra)):
        mode = bits.number(_BLENDING)
        weighted = has_extra and mode in {_BLEND, _ADD_WEIGHTED}
        if weighted:
            bits.number(_ALPHA)
        if weighted or mode == _MULTIPLY:
            bits.flag()
        if mode != _REPLACE or frame.is_partial:
            bits.take(2)
        frame.replaces = frame.replaces if index else mode == _REPLACE
    if header.animation is not None:
        frame.duration = bits.number(DURATION)
        if header.animation.has_timecodes:
            bits.take(32)
    frame.last_at = bits.at
    frame.is_last = bits.flag()


def _after_blending(bits: BitReader, frame: FrameHeader) -> None:
    """Whether and how the frame is kept for later frames."""
    if frame.kind == _DC:
        return
    kept_as = 0 if frame.is_last else bits.take(2)
    can_be_kept = not frame.is_last and (not frame.duration or kept_as)
    if frame.kind == _REFERENCE or (can_be_kept and frame.replaces and not frame.is_partial):
        bits.flag()


def _filters(bits: BitReader, *, is_modular: bool) -> None:
    if bits.flag():  # all default
        return
    if bits.flag() and bits.flag():
        bits.take(6 * 16)
    if bits.take(2):
        if not is_modular and bits.flag():
            bits.take(8 * 16)
        if bits.flag():
            bits.take(5 * 16)
        if bits.flag():
            bits.take((3 if is_modular else 4) * 16)
        if is_modular:
            bits.take(16)
    skip_extensions(bits)


def skip_pixels(bits: BitReader, parts: int) -> None:
    """Move `bits` behind the coded pixels."""
    skip_order(bits, parts)
    bits.pad()
    size_bytes = sum(bits.number(_PART) for _ in range(parts))
    bits.pad()
    bits.skip(8 * size_bytes)


def skip_order(bits: BitReader, parts: int) -> None:
    """Move `bits` behind the order of the parts."""
    if parts > _MOST_PARTS:
        raise ValueError("a frame of too many parts")
    if bits.flag():
        numbers = EntropyReader(bits, _PERMUTATION_CONTEXTS)
        last = 0
        for _ in range(min(numbers.read(min(parts.bit_length(), 7)), parts)):
            last = numbers.read(min(last.bit_length(), 7))
        numbers.check_end()
