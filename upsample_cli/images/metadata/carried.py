"""Metadata: read from an opened image, and corrected for its enlargement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.png.ancillary import Ancillary
from upsample_cli.images.color.profiles import srgb_of_profile
from upsample_cli.images.format_table import COMMENT
from upsample_cli.images.limits import check_metadata_bytes
from upsample_cli.images.metadata import exif as exif_blocks
from upsample_cli.images.metadata import iptc
from upsample_cli.images.metadata.exif_from_tiff import exif_of_tiff
from upsample_cli.images.model import Metadata
from upsample_cli.images.orientation import ORIENTATION, TURNS, valid, xmp_orientation, xmp_upright

_X_RESOLUTION = 282


@dataclass(frozen=True, slots=True)
class Found:
    """The metadata of an image.

    Args:
        metadata: as stored in the file.
        orientation: of the stored pixels, 1 to 8, from Exif or, without it, from XMP.
        losses: what was left out.
    """

    metadata: Metadata
    orientation: int
    losses: tuple[Loss, ...]


def read_metadata(image: Image.Image, file: BinaryIO, format_name: str, chunks: Ancillary | None = None) -> Found:
    """The metadata of an opened image, decoded or not.

    Args:
        image: as Pillow opened it.
        file: the open file it came from; its position is moved.
        format_name: a key of `FORMATS`.
        chunks: of a PNG.

    Raises:
        MetadataError: they exceed `limits.MAX_METADATA_BYTES`.
    """
    exif, xmp, losses = _exif(image, file, chunks), _xmp(image, chunks), list[Loss]()
    orientation = _orientation(image, exif, xmp)
    if exif is not None:
        try:
            exif_blocks.exif_for_output(exif, 1, 1)
        except ValueError:
            exif = None
            losses.append(Loss("metadata", "the EXIF block is damaged and is left out"))
        if exif is not None and format_name == "tiff" and exif_blocks.has_maker_note(exif):
            text = "the camera maker's note (EXIF) has to move, and its maker's software may not find all of it"
            losses.append(Loss("maker-note", text))  # it holds offsets
    if xmp is not None and b"HasExtendedXMP" in xmp:
        losses.append(Loss("metadata", "only the main part of the XMP is kept, not its extension"))
    if chunks is not None and chunks.unusual_colour:
        meaning = ", ".join(chunks.unusual_colour)
        losses.append(Loss("profile", f"the colours' meaning ({meaning}) is left out; they may look different"))
    profile = image.info.get("icc_profile") or None
    if profile and image.mode == "CMYK" and srgb_of_profile(profile) is None:
        profile = None
        losses.append(Loss("profile", "the colour profile (ICC) is damaged or not one for CMYK and is left out"))
    metadata = Metadata(
        icc_profile=profile,
        exif=exif,
        xmp=xmp,
        dpi=_resolution(image, exif),
        text=_text(image) if chunks is None else chunks.text,
        iptc=image.info.get("photoshop", {}).get(iptc.RESOURCE) or None if chunks is None else chunks.iptc,
    )
    if format_name == "tiff":
        metadata, lost = _with_tags(image, file, metadata, orientation)
        losses += lost
    check_metadata_bytes(_size_bytes(metadata))
    return Found(metadata, orientation, tuple(losses))


def _with_tags(image: Image.Image, file: BinaryIO, metadata: Metadata, orientation: int) -> tuple[Metadata, list[Loss]]:
    """The metadata of a TIFF with the tags that only it holds, and what is lost."""
    from upsample_cli.images.metadata.tiff_tags import read_tags

    pages = getattr(image, "pages", 1)
    try:
        tags, losses = read_tags(file, getattr(image, "page_at", None), metadata, orientation=orientation, pages=pages)
    except ValueError:
        return metadata, []
    dpi = None if tags is not None and tags.has_resolution else metadata.dpi
    if dpi is not None and TURNS[orientation].swapped:
        dpi = dpi[::-1]
    return replace(metadata, tags=tags, dpi=dpi), losses


def _size_bytes(metadata: Metadata) -> int:
    blocks = (metadata.icc_profile, metadata.exif, metadata.xmp, metadata.iptc)
    texts = (len(part) for pair in metadata.text for part in pair)
    tags = metadata.tags.size_bytes if metadata.tags is not None else 0
    return sum(len(block) for block in blocks if block) + sum(texts) + tags


def _exif(image: Image.Image, file: BinaryIO, chunks: Ancillary | None) -> bytes | None:
    if chunks is not None:
        return chunks.exif
    if hasattr(image, "tag_v2"):
        try:
            return exif_of_tiff(file, getattr(image, "page_at", None))
        except ValueError:
            return None
    block = image.info.get("exif")
    return exif_blocks.without_prefix(block) if isinstance(block, bytes) and block else None


def _xmp(image: Image.Image, chunks: Ancillary | None) -> bytes | None:
    packet = chunks.xmp if chunks is not None else image.info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    return packet.rstrip(b"\0") or None if isinstance(packet, bytes) else None


def _orientation(image: Image.Image, exif: bytes | None, xmp: bytes | None) -> int:
    tags = getattr(image, "tag_v2", None)
    stated = tags.get(ORIENTATION) if tags is not None else exif_blocks.orientation(exif) if exif else None
    return valid(xmp_orientation(xmp) if stated is None else stated) or 1


def _resolution(image: Image.Image, exif: bytes | None) -> tuple[float, float] | None:
    # Pillow gives a JPEG without a resolution 72 dpi, and a TIFF without one 1 dpi.
    tags = getattr(image, "tag_v2", None)
    unsaid = image.info.get("jfif_unit") not in {1, 2} if hasattr(image, "layers") else False
    if unsaid or (tags is not None and _X_RESOLUTION not in tags):
        return exif_blocks.resolution(exif) if exif else None
    found = _plausible(image.info.get("dpi"))
    return found or (exif_blocks.resolution(exif) if exif else None)


def _plausible(dpi: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(side) for side in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (across, down) if all(math.isfinite(side) and 0 < side < 2**24 for side in (across, down)) else None


def _text(image: Image.Image) -> tuple[tuple[str, str], ...]:
    remark = image.info.get("comment")
    if not isinstance(remark, bytes) or not remark:
        return ()
    try:
        return ((COMMENT, remark.decode()),)
    except UnicodeDecodeError:
        return ((COMMENT, remark.decode("latin-1")),)


def metadata_for_output(metadata: Metadata, height: int, width: int) -> Metadata:
    """The metadata, corrected for the enlarged, upright image.

    Exif's and XMP's orientation become 1, Exif's sizes the new ones, Exif's thumbnail is dropped; the resolution stays,
    so the print grows with the image.

    >>> before = Metadata(xmp=b'<x tiff:Orientation="6"/>', dpi=(300, 300))
    >>> metadata_for_output(before, 20, 10)
    Metadata(icc_profile=None, exif=None, xmp=b'<x tiff:Orientation="1"/>', dpi=(300, 300), text=(), iptc=None)
    """
    return replace(
        metadata,
        exif=exif_blocks.exif_for_output(metadata.exif, height, width) if metadata.exif else None,
        xmp=xmp_upright(metadata.xmp) if metadata.xmp else None,
        tags=metadata.tags.enlarged(height, width) if metadata.tags else None,
    )
