"""Correct the georeference of a GeoTIFF, which maps pixels to the earth, for an enlarged image.

Source: OGC GeoTIFF 1.1, "Raster to model coordinate transformation requirements".
"""

from __future__ import annotations

import struct

from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.ifd_write import Field

SCALE, TIEPOINTS, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
GEO_TAGS = frozenset({SCALE, TIEPOINTS, TRANSFORMATION, KEYS, 34736, 34737})
_RASTER_TYPE_KEY, _PIXEL_IS_POINT = 1025, 2
_DOUBLE = 12
_MOST_TIEPOINTS = 1 << 14


def is_valid(fields: list[Field]) -> bool:
    """Whether the tags have the types and counts that the standard requires."""
    found = {field.tag: field for field in fields}
    multiples = {SCALE: (3, 1), TRANSFORMATION: (16, 1), TIEPOINTS: (6, _MOST_TIEPOINTS)}
    for tag, (size, most) in multiples.items():
        if tag in found and (found[tag].kind != _DOUBLE or found[tag].count % size or found[tag].count > size * most):
            return False
    return KEYS not in found or found[KEYS].kind == ifd.SHORT


def enlarged(fields: list[Field], order: str, down: float, across: float) -> list[Field]:
    """The tags for an image that is `down` times as high and `across` times as wide, with the same edges."""
    is_point = any(_is_point(field, order) for field in fields if field.tag == KEYS)
    # If pixels are points, whole coordinates are pixel centres, and the image begins at -1/2.
    shift = 0.5 if is_point else 0.0

    def changed(field: Field) -> Field:
        if field.tag not in (SCALE, TIEPOINTS, TRANSFORMATION) or not isinstance(field.value, bytes):
            return field
        numbers = list(struct.unpack(f"{order}{field.count}d", field.value))
        if field.tag == SCALE:
            numbers[:2] = numbers[0] / across, numbers[1] / down
        elif field.tag == TIEPOINTS:
            for at in range(0, len(numbers), 6):
                numbers[at] = (numbers[at] + shift) * across - shift
                numbers[at + 1] = (numbers[at + 1] + shift) * down - shift
        else:
            for at in range(0, 12, 4):
                x, y, z, origin = numbers[at : at + 4]
                moved = x * (shift / across - shift) + y * (shift / down - shift)
                numbers[at : at + 4] = x / across, y / down, z, origin + moved
        return Field(field.tag, field.kind, field.count, struct.pack(f"{order}{field.count}d", *numbers))

    return [changed(field) for field in fields]


def _is_point(keys: Field, order: str) -> bool:
    numbers = struct.unpack(f"{order}{keys.count}H", keys.value) if isinstance(keys.value, bytes) else ()
    return any(
        numbers[at] == _RASTER_TYPE_KEY and numbers[at + 1] == 0 and numbers[at + 3] == _PIXEL_IS_POINT
        for at in range(4, len(numbers) - 3, 4)
    )
