"""Read the metadata in the segments of a JPEG. A segment that is neither read nor known to be useless is a loss.

Source: JFIF 1.02; Exif 2.32, 4.7; XMP Specification, part 3; ICC.1, annex B.4; CIPA DC-007 (MPF); ISO 21496-1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.jpeg_markers import COMMENT_MARKER, EXTENDED_XMP, XMP, Segment
from upsample_cli.images.format_table import COMMENT
from upsample_cli.images.limits import MAX_METADATA_BYTES, check_metadata_bytes
from upsample_cli.images.metadata import mpf
from upsample_cli.images.metadata.comments import decoded
from upsample_cli.images.metadata.exif import without_prefix
from upsample_cli.images.metadata.photoshop import lost_resources, read_resources
from upsample_cli.images.metadata.resolution import UNITS_PER_INCH
from upsample_cli.images.metadata.segment_names import segment_name, unknown_loss
from upsample_cli.images.model import ColourSpace

_SIGNATURE_BYTES = 40
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_INDEX = b"MPF\0"
_BARE_DUCKY_BYTES = 15
_GAIN_MAP_IN_XMP = re.compile(rb"""hdrgm:Version\s*(?:=|>)""")


class JpegBlocks(NamedTuple):
    """The metadata of a JPEG.

    Args:
        exif: a TIFF structure.
        xmp: an XMP packet.
        icc_profile: an ICC profile.
        iptc: captions, as IPTC-NAA records.
        text: comments, as keyword and value pairs in file order.
        dpi: dots per inch, (x, y).
        aspect: pixels per unit, (x, y), where only their ratio has a meaning.
        images: number of images in the file, without previews and gain maps.
        lists_others: whether an index lists further images, previews and gain maps included.
        losses: the metadata and images that are left out.
        colour: always None: the colour space of a JPEG is that of its profile, or sRGB.
    """

    exif: bytes | None
    xmp: bytes | None
    icc_profile: bytes | None
    iptc: bytes | None
    text: tuple[tuple[str, str], ...]
    dpi: tuple[float, float] | None
    aspect: tuple[int, int] | None
    images: int
    lists_others: bool
    losses: tuple[Loss, ...]
    colour: ColourSpace | None = None


def read_blocks(file: BinaryIO, segments: Iterable[Segment]) -> JpegBlocks:
    """Read the metadata in the segments. The file's position is moved.

    Raises:
        MetadataError: the metadata exceed `limits.MAX_METADATA_BYTES`.
    """
    found, left_bytes = _Found(), MAX_METADATA_BYTES
    for segment in segments:
        file.seek(segment.at)
        signature = file.read(min(segment.size_bytes, _SIGNATURE_BYTES))
        reader = _reader(segment.marker, signature)
        if reader is _ignore:
            continue
        if reader is None or (reader in _MAY_BE_HUGE and segment.size_bytes > left_bytes):
            found.unknown[segment_name(segment.marker, signature)] += 1
            continue
        left_bytes -= segment.size_bytes
        check_metadata_bytes(MAX_METADATA_BYTES - left_bytes)
        file.seek(segment.at)
        had_index = bool(found.listed)
        reader(found, file.read(segment.size_bytes))
        if found.listed and not had_index:
            found.auxiliary = [*mpf.auxiliary_purposes(file, segment.at + len(_INDEX), found.listed)]
    return found.blocks()


@dataclass
class _Found:
    """The contents of the segments read so far."""

    exif: list[list[bytes]] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    profile: list[bytes] = field(default_factory=list)
    extension: list[bytes] = field(default_factory=list)
    photoshop: list[bytes] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    density: tuple[int, int, int] | None = None
    listed: list[mpf.ListedImage] = field(default_factory=list)
    auxiliary: list[str] = field(default_factory=list)
    has_gain_map: bool = False
    unknown: Counter[str] = field(default_factory=Counter)

    def add_exif(self, data: bytes) -> None:
        """Add a block, or append to the previous block if the data do not start like a TIFF."""
        block = without_prefix(data[6:])
        if self.exif and not block.startswith(_TIFF_STARTS):
            self.exif[-1].append(block)
        else:
            self.exif.append([block])

    def add_extension(self, data: bytes) -> None:
        self.extension.append(data[len(EXTENDED_XMP) :])

    def _extended(self, xmp: bytes) -> bytes:
        if not self.extension:
            return xmp
        from upsample_cli.images.metadata.xmp_extension import joined

        return joined(xmp, self.extension)

    def add_photoshop(self, data: bytes) -> None:
        self.photoshop.append(data[14:])

    def add_density(self, data: bytes) -> None:
        if self.density is None and len(data) >= 12:
            self.density = data[7], int.from_bytes(data[8:10], "big"), int.from_bytes(data[10:12], "big")

    def blocks(self) -> JpegBlocks:
        resources = read_resources(b"".join(self.photoshop))
        losses = list[Loss]()
        exif = [*dict.fromkeys(b"".join(pieces) for pieces in self.exif)]
        exif += [resources.exif] if resources.exif and resources.exif not in exif else []
        xmp = [*dict.fromkeys(self.xmp[::-1])]
        xmp += [resources.xmp] if resources.xmp and resources.xmp not in xmp else []
        for what, several in (("EXIF blocks", exif), ("XMP packets", xmp)):
            if len(several) > 1:
                losses.append(Loss("metadata", f"of {len(several)} {what} one is kept"))
        profile, is_whole = _profile(self.profile)
        if not is_whole:
            losses.append(Loss("profile", "the colour profile (ICC) is incomplete and is left out"))
        is_promised = bool(xmp and _GAIN_MAP_IN_XMP.search(xmp[0]))
        has_gain_map = self.has_gain_map or is_promised
        images = mpf.images_among(self.listed, has_gain_map=has_gain_map, auxiliary=len(self.auxiliary))
        found = [*mpf.auxiliary_losses(self.auxiliary), *([mpf.GAIN_MAP_LOSS] if self.has_gain_map else [])]
        losses += [loss for loss in dict.fromkeys(found) if loss != mpf.GAIN_MAP_LOSS or not is_promised]
        losses += lost_resources(resources.lost)
        if self.unknown:
            losses.append(unknown_loss(self.unknown))
        dpi, aspect = _resolution(self.density)
        return JpegBlocks(
            exif=exif[0] if exif else None,
            xmp=self._extended(xmp[0]) if xmp else None,
            icc_profile=profile,
            iptc=resources.captions,
            text=tuple((COMMENT, decoded(comment)) for comment in self.comments if comment),
            dpi=dpi or resources.dpi,
            aspect=aspect or resources.aspect,
            images=images,
            lists_others=len(self.listed) > 1,
            losses=tuple(losses),
        )


def _profile(pieces: list[bytes]) -> tuple[bytes | None, bool]:
    """The profile joined from its numbered pieces, and whether it is complete; (None, True) without pieces."""
    numbered: dict[int, bytes] = {}
    for piece in pieces:
        if len(piece) >= 14:
            numbered.setdefault(piece[12], piece)
    if not pieces:
        return None, True
    counts = {piece[13] for piece in numbered.values()}
    if counts != {len(numbered)}:
        return None, False
    return b"".join(numbered[number][14:] for number in sorted(numbered)) or None, True


def _resolution(density: tuple[int, int, int] | None) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    unit, across, down = density or (0, 0, 0)
    if not across or not down:
        return None, None
    per_inch = UNITS_PER_INCH.get(unit + 1)  # JFIF counts inches and centimetres from 1, TIFF from 2
    if per_inch is None or not unit:
        return None, (across, down) if across != down else None
    return (across * per_inch, down * per_inch), None


def _set_images(found: _Found, data: bytes) -> None:
    found.listed = found.listed or mpf.listed_images(data[len(_INDEX) :])


def _set_gain_map(found: _Found, _data: bytes) -> None:
    found.has_gain_map = True


def _add_ducky(found: _Found, data: bytes) -> None:
    """Of Photoshop's settings for the web, the quality of its encoder is ignored, and remarks are lost."""
    if len(data) > _BARE_DUCKY_BYTES:
        found.unknown["APP12 Ducky"] += 1


def _ignore(_found: _Found, _data: bytes) -> None:
    """Ignore a segment that does not apply to the enlarged image, such as a thumbnail or encoder settings."""


_Reader = Callable[[_Found, bytes], None]
_APP0, _APP1, _APP2, _APP8, _APP12, _APP13, _APP14 = 0xE0, 0xE1, 0xE2, 0xE8, 0xEC, 0xED, 0xEE

_READERS: tuple[tuple[int, bytes, _Reader], ...] = (
    (_APP0, b"JFIF\0", _Found.add_density),
    (_APP0, b"JFXX\0", _ignore),  # a thumbnail
    (_APP0, b"AVI1", _ignore),  # which field of a video frame it is
    (_APP1, b"Exif\0", _Found.add_exif),
    (_APP1, XMP, lambda found, data: found.xmp.append(data[len(XMP) :])),
    (_APP1, EXTENDED_XMP, _Found.add_extension),
    (_APP2, b"ICC_PROFILE\0", lambda found, data: found.profile.append(data)),
    (_APP2, _INDEX, _set_images),
    (_APP2, b"urn:iso:std:iso:ts:21496:-1\0", _set_gain_map),
    (_APP8, b"SPIFF\0", _ignore),  # repeats the frame header
    (_APP12, b"Ducky", _add_ducky),
    (_APP13, b"Photoshop 3.0\0", _Found.add_photoshop),
    (_APP14, b"Adobe", _ignore),  # the colour transform, which the decoder reads
    (COMMENT_MARKER, b"", lambda found, data: found.comments.append(data)),
)


_MAY_BE_HUGE = (_Found.add_extension, _Found.add_photoshop)
"""Readers of metadata that can be huge. If they are too large, they are left out and the image is not refused."""


def _reader(marker: int, signature: bytes) -> _Reader | None:
    return next((reader for known, start, reader in _READERS if known == marker and signature.startswith(start)), None)
