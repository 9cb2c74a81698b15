"""What is known about a JPEG XL before it is decoded: layout, profile, colour space, frames and losses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.jxl.bits import BitReader
from upsample_cli.images.codecs.jxl.codestream import ALPHA, BLACK, GREY, SPOT, XYB, Header
from upsample_cli.images.codecs.jxl.colour import colour_of
from upsample_cli.images.codecs.jxl.frames import shown_durations
from upsample_cli.images.codecs.jxl.light import can_convert
from upsample_cli.images.codecs.jxl.profile import MAX_BYTES, ProfileSizeError, read_profile
from upsample_cli.images.codecs.left_out import channels_left_out
from upsample_cli.images.codecs.readable import CONVERT
from upsample_cli.images.limits import check_metadata_bytes
from upsample_cli.images.model import ColourSpace, Depth, Frames, Layout

HEAD_BYTES = 2 * MAX_BYTES
"""Bytes from the start of a codestream: enough for its header and profile."""

_LINEAR = 8
_FLOAT_BITS = {(16, 5), (32, 8)}
_MOST_FRAMES_BYTES = 1 << 29
MOST_PIXELS = 1 << 23
"""Pixels of an animation whose frames are not counted, for the limit of its coded bytes: half a gibibyte."""


def check_supported(header: Header, name: str) -> None:
    """Refuse an image whose kind of pixels is not supported.

    Raises:
        ImageError: it is not.
    """
    kinds = (
        (any(extra.kind == BLACK for extra in header.extra), "CMYK colours"),
        (header.encoding.space == XYB, "colours in XYB"),
        (
            header.exponent_bits and (header.bits, header.exponent_bits) not in _FLOAT_BITS,
            f"floating point of {header.bits} bits",
        ),
    )
    for refused, what in kinds:
        if refused:
            raise ImageError(name, f"holds {what}, which is not supported in JPEG XL", CONVERT, kind="unsupported")


@dataclass(frozen=True, slots=True)
class Look:
    """What is known about an image before it is decoded.

    Args:
        header: header of the codestream.
        layout: layout of the rows.
        profile: the ICC profile.
        colour: the colour space, if it is not sRGB and there is no profile.
        is_converted: the decoder gets another encoding, and colours are converted to the profile.
        frames_at: where the frames start in the codestream; None if that is not known.
        is_lossless: pixels are stored without loss.
        losses: the losses of reading it.
        frames: the frames of an animation.
        durations: how long each frame is shown, in ticks of `header.animation`.
    """

    header: Header
    layout: Layout
    profile: bytes | None
    colour: ColourSpace | None
    is_converted: bool
    frames_at: int | None
    is_lossless: bool
    losses: tuple[Loss, ...]
    frames: Frames | None = None
    durations: tuple[int, ...] = ()

    @property
    def row(self) -> tuple[int, int]:
        """The shape of a row."""
        return self.header.width, self.layout.channels


def look_at(data: bytes, header: Header) -> Look:
    """What is known about an image from the first `HEAD_BYTES` of its codestream, without its frames.

    Raises:
        ValueError: the profile is damaged.
        MetadataError: it is too large.
    """
    layout = _layout(header)
    profile, colour, losses = None, None, list[Loss]()
    bits, frames_at = BitReader(data, header.end), None
    if header.encoding.has_profile:
        try:
            profile = read_profile(bits)
            frames_at = bits.at + 7 >> 3
            check_metadata_bytes(len(profile))
        except ProfileSizeError:
            losses.append(Loss("profile", f"the colour profile (ICC) of more than {MAX_BYTES >> 20} MiB is left out"))
    else:
        frames_at = bits.at + 7 >> 3
        try:
            colour = colour_of(header.encoding)
        except ValueError:
            text = "its colour space is one that outputs cannot state, and is left out; colours may look different"
            losses.append(Loss("profile", text))
    is_converted = header.is_xyb and profile is not None and can_convert(profile, layout)
    if header.is_xyb and header.encoding.has_profile and not is_converted:
        if profile is not None:
            losses.append(Loss("profile", "the colour profile (ICC) cannot be used; colours become linear sRGB"))
        profile, colour = None, ColourSpace(codes=(1, _LINEAR))
    is_lossless = not header.is_xyb and frames_at is not None and _is_modular(data, frames_at)
    losses += [*_losses(header)]
    return Look(header, layout, profile, colour, is_converted, frames_at, is_lossless, tuple(losses))


def _layout(header: Header) -> Layout:
    depth: Depth = 32 if header.exponent_bits or header.bits > 16 else 16 if header.bits > 8 else 8
    alpha = any(extra.kind == ALPHA for extra in header.extra)
    return Layout("grey" if header.encoding.space == GREY else "rgb", alpha, depth)


def _is_modular(data: bytes, frames_at: int) -> bool:
    """Whether the first frame is coded by prediction, which is usually lossless, and not by a transform."""
    bits = BitReader(data, 8 * frames_at)
    return not bits.flag() and bits.take(2) == 0 and bits.flag()


def _losses(header: Header) -> list[Loss]:
    losses = []
    if header.bits > 16 and not header.exponent_bits:
        losses.append(Loss("depth", f"{header.bits} bits per channel are read as floating point"))
    spots = sum(extra.kind == SPOT for extra in header.extra)
    unread = len(header.extra) - spots - any(extra.kind == ALPHA for extra in header.extra)
    losses += channels_left_out(unread)
    if spots:
        losses.append(Loss("channels", f"spot colours become part of the other colours ({spots})"))
    return losses


def with_frames(look: Look, data: bytes) -> Look:
    """What is known about an animation after its frames in the whole codestream are counted."""
    header, clock = look.header, look.header.animation
    if clock is None or look.frames_at is None or header.preview is not None:
        return _with_first_frame(look, "they cannot be counted")
    try:
        durations = shown_durations(data, header, look.frames_at)
    except ValueError:
        return _with_first_frame(look, "its end is damaged")
    frame_bytes = header.height * header.width * look.layout.channels * (look.layout.depth // 8)
    if durations is None or len(durations) * frame_bytes > _MOST_FRAMES_BYTES:
        return _with_first_frame(look, f"all of them take more than {_MOST_FRAMES_BYTES >> 20} MiB")
    frames = Frames(len(durations), "animation", look.layout, clock.plays) if len(durations) > 1 else None
    return replace(look, frames=frames, durations=tuple(durations))


def _with_first_frame(look: Look, why: str) -> Look:
    text = f"only the first frame of the animation is read, because {why}"
    return replace(look, losses=(*look.losses, Loss("frames", text)))
