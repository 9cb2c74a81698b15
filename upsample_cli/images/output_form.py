"""The form of an image that an output format can hold and that loses least, and the losses.

It follows from the header, before the image is decoded. No Pillow, no files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.format_table import COMMENT, FORMATS, Format
from upsample_cli.images.metadata.exif import with_resolution
from upsample_cli.images.metadata.exif_density import aspect, resolution
from upsample_cli.images.model import LAB_COLOURS, Colour, Depth, Frames, FramesKind, ImageInfo, Layout, Metadata
from upsample_cli.images.output_colour import PROFILE_SPACES, fits, held_colour

_NAMES: dict[FramesKind, str] = {"animation": "frames", "pages": "pages", "views": "views"}
_PARTS = {
    "icc_profile": "the colour profile (ICC)",
    "exif": "EXIF",
    "xmp": "XMP",
    "dpi": "the resolution in dpi",
    "aspect": "the proportion of its pixels",
    "background": "the colour of its background",
    "iptc": "the IPTC captions",
}

_COLOUR_NAMES: dict[str, str] = {"rgb": "RGB", "grey": "GREY", "cmyk": "CMYK"}
_LONGER_BYTES = 1024

_DEPTH_LOSSES = {
    16: "16 bits per channel; they become {}",
    32: "floating point; 0 to 1 becomes black to white in {} bits per channel, values outside are cut off",
}


class OutputForm(NamedTuple):
    """The form of an image in an output format.

    Args:
        layout: layout of the rows to write; `convert.convert_rows` makes it.
        metadata: the metadata that the format holds.
        losses: the losses.
        frames: the frames to write; None if only the first image is written.
        possible: losses that depend on the pixels. The sink's `losses` report the ones that occurred.
    """

    layout: Layout
    metadata: Metadata
    losses: tuple[Loss, ...]
    frames: Frames | None = None
    possible: tuple[Loss, ...] = ()


def nearest_form(info: ImageInfo, metadata: Metadata, fmt: Format, *, depth: Depth | None = None) -> OutputForm:
    """The layout and metadata that a format can hold and that lose least, and the losses.

    Args:
        info: header of the input.
        metadata: metadata of the input.
        fmt: format of the output.
        depth: requested depth, in bits per channel. A smaller depth is then not a loss. None keeps that of the input.

    >>> info = ImageInfo("png", 3, 5, Layout("grey", alpha=True))
    >>> form = nearest_form(info, Metadata(dpi=(300, 300)), FORMATS["jpeg"])
    >>> form.layout, str(form.losses[0])
    (Layout(colour='grey', alpha=False, depth=8), 'JPEG cannot hold transparency; it is laid over white')
    """
    frames, lost_frames = _held_frames(info.frames, fmt)
    if frames is not None and frames.layout is not None:
        info = info._replace(layout=frames.layout)
    wanted = info.layout if depth is None else info.layout._replace(depth=depth)
    layout = _nearest_layout(wanted, fmt)
    kept, lost = _held_metadata(info, metadata, layout, fmt)
    by_profile = _is_by_profile(info, metadata, layout)
    losses = (*lost_frames, *_layout_losses(wanted, layout, fmt, by_profile), *lost)
    return OutputForm(layout, kept, losses, frames, tuple(_possible_losses(layout, fmt)))


def kept_metadata(info: ImageInfo, metadata: Metadata, layout: Layout, fmt: Format) -> Metadata:
    """The metadata that a format holds, after `nearest_form` has chosen the layout."""
    return _held_metadata(info, metadata, layout, fmt)[0]


def _held_frames(frames: Frames | None, fmt: Format) -> tuple[Frames | None, tuple[Loss, ...]]:
    if frames is None or frames.kind in fmt.frames:
        return frames, () if frames is None else (*frames.losses, *_lost_plays(frames, fmt))
    others = _listed([other.title for other in FORMATS.values() if frames.kind in other.frames])
    can = f"{others} can" if others else "no output can"
    line = f"{fmt.title} is not written with several {_NAMES[frames.kind]}; of {frames.count} the first is kept ({can})"
    return None, (Loss("frames", line),)


def _lost_plays(frames: Frames, fmt: Format) -> tuple[Loss, ...]:
    if frames.kind != "animation" or frames.plays <= fmt.max_plays:
        return ()
    return (Loss("timing", f"{fmt.title} plays an animation at most {fmt.max_plays} times, not {frames.plays}"),)


def lost_duration(duration_ms: Fraction, fmt: Format) -> tuple[Loss, ...]:
    """The loss of the duration of an animation's frame, if the format cannot hold it.

    >>> lost_duration(Fraction(40), FORMATS["gif"])
    ()
    """
    shortest, longest = fmt.frame_ms
    if not duration_ms or shortest <= duration_ms <= longest:
        return ()
    return (Loss("timing", f"{fmt.title} shows a frame for {shortest} to {longest} ms; other durations are changed"),)


def _is_by_profile(info: ImageInfo, metadata: Metadata, made: Layout) -> bool:
    """Whether CMYK is converted to RGB with the image's own profile."""
    profile, layout = metadata.icc_profile or b"", info.layout
    is_ink = layout.colour == "cmyk" and layout.depth < 32 and profile[16:20] == PROFILE_SPACES["cmyk"]
    return is_ink and made.colour != "cmyk"


def _nearest_layout(layout: Layout, fmt: Format) -> Layout:
    colours = {layout.colour, "rgb"}  # any colour can become RGB, and RGB stays RGB
    reachable = (
        made
        for made in fmt.layouts
        if made.colour in colours and made.alpha <= layout.alpha and made.depth <= layout.depth
    )
    # Transparency is most important to keep, then colour, then depth. Of equal losses, take the fewest channels.
    return min(
        reachable,
        key=lambda made: (
            layout.alpha - made.alpha,
            layout.colour not in {"grey", made.colour},
            layout.depth - made.depth,
            made.channels,
        ),
    )


def _titles(layout: Layout) -> str:
    return _listed([fmt.title for fmt in FORMATS.values() if layout in fmt.layouts and "icc_profile" in fmt.holds])


def _listed(titles: list[str]) -> str:
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)


def _layout_losses(layout: Layout, made: Layout, fmt: Format, by_profile: bool) -> Iterator[Loss]:
    if layout.alpha and not made.alpha:
        yield Loss("alpha", f"{fmt.title} cannot hold transparency; it is laid over white")
    if layout.colour == "cmyk" != made.colour:
        how = "through its colour profile (ICC)" if by_profile else "by rule of thumb, without a profile"
        can = _titles(layout._replace(depth=8))
        yield Loss("colour", f"{fmt.title} cannot hold CMYK; it becomes RGB {how} ({can} can)")
    if layout.colour in LAB_COLOURS and layout.colour != made.colour:
        can = _titles(layout._replace(depth=8))
        become = "they become sRGB, and those beyond it its nearest"
        yield Loss("colour", f"{fmt.title} cannot hold Lab colours; {become} ({can} can)")
    if layout.depth > made.depth:
        lost = _DEPTH_LOSSES[layout.depth].format(made.depth)
        yield Loss("depth", f"{fmt.title} cannot hold {lost} ({_titles(layout)} can)")


def _possible_losses(made: Layout, fmt: Format) -> Iterator[Loss]:
    if fmt.max_colours is not None and made.colour != "grey":
        text = f"{fmt.title} holds at most {fmt.max_colours} colours; an image that has more is reduced"
        yield Loss("palette", text)
        if made.alpha:
            yield Loss("alpha", f"{fmt.title} cannot hold half-transparent pixels; they become opaque or vanish")


def _held_metadata(info: ImageInfo, metadata: Metadata, made: Layout, fmt: Format) -> tuple[Metadata, list[Loss]]:
    if _is_by_profile(info, metadata, made) or (info.layout.colour in LAB_COLOURS and made.colour == "rgb"):
        # The conversion uses it, and its result is sRGB, which does not need a profile.
        metadata = replace(metadata, icc_profile=None)
    is_unfit = bool(metadata.icc_profile) and not fits(metadata.icc_profile or b"", info.layout.colour, is_new=False)
    metadata, losses = held_colour(replace(metadata, icc_profile=None) if is_unfit else metadata, made, fmt)
    if is_unfit:
        losses.append(Loss("profile", f"{_not_for(info.layout.colour)}; it is left out"))
    if fmt.holds & {"dpi", "exif"} == {"exif"}:
        metadata = _with_density_in_exif(metadata)
    if metadata.tags is not None:
        tags, lost_tags = metadata.tags.held(info.layout, made, fmt.title if "tags" not in fmt.holds else None)
        metadata = replace(metadata, tags=tags)
        losses += lost_tags
    causes = {part: _cause_of_loss(part, metadata, fmt, info.layout, made) for part in _PARTS}
    gone: dict[str, Any] = {part: None for part, cause in causes.items() if cause}
    losses += [
        Loss("profile" if part == "icc_profile" else "metadata", f"{cause}; it is left out")
        for part, cause in causes.items()
        if cause
    ]
    if "text" not in fmt.holds:
        remarks = _held_comments(metadata, fmt)
        lost = sorted({pair[0] for pair in {*metadata.text} - {*remarks}})
        gone["text"] = tuple(remarks)
        if lost:
            losses.append(Loss("metadata", f"{fmt.title} cannot hold the text {', '.join(lost)}; it is left out"))
    return replace(metadata, **gone), losses


def _with_density_in_exif(metadata: Metadata) -> Metadata:
    exif = metadata.exif
    if metadata.dpi and not (exif and resolution(exif)):
        exif = with_resolution(exif, metadata.dpi)
    return replace(metadata, dpi=None, exif=exif, aspect=None if exif and aspect(exif) else metadata.aspect)


def _divides(xmp: bytes, limit_bytes: int) -> bool:
    """Whether an XMP packet can be divided into a packet and an extension, even if its numbers become longer."""
    from upsample_cli.images.metadata.xmp_extension import divided

    try:
        return bool(divided(xmp, limit_bytes - _LONGER_BYTES))
    except ValueError:
        return False


def _held_comments(metadata: Metadata, fmt: Format) -> list[tuple[str, str]]:
    comments = [
        pair
        for pair in metadata.text
        if pair[0] == COMMENT and (fmt.max_comment_bytes is None or len(pair[1].encode()) <= fmt.max_comment_bytes)
    ]
    if "comments" in fmt.holds:
        return comments
    return comments[-1:] if "comment" in fmt.holds else []


def _not_for(colour: Colour) -> str:
    return f"{_PARTS['icc_profile']} is not one for {_COLOUR_NAMES.get(colour, 'Lab')}"


def _cause_of_loss(part: str, metadata: Metadata, fmt: Format, layout: Layout, made: Layout) -> str | None:
    value, name = getattr(metadata, part), _PARTS[part]
    if value is None:
        return None
    if part not in fmt.holds:
        return f"{fmt.title} cannot hold {name}"
    if part == "dpi" and fmt.dpi_range and not all(fmt.dpi_range[0] < side < fmt.dpi_range[1] for side in value):
        return f"{fmt.title} cannot hold a resolution of {value[0]:.6g}x{value[1]:.6g} dpi"
    limit_bytes = {"exif": fmt.max_exif_bytes, "xmp": fmt.max_xmp_bytes}.get(part)
    if limit_bytes is not None and len(value) > limit_bytes and not (part == "xmp" and _divides(value, limit_bytes)):
        return f"{fmt.title} holds at most {limit_bytes} bytes of {name}, not {len(value)}"
    if part == "icc_profile" and not fits(value, made.colour, is_new=made.colour != layout.colour):
        return _not_for(made.colour)
    return None
