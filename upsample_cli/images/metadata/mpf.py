"""The index of a JPEG file with several images, the Multi-Picture Format. Source: CIPA DC-007."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jpeg_markers import XMP, head_segments
from upsample_cli.images.metadata import ifd

GAIN_MAP_LOSS = Loss("frames", "an HDR gain map is left out: the image for displays without HDR is kept")

_IMAGES, _IMAGE_BYTES = 0xB002, 16
_KIND, _PREVIEW, _NO_KIND = 0xFFFFFF, 0x01, 0
_MOST_SEGMENTS, _MOST_LOOKED_AT = 16, 8
_PURPOSE = rb"""AuxiliaryImageType\s*(?:=\s*["']|>)\s*([!-~]{1,80}?)\s*["'<]"""
_GAIN_MAP = "hdrgainmap"


class ListedImage(NamedTuple):
    """An image in the index.

    Args:
        kind: MPF's number for its purpose.
        at: its offset from the start of the index; 0 for the first image.
    """

    kind: int
    at: int


def listed_images(index: bytes) -> list[ListedImage]:
    """The images that an index lists, the first included; empty if the index is damaged."""
    try:
        tiff = ifd.tiff_in_bytes(index)
        directory = ifd.read_directory(tiff, tiff.first)
    except ValueError:
        return []
    entry = directory.find(_IMAGES)
    table = (ifd.value_bytes(tiff, entry) if entry is not None else None) or b""

    def number(at: int) -> int:
        return int.from_bytes(table[at : at + 4], "little" if tiff.order == "<" else "big")

    starts = range(0, len(table) - _IMAGE_BYTES + 1, _IMAGE_BYTES)
    return [ListedImage(number(at) & _KIND, number(at + 8)) for at in starts]


def auxiliary_purposes(file: BinaryIO, index_at: int, images: Iterable[ListedImage]) -> Iterator[str]:
    """What auxiliary images of Apple's cameras are for, such as "hdrgainmap". The file's position is moved.

    The index has no kind for them. Their purpose is in the XMP of the auxiliary image itself.
    """
    for image in [image for image in images if image.kind == _NO_KIND and image.at][:_MOST_LOOKED_AT]:
        at = index_at + image.at
        file.seek(at)
        if file.read(2) != b"\xff\xd8":
            continue
        for _, segment in zip(range(_MOST_SEGMENTS), head_segments(file, at + 2), strict=False):
            file.seek(segment.at)
            if file.read(min(segment.size_bytes, len(XMP))) != XMP:
                continue
            if found := re.search(_PURPOSE, file.read(segment.size_bytes - len(XMP))):
                yield found[1].decode().rpartition(":")[2]
                break


def auxiliary_losses(purposes: Iterable[str]) -> Iterator[Loss]:
    """The losses of auxiliary images.

    >>> [loss.text for loss in auxiliary_losses(["disparity"])]
    ['an auxiliary image (disparity) is left out']
    """
    for purpose in purposes:
        is_gain_map = purpose == _GAIN_MAP
        yield GAIN_MAP_LOSS if is_gain_map else Loss("frames", f"an auxiliary image ({purpose}) is left out")


def images_among(images: list[ListedImage], *, has_gain_map: bool, auxiliary: int = 0) -> int:
    """The number of images without previews, auxiliary images, and a gain map, for which the index has no kind."""
    others = [image for image in images[1:] if image.kind >> 16 != _PREVIEW]
    return 1 + len(others) - max(auxiliary, has_gain_map and bool(others))
