"""Metadata in the containers of BMP, GIF, WebP and AVIF that Pillow does not read."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.metadata.comments import as_text
from upsample_cli.images.model import ColourSpace


class ContainerMetadata(NamedTuple):
    """Metadata of a container, as in `model.Metadata`, and the losses."""

    icc_profile: bytes | None = None
    colour: ColourSpace | None = None
    aspect: tuple[int, int] | None = None
    text: tuple[tuple[str, str], ...] = ()
    losses: tuple[Loss, ...] = ()


def container_metadata(
    file: BinaryIO, format_name: str, read_by_pillow: Container[Any], icc_profile: bytes | None
) -> ContainerMetadata:
    """Read the metadata of a container.

    Args:
        file: the open file; its position is moved.
        format_name: a key of `FORMATS`.
        read_by_pillow: names of the metadata that Pillow has read.
        icc_profile: the profile that Pillow has read.

    Raises:
        MetadataError: the metadata exceed `limits.MAX_METADATA_BYTES`.
    """
    if format_name == "bmp":
        from upsample_cli.images.codecs.bmp import colour_of

        profile, losses = colour_of(file)
        return ContainerMetadata(profile, losses=tuple(losses))
    if format_name == "avif":
        from upsample_cli.images.codecs.avif_items import avif_parts

        parts = avif_parts(file)
        return ContainerMetadata(icc_profile, None if icc_profile else parts.colour, parts.aspect, losses=parts.losses)
    if format_name == "webp":
        from upsample_cli.images.codecs import webp

        return ContainerMetadata(icc_profile, losses=tuple(webp.left_out(file, read_by_pillow)))
    if format_name == "gif":
        from upsample_cli.images.codecs import gif

        comments, losses = gif.read_extensions(file)
        return ContainerMetadata(icc_profile, None, gif.pixel_aspect(file), as_text(comments), tuple(losses))
    return ContainerMetadata(icc_profile)
