"""What the containers of BMP, GIF, WebP and AVIF say besides the pixels and besides what Pillow hands over."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.model import ColourSpace


class Said(NamedTuple):
    """What a container says: see `model.Metadata`; and what of it is left out."""

    icc_profile: bytes | None = None
    colour: ColourSpace | None = None
    aspect: tuple[int, int] | None = None
    losses: tuple[Loss, ...] = ()


def said_in(file: BinaryIO, format_name: str, handed: Container[Any], icc_profile: bytes | None) -> Said:
    """Read it; the file's position is moved.

    Args:
        format_name: a key of `FORMATS`.
        handed: what Pillow has handed over, by its names.
        icc_profile: that Pillow has found.

    Raises:
        MetadataError: there is more than `limits.MAX_METADATA_BYTES`.
    """
    if format_name == "bmp":
        from upsample_cli.images.codecs.bmp import colour_of

        profile, losses = colour_of(file)
        return Said(profile, losses=tuple(losses))
    if format_name == "avif":
        from upsample_cli.images.codecs.avif_items import avif_parts

        parts = avif_parts(file)
        return Said(icc_profile, None if icc_profile else parts.colour, parts.aspect, parts.losses)
    if format_name == "webp":
        from upsample_cli.images.codecs import webp

        return Said(icc_profile, losses=tuple(webp.left_out(file, handed)))
    if format_name == "gif":
        from upsample_cli.images.codecs import gif

        return Said(icc_profile, None, gif.pixel_aspect(file), tuple(gif.left_out(file)))
    return Said(icc_profile)
