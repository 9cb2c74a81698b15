"""The index of a JPEG file with several images, the Multi-Picture Format. Source: CIPA DC-007."""

from __future__ import annotations

from upsample_cli.images.metadata import ifd

_IMAGES, _IMAGE_BYTES = 0xB002, 16
_KIND, _PREVIEW = 0xFFFFFF, 0x01


def listed_kinds(index: bytes) -> list[int]:
    """The kinds of the images that an index lists, the first included; empty if the index is damaged."""
    try:
        tiff = ifd.tiff_in_bytes(index)
        directory = ifd.read_directory(tiff, tiff.first)
    except ValueError:
        return []
    entry = directory.find(_IMAGES)
    table = (ifd.value_bytes(tiff, entry) if entry is not None else None) or b""
    order = "little" if tiff.order == "<" else "big"
    return [
        int.from_bytes(table[at : at + 4], order) & _KIND  # type: ignore[arg-type]
        for at in range(0, len(table) - _IMAGE_BYTES + 1, _IMAGE_BYTES)
    ]


def images_among(kinds: list[int], *, has_gain_map: bool) -> int:
    """The number of images without previews and without a gain map, for which the index has no kind."""
    others = [kind for kind in kinds[1:] if kind >> 16 != _PREVIEW]
    return 1 + len(others) - (has_gain_map and bool(others))
