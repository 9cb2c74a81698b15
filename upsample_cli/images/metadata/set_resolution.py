"""Set the resolution in all metadata of an image that state one, so that they agree."""

from __future__ import annotations

from dataclasses import replace

from upsample_cli.errors import Loss, Setting
from upsample_cli.images.metadata.exif import with_resolution
from upsample_cli.images.model import ImageInfo, Metadata

_NEARLY = 0.01
"""Units such as dots per metre are rounded, so the two axes of square pixels may differ by a little."""


def with_dpi(info: ImageInfo, metadata: Metadata, dpi: int) -> tuple[ImageInfo, Metadata]:
    """The header and metadata with a resolution of `dpi` dots per inch on both axes.

    It replaces that of the file, of Exif and of XMP. If the old one gave another proportion of the pixels, or a scale
    that is not a resolution, this is a loss.

    >>> from upsample_cli.images.model import Layout
    >>> info = ImageInfo("png", 3, 5, Layout("rgb"))
    >>> with_dpi(info, Metadata(dpi=(72, 72)), 300)[1].dpi
    (300, 300)
    >>> print(*with_dpi(info, Metadata(aspect=(2, 1)), 300)[0].losses)
    the proportion of its pixels, or their scale, is replaced by dpi=300
    """
    ratios = [metadata.dpi, metadata.aspect]
    is_replaced = any(sides is not None and abs(sides[0] / sides[1] - 1) > _NEARLY for sides in ratios)
    tags = metadata.tags
    if tags is not None and tags.has_resolution:
        is_replaced, tags = True, tags.without_resolution()
    if is_replaced:
        text = ("the proportion of its pixels, or their scale, is replaced by ", Setting("dpi", dpi))
        info = info._replace(losses=(*info.losses, Loss("metadata", text)))
    exif = with_resolution(metadata.exif, (dpi, dpi)) if metadata.exif else None
    xmp = _xmp(metadata.xmp, dpi) if metadata.xmp and b"Resolution" in metadata.xmp else metadata.xmp
    return info, replace(metadata, dpi=(dpi, dpi), aspect=None, exif=exif, xmp=xmp, tags=tags)


def _xmp(xmp: bytes, dpi: int) -> bytes:
    from upsample_cli.images.metadata.xmp import TIFF, Packet  # most images have no XMP

    values = {"XResolution": f"{dpi}/1", "YResolution": f"{dpi}/1", "ResolutionUnit": "2"}
    packet = Packet(xmp)
    for part in packet.root.below():
        namespace, name = part.name
        if namespace == TIFF and name in values:
            packet.set(part, values[name])
    return packet.changed()
