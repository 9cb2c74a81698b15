"""How an output states its colour space: by an ICC profile, or in the format's own way. No Pillow, no files."""

from __future__ import annotations

from dataclasses import replace

from upsample_cli.errors import Loss
from upsample_cli.images.format_table import FORMATS, Format
from upsample_cli.images.model import Colour, ColourSpace, Layout, Metadata

PROFILE_SPACES: dict[Colour, bytes] = {
    "rgb": b"RGB ", "grey": b"GRAY", "cmyk": b"CMYK", "cielab": b"Lab ", "icclab": b"Lab ",
}  # fmt: skip
"""The colour space in the header of an ICC profile. Source: ICC.1, bytes 16 to 19."""


def fits(profile: bytes, colour: Colour, *, is_new: bool) -> bool:
    """Whether a profile is valid for pixels of a colour model.

    Args:
        profile: the profile.
        colour: colour model of the pixels as they are written.
        is_new: whether the input had another model. If not, data without the header of a profile are also kept.
    """
    return profile[16:20] == PROFILE_SPACES[colour] or (not is_new and profile[36:40] != b"acsp")


def held_colour(metadata: Metadata, made: Layout, fmt: Format) -> tuple[Metadata, list[Loss]]:
    """The metadata with the colour space as the format can store it, and the losses.

    The format stores it in its own way, as an ICC profile, or not at all.

    >>> p3 = Metadata(colour=ColourSpace(codes=(12, 13)))
    >>> kept, losses = held_colour(p3, Layout("rgb"), FORMATS["jpeg"])
    >>> kept.colour, kept.icc_profile is None, losses
    (None, False, [])
    """
    colour, profile = metadata.colour, metadata.icc_profile
    if colour is None:
        return metadata, []
    from upsample_cli.images.color.coded import is_srgb, name_of, profile_of

    if is_srgb(colour):
        return replace(metadata, colour=_kept(colour, profile, fmt, made)), []
    losses = list[Loss]()
    kept = _kept(colour, profile, fmt, made)
    # Programs that do not know code numbers also need a profile.
    needs = profile is None and fmt.name not in {"avif", "jxl"} if kept else profile is None
    if needs and "icc_profile" in fmt.holds and (kept is None or colour.codes is not None):
        profile = profile_of(colour, made.colour)
    has_own = metadata.icc_profile is not None and colour.codes is None  # it overrides gamma and chromaticities
    if kept is None and not has_own and (profile is None or metadata.icc_profile is not None):
        holds = {"icc_profile", "colour"} if profile_of(colour, made.colour) else {"colour"}
        can = ", ".join(other.title for other in FORMATS.values() if holds & other.holds and other is not fmt)
        text = f"{fmt.title} cannot hold the colour space ({name_of(colour)}); colours may look different ({can} can)"
        losses.append(Loss("profile", text))
    elif kept is not None and colour.mastering and not kept.mastering:
        losses.append(Loss("metadata", f"{fmt.title} cannot hold the brightness of the display that it was made for"))
    return replace(metadata, colour=kept, icc_profile=profile), losses


def _kept(colour: ColourSpace, profile: bytes | None, fmt: Format, made: Layout) -> ColourSpace | None:
    """The part of a colour space that the format can store in its own way; None if it cannot."""
    if "colour" not in fmt.holds:
        return None
    if fmt.name == "png":
        return colour._replace(intent=None) if profile is not None else colour
    if fmt.name == "jxl":
        from upsample_cli.images.codecs.jxl.colour import encoding_of

        is_held = profile is None and encoding_of(colour, made.colour) is not None
        return colour._replace(intent=None, mastering=()) if is_held else None
    is_held = colour.codes is not None and not colour.is_limited and profile is None
    return ColourSpace(codes=colour.codes) if is_held else None
