"""Correct the metadata of an image for its enlargement."""

from __future__ import annotations

from dataclasses import replace

from upsample_cli.images.metadata import exif as exif_blocks
from upsample_cli.images.metadata.change import Change
from upsample_cli.images.model import ImageInfo, Metadata


def metadata_for_output(metadata: Metadata, height: int, width: int, info: ImageInfo | None = None) -> Metadata:
    """Correct metadata for the enlarged, upright image.

    Sizes, orientation and positions in Exif and XMP are corrected, and Exif's thumbnail is removed. The resolution does
    not change, so a print grows with the image.

    Args:
        metadata: metadata of the input.
        height, width: size of the output, in pixels.
        info: header of the input; None if the input is upright and as large as the output.

    >>> before = Metadata(xmp=b'<x tiff:Orientation="6"/>', dpi=(300, 300))
    >>> metadata_for_output(before, 20, 10).xmp
    b'<x tiff:Orientation="1"/>'
    """
    before = (info.height, info.width) if info is not None else (height, width)
    change = Change.of_upright(info.orientation if info is not None else 1, before, (height, width))
    return replace(
        metadata,
        exif=exif_blocks.exif_for_output(metadata.exif, change) if metadata.exif else None,
        xmp=_changed_xmp(metadata.xmp, change) if metadata.xmp else None,
        dpi=metadata.dpi[::-1] if metadata.dpi and change.swapped else metadata.dpi,
        aspect=metadata.aspect[::-1] if metadata.aspect and change.swapped else metadata.aspect,
        tags=metadata.tags.enlarged(height, width) if metadata.tags else None,
    )


def _changed_xmp(xmp: bytes, change: Change) -> bytes:
    from upsample_cli.images.metadata.xmp_rules import changed_xmp  # most images have no XMP

    return changed_xmp(xmp, change)[0]
