"""What of an image's metadata is to travel on, if the user did not want all of it. No Pillow, no files."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Literal

from upsample_cli.images.metadata import ifd, ifd_write
from upsample_cli.images.metadata.exif import orientation
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.orientation import ORIENTATION

MetadataPolicy = Literal["keep", "strip", "orientation-only"]
METADATA_POLICIES: tuple[MetadataPolicy, ...] = ("keep", "strip", "orientation-only")

EXIF_DAMAGED = "the EXIF block is damaged and is left out"
MAKER_NOTE_MOVES = (
    "the camera maker's note (EXIF) has to move, and its maker's software may not find all of it"  # it holds offsets
)
XMP_EXTENSION = "only the main part of the XMP is kept, not its extension"
_LOSSES = {EXIF_DAMAGED, MAKER_NOTE_MOVES, XMP_EXTENSION}


def under_policy(info: ImageInfo, metadata: Metadata, policy: MetadataPolicy) -> tuple[ImageInfo, Metadata]:
    """An image's header as the policy lets it through; with "keep", all of it.

    "strip" keeps the ICC profile alone, which is no description but the colours' meaning: without it the image would
    look different. "orientation-only" keeps beside it an Exif block that says, if the input's said anything of it, that
    the image is upright, as it then is. Warnings about metadata that were to go anyway go too.

    >>> from upsample_cli.images.model import Layout
    >>> info = ImageInfo("jpeg", 3, 5, Layout("rgb"), warnings=(XMP_EXTENSION,))
    >>> under_policy(info, Metadata(icc_profile=b"sRGB", xmp=b"<x/>", dpi=(300, 300)), "strip")[1]
    Metadata(icc_profile=b'sRGB', exif=None, xmp=None, dpi=None, text=(), iptc=None)
    """
    if policy == "keep":
        return info, metadata
    upright = policy == "orientation-only" and metadata.exif is not None and orientation(metadata.exif) is not None
    exif = _UPRIGHT if upright else None
    kept = tuple(warning for warning in info.warnings if warning not in _LOSSES)
    return replace(info, warnings=kept), Metadata(icc_profile=metadata.icc_profile, exif=exif)


_UPRIGHT = (
    b"II*\0"
    + struct.pack("<I", 8)
    + ifd_write.directory_bytes([ifd_write.integers(ORIENTATION, ifd.SHORT, "<", 1)], order="<", at=8)
)
