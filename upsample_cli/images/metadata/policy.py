"""Which metadata an output keeps, if the user does not want all of them. No Pillow, no files."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Literal

from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.exif import orientation
from upsample_cli.images.metadata.set_resolution import with_dpi
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.orientation import ORIENTATION

MetadataPolicy = Literal["keep", "strip", "orientation-only"]
METADATA_POLICIES: tuple[MetadataPolicy, ...] = ("keep", "strip", "orientation-only")

_STRIPPED = {"metadata", "maker-note"}
"""Kinds of losses that are not reported if the policy removes the metadata anyway."""


def under_policy(
    info: ImageInfo, metadata: Metadata, policy: MetadataPolicy, *, dpi: int | None = None, is_one_of_many: bool = False
) -> tuple[ImageInfo, Metadata]:
    """The header and metadata that the policy keeps. "keep" keeps all metadata. `dpi` is set under every policy.

    "strip" keeps only the ICC profile, which defines the colours. "orientation-only" also keeps, if the input's Exif
    block has an orientation, an Exif block that says that the image is upright. Losses of metadata that the policy
    removes anyway are not reported.

    >>> from upsample_cli.images.model import Layout
    >>> info = ImageInfo("jpeg", 3, 5, Layout("rgb"))
    >>> under_policy(info, Metadata(icc_profile=b"sRGB", xmp=b"<x/>", dpi=(300, 300)), "strip")[1] == Metadata(b"sRGB")
    True
    """
    if dpi is not None:
        return with_dpi(*under_policy(info, metadata, policy, is_one_of_many=is_one_of_many), dpi)
    if policy == "keep":
        if is_one_of_many and metadata.tags is not None:
            tags, losses = metadata.tags.of_one_page()
            return info._replace(losses=(*info.losses, *losses)), replace(metadata, tags=tags)
        return info, metadata
    upright = policy == "orientation-only" and metadata.exif is not None and orientation(metadata.exif) is not None
    exif = _UPRIGHT if upright else None
    kept = tuple(loss for loss in info.losses if loss.kind not in _STRIPPED)
    return info._replace(losses=kept), Metadata(icc_profile=metadata.icc_profile, exif=exif, colour=metadata.colour)


_UPRIGHT = (
    b"II*\0"
    + struct.pack("<I", 8)
    + ifd_write.directory_bytes([ifd_write.integers(ORIENTATION, ifd.SHORT, "<", 1)], order="<", at=8)
)
