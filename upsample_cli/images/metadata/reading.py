"""Read the metadata of an opened image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from PIL import Image

from upsample_cli.errors import Loss
from upsample_cli.images.limits import check_metadata_bytes
from upsample_cli.images.metadata import exif as exif_blocks
from upsample_cli.images.metadata import exif_density, ifd
from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.containers import ContainerMetadata, container_metadata
from upsample_cli.images.metadata.jpeg_blocks import JpegBlocks
from upsample_cli.images.metadata.resolution import plausible
from upsample_cli.images.model import Metadata
from upsample_cli.images.orientation import ORIENTATION, TURNS

if TYPE_CHECKING:
    from upsample_cli.images.codecs.png.ancillary import Ancillary

_X_RESOLUTION = 282
_UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\0<": "utf-16-be", b"<\0": "utf-16-le"}


class Found(NamedTuple):
    """The metadata of an image.

    Args:
        metadata: the metadata as stored in the file.
        orientation: orientation of the stored pixels, 1 to 8, from Exif, or from XMP if Exif has none.
        losses: the metadata that were left out.
    """

    metadata: Metadata
    orientation: int
    losses: tuple[Loss, ...]


def read_metadata(
    image: Image.Image,
    file: BinaryIO,
    format_name: str,
    chunks: Ancillary | JpegBlocks | None = None,
    *,
    stored: tuple[int, int],
) -> Found:
    """Read the metadata of an opened image. Its pixels need not be decoded.

    Args:
        image: the image as Pillow opened it.
        file: the open file of the image; its position is moved.
        format_name: a key of `FORMATS`.
        chunks: the metadata chunks of a PNG, or the metadata segments of a JPEG.
        stored: height and width of the stored image, in pixels.

    Raises:
        MetadataError: the metadata exceed `limits.MAX_METADATA_BYTES`.
    """
    exif, xmp = _exif(image, file, chunks), _xmp(image, chunks)
    has_xmp = xmp is not None
    losses = [*chunks.losses] if chunks is not None else list[Loss]()
    orientation = _orientation(image, file, exif, xmp)
    unchanged = Change(orientation, *stored, *(stored[::-1] if TURNS[orientation].swapped else stored))
    exif, lost_exif = _sound_exif(exif, unchanged, format_name)
    xmp, lost_xmp = _sound_xmp(xmp, unchanged)
    losses += [*lost_exif, *lost_xmp]
    if chunks is None:
        container = container_metadata(file, format_name, image.info, image.info.get("icc_profile") or None)
    else:
        container = ContainerMetadata(chunks.icc_profile, chunks.colour, chunks.aspect)
    losses += [*container.losses, *_lost_resolution(_stated_dpi(image, chunks))]
    profile = container.icc_profile or None
    if profile and image.mode == "CMYK" and not _is_cmyk_profile(profile):
        profile = None
        losses.append(Loss("profile", "the colour profile (ICC) is damaged or not one for CMYK and is left out"))
    dpi = _resolution(image, exif, chunks)
    metadata = Metadata(
        icc_profile=profile,
        exif=exif,
        xmp=xmp,
        dpi=dpi,
        text=container.text if chunks is None else chunks.text,
        iptc=None if chunks is None else chunks.iptc,
        colour=container.colour,
        aspect=container.aspect or (exif_density.aspect(exif) if exif and not dpi else None),
        background=None if chunks is None or isinstance(chunks, JpegBlocks) else chunks.background,
    )
    if format_name == "tiff":
        metadata, lost = _with_tags(image, file, metadata, orientation, has_xmp=has_xmp)
        losses += lost
    check_metadata_bytes(metadata.size_bytes)
    return Found(metadata, orientation, tuple(losses))


def _is_cmyk_profile(profile: bytes) -> bool:
    from upsample_cli.images.color.profiles import srgb_of_profile  # imports LittleCMS

    return srgb_of_profile(profile) is not None


def _sound_exif(exif: bytes | None, unchanged: Change, format_name: str) -> tuple[bytes | None, list[Loss]]:
    """The block, or None if it cannot be corrected for an output, and the losses."""
    losses = list[Loss]()
    if exif is None:
        return None, losses
    try:
        exif_blocks.exif_for_output(exif, unchanged)
    except ValueError:
        return None, [Loss("metadata", "the EXIF block is damaged and is left out")]
    if format_name == "jpeg" and (stated := exif_blocks.stated_coefficients(exif)):
        numbers = ", ".join(f"{number:.4g}" for number in stated)
        text = f"EXIF states other coefficients of YCbCr ({numbers}) than JPEG's, with which it is read"
        losses.append(Loss("colour", text))
    if format_name == "tiff" and exif_blocks.has_maker_note(exif):
        text = "the camera maker's note (EXIF) has to move, and its maker's software may not find all of it"
        losses.append(Loss("maker-note", text))  # a maker's note contains absolute offsets
    return exif, losses


def _sound_xmp(xmp: bytes | None, unchanged: Change) -> tuple[bytes | None, list[Loss]]:
    """The packet, or None if it is damaged, and the losses that every output has."""
    losses = list[Loss]()
    if xmp is None:
        return None, losses
    from upsample_cli.images.metadata.xmp_rules import changed_xmp  # most images have no XMP

    if b"HasExtendedXMP" in xmp:
        losses.append(Loss("metadata", "only the main part of the XMP is kept, not its extension"))
    try:
        gone = changed_xmp(xmp, unchanged)[1]
    except ValueError:
        return None, [*losses, Loss("metadata", "the XMP is damaged and is left out")]
    return xmp, [*losses, *(Loss("metadata", f"what the XMP says about {about} is left out") for about in gone)]


def _with_tags(
    image: Image.Image, file: BinaryIO, metadata: Metadata, orientation: int, *, has_xmp: bool
) -> tuple[Metadata, list[Loss]]:
    """The metadata of a TIFF with its captions and the tags that only TIFF has, and the losses."""
    from upsample_cli.images.metadata.tiff_tags import read_tags

    pages, page_at = getattr(image, "pages", 1), getattr(image, "page_at", None)
    try:
        tags, iptc, losses = read_tags(
            file, page_at, metadata.exif, has_xmp=has_xmp, orientation=orientation, pages=pages
        )
    except ValueError:
        return metadata, []
    dpi = None if tags is not None and tags.has_resolution else metadata.dpi
    return replace(metadata, tags=tags, iptc=iptc, dpi=dpi), losses


def _exif(image: Image.Image, file: BinaryIO, chunks: Ancillary | JpegBlocks | None) -> bytes | None:
    if hasattr(image, "tag_v2"):
        from upsample_cli.images.metadata.exif_from_tiff import exif_of_tiff

        try:
            return exif_of_tiff(file, getattr(image, "page_at", None))
        except ValueError:
            return None
    block = image.info.get("exif") if chunks is None else chunks.exif
    return exif_blocks.without_prefix(block) if isinstance(block, bytes) and block else None


def _xmp(image: Image.Image, chunks: Ancillary | JpegBlocks | None) -> bytes | None:
    packet = chunks.xmp if chunks is not None else image.info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    if not isinstance(packet, bytes):
        return None
    if packet[:2] in _UTF_16:
        packet = packet.decode(_UTF_16[packet[:2]], "replace").encode()
    return packet.rstrip(b"\0") or None


def _orientation(image: Image.Image, file: BinaryIO, exif: bytes | None, xmp: bytes | None) -> int:
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        stated = exif_blocks.orientation(exif) if exif else None
    elif ORIENTATION in tags:
        tiff = ifd.tiff_in_file(file)
        page_at: int | None = getattr(image, "page_at", None)
        stated = exif_blocks.tiff_orientation(tiff if page_at is None else tiff._replace(first=page_at)) or 1
    else:
        stated = None
    if stated is None and xmp is not None:
        from upsample_cli.images.metadata.xmp_rules import xmp_orientation

        stated = xmp_orientation(xmp)
    return stated or 1


def _resolution(
    image: Image.Image, exif: bytes | None, chunks: Ancillary | JpegBlocks | None
) -> tuple[float, float] | None:
    tags = getattr(image, "tag_v2", None)
    if tags is not None and _X_RESOLUTION not in tags:  # Pillow gives such a TIFF 1 dpi
        return exif_density.resolution(exif) if exif else None
    return plausible(_stated_dpi(image, chunks)) or (exif_density.resolution(exif) if exif else None)


def _stated_dpi(image: Image.Image, chunks: Ancillary | JpegBlocks | None) -> Any:
    return image.info.get("dpi") if chunks is None else chunks.dpi


def _lost_resolution(stated: Any) -> list[Loss]:
    """The loss of a resolution that makes no sense. Zeros state none."""
    is_lost = isinstance(stated, tuple) and all(stated) and plausible(stated) is None
    return [Loss("metadata", "the resolution makes no sense and is left out")] if is_lost else []
