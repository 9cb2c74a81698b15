"""Give a JPEG XL codestream another header: another depth, colour encoding or profile, or the clock of an animation."""

from __future__ import annotations

from dataclasses import dataclass

from upsample_cli.images.codecs.jxl.bits import BitWriter
from upsample_cli.images.codecs.jxl.codestream import (
    CHROMATICITY,
    FLOAT_BITS,
    GREY,
    PER,
    PLAYS,
    TICKS,
    WHOLE_BITS,
    Encoding,
    Header,
)
from upsample_cli.images.codecs.jxl.put_profile import put_profile


@dataclass(frozen=True, slots=True)
class Stated:
    """What a header shall state in place of what it does: see `Header`.

    Args:
        encoding, bits, exponent_bits: these replace what the header states.
        intensity: given only if the header has none.
        profile: the ICC profile after the header.
        plays: number of plays (0 for ever) of an animation with a clock of milliseconds, which the header is not yet.
    """

    encoding: Encoding
    bits: int
    exponent_bits: int = 0
    intensity: float | None = None
    profile: bytes | None = None
    plays: int | None = None


def with_header(codestream: bytes, header: Header, frames_at: int, stated: Stated) -> bytes:
    """A codestream with another header. Coded pixels do not change.

    Args:
        codestream: the codestream.
        header: its header.
        frames_at: where its frames start.
        stated: what the header shall state.
    """
    out = BitWriter()
    out.copy(codestream, 0, header.metadata_at)
    has_more = stated.intensity is not None or stated.plays is not None
    if has_more or not header.has_fields:
        out.put(has_more << 1, 2)  # not all default
    else:
        out.copy(codestream, header.metadata_at, header.depth_span[0])
    if has_more:
        out.put(0, 3 + 1 + 1)  # upright, no size to show, no preview
        out.put(stated.plays is not None, 1)
        if stated.plays is not None:
            _put_clock(out, stated.plays)
    _put_depth(out, stated.bits, stated.exponent_bits)
    if header.has_fields:
        out.copy(codestream, header.depth_span[1], header.encoding_span[0])
    else:
        out.put(0b1_00_1, 4)  # 16-bit buffers suffice; no extra channels; XYB
    _put_encoding(out, stated.encoding)
    if has_more:
        _put_intensity(out, stated.intensity)
    if not header.has_fields:
        out.put(0, 2)  # no extensions
    out.copy(codestream, header.encoding_span[1] if header.has_fields else header.metadata_at + 1, header.end)
    if stated.profile is not None:
        put_profile(out, stated.profile)
    return out.bytes() + codestream[frames_at:]


def _put_clock(out: BitWriter, plays: int) -> None:
    out.number(1000, TICKS)
    out.number(1, PER)
    out.number(plays, PLAYS)
    out.put(0, 1)  # no time codes


def _put_intensity(out: BitWriter, intensity: float | None) -> None:
    out.put(intensity is None, 1)
    if intensity is not None:
        out.half(intensity)
        out.put(0, 16 + 1 + 16)


def _put_depth(out: BitWriter, bits: int, exponent_bits: int) -> None:
    out.put(bool(exponent_bits), 1)
    out.number(bits, FLOAT_BITS if exponent_bits else WHOLE_BITS)
    if exponent_bits:
        out.put(exponent_bits - 1, 4)


def _put_encoding(out: BitWriter, encoding: Encoding) -> None:
    out.put(0, 1)
    out.put(encoding.has_profile, 1)
    out.number(encoding.space)
    if encoding.has_profile:
        return
    out.number(encoding.white)
    _put_chromaticities(out, encoding.chromaticities[:1])
    if encoding.space != GREY:
        out.number(encoding.primaries)
        _put_chromaticities(out, encoding.chromaticities[1:])
    out.put(encoding.gamma is not None, 1)
    if encoding.gamma is not None:
        out.put(encoding.gamma, 24)
    else:
        out.number(encoding.transfer)
    out.number(1)  # relative colorimetric


def _put_chromaticities(out: BitWriter, points: tuple[tuple[int, int] | None, ...]) -> None:
    for point in points:
        for part in point or ():
            out.number(2 * part if part >= 0 else -2 * part - 1, CHROMATICITY)
