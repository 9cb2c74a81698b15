"""Correct the tags that only TIFF has for the enlarged image. `tiff_tags` reads them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction

from upsample_cli.errors import Loss
from upsample_cli.images.metadata import georeference, ifd_write
from upsample_cli.images.metadata.descriptions import Description
from upsample_cli.images.metadata.ifd_write import Field
from upsample_cli.images.model import Layout

DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, PAGE_NUMBER, NO_DATA = 270, 282, 283, 296, 297, 42113
_SAMPLE_DEPENDENT = {DESCRIPTION, NO_DATA}
_SEVERAL = "the TIFF tags"


@dataclass(frozen=True, slots=True)
class OwnTags:
    """Tags of an upright image that only TIFF has.

    Args:
        fields: the tags as stored.
        order: their byte order, "<" or ">".
        height, width: size of the image that they are valid for, in pixels.
        description: the kind of the image description, if it is data of a program.
    """

    fields: tuple[Field, ...]
    order: str
    height: int
    width: int
    description: Description | None = None

    @property
    def titles(self) -> list[str]:
        """Names of the tags in a warning; empty if they have no meaning outside a TIFF."""
        tags = {field.tag for field in self.fields}
        parts = [
            self.description.title if self.description and DESCRIPTION in tags else "",
            "the georeference (GeoTIFF)" if tags & georeference.GEO_TAGS else "",
            "the proportion of a pixel" if X_RESOLUTION in tags and not self._scales else "",
        ]
        others = tags - georeference.GEO_TAGS - {DESCRIPTION, PAGE_NUMBER, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT}
        parts.append(f"{_SEVERAL if len(others) > 1 else 'the TIFF tag'} {names_of(others)}" if others else "")
        return list(filter(None, parts))

    @property
    def has_resolution(self) -> bool:
        """See `model.TiffTags`."""
        return any(field.tag == X_RESOLUTION for field in self.fields)

    @property
    def size_bytes(self) -> int:
        """See `model.TiffTags`."""
        return sum(len(field.value) for field in self.fields)

    @property
    def describe_pages(self) -> bool:
        """See `model.TiffTags`."""
        tags = {field.tag for field in self.fields}
        return DESCRIPTION in tags and self.description is not None and self.description.pages > 1

    @property
    def _scales(self) -> bool:
        return self.description is not None and self.description.scales

    def enlarged(self, height: int, width: int) -> OwnTags:
        """See `model.TiffTags`."""
        down, across = height / self.height, width / self.width
        fields = georeference.enlarged(list(self.fields), self.order, down, across)
        return replace(self, fields=tuple(self._enlarged(field, down, across) for field in fields))

    def _enlarged(self, field: Field, down: float, across: float) -> Field:
        change = self.description.enlarged if self.description is not None else None
        if field.tag == DESCRIPTION and change is not None and isinstance(field.value, bytes):
            text = change(field.value, down, across)
            return replace(field, count=len(text), value=text)
        if self._scales and field.tag in (X_RESOLUTION, Y_RESOLUTION) and isinstance(field.value, bytes):
            above, below = struct.unpack(self.order + "II", field.value)
            factor = Fraction(across if field.tag == X_RESOLUTION else down).limit_denominator(1 << 20)
            return ifd_write.rational(field.tag, self.order, float(Fraction(above, below) * factor))
        return field

    def without(self, tags: set[int]) -> OwnTags:
        """A copy without the given tags."""
        return replace(self, fields=tuple(field for field in self.fields if field.tag not in tags))

    def without_resolution(self) -> OwnTags:
        """See `model.TiffTags`."""
        return self.without({X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT})

    def of_one_page(self) -> tuple[OwnTags, list[Loss]]:
        """See `model.TiffTags`."""
        if self.description is None or not self.describe_pages:
            return self, []
        text = f"{self.description.title} describes {self.description.pages} pages; it is left out"
        return self.without({DESCRIPTION}), [Loss("metadata", text)]

    def held(self, layout: Layout, made: Layout, other_format: str | None) -> tuple[OwnTags | None, list[Loss]]:
        """See `model.TiffTags`."""
        if other_format is not None:
            titles = self.titles
            are = "it is" if len(titles) == 1 and not titles[0].startswith(_SEVERAL) else "they are"
            text = f"{other_format} cannot hold {' and '.join(titles)}; {are} left out"
            return None, [Loss("metadata", text)] if titles else []
        lost = {field.tag for field in self.fields} & _SAMPLE_DEPENDENT
        if layout == made or not lost or (lost == {DESCRIPTION} and self._scales):
            return self, []
        text = f"{names_of(lost)}, of pixels of another type, {'is' if len(lost) == 1 else 'are'} left out"
        return self.without(lost), [Loss("metadata", text)]


def names_of(tags: set[int]) -> str:
    """The names of tags; the number of a tag without a name."""
    from tifffile import TIFF

    return ", ".join(TIFF.TAGS.get(tag, default=str(tag)) for tag in sorted(tags))
