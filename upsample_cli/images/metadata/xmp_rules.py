"""Correct the properties in XMP that an enlargement makes wrong: sizes, positions and references.

`RULES` is the table. Properties that it does not list are kept. Properties that it lists are corrected; if that is not
possible they are left out, and the loss is reported. The loss is not reported for properties that a program can read
from the image itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

from upsample_cli.images.metadata import xmp_regions
from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.xmp import EXIF, TIFF, Name, Packet, Part
from upsample_cli.images.orientation import valid

Rule = Callable[[Packet, Part, Change], bool]
"""Corrects a property; returns False if it has to be left out."""

_GOOGLE = "http://ns.google.com/photos/1.0/"
_PANORAMA, _CAMERA = _GOOGLE + "panorama/", _GOOGLE + "camera/"
_RAW, _DRONE = "http://ns.adobe.com/camera-raw-settings/1.0/", "http://www.dji.com/drone-dji/1.0/"
_FRACTION = re.compile(r"[0-9]{1,10}(\.[0-9]{0,10}|/(?!0+$)[0-9]{1,10})?")
_DIGIT = re.compile("[0-9]")
_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])""")


def _upright(packet: Packet, part: Part, _change: Change) -> bool:
    packet.set(part, "1")
    return True


def _height(packet: Packet, part: Part, change: Change) -> bool:
    packet.set(part, str(change.height))
    return True


def _width(packet: Packet, part: Part, change: Change) -> bool:
    packet.set(part, str(change.width))
    return True


def _gone(_packet: Packet, _part: Part, _change: Change) -> bool:
    return False


def _if_upright(_packet: Packet, _part: Part, change: Change) -> bool:
    return change.orientation == 1


def _is_applied(packet: Packet, _part: Part, change: Change) -> bool:
    return change.orientation == 1 or packet.text(packet.find((_RAW, "AlreadyApplied"))).lower() == "true"


def _fraction(packet: Packet, part: Part | None) -> Fraction:
    text = packet.text(part)
    if not _FRACTION.fullmatch(text):  # an exponent could make the number huge
        raise ValueError("not a number")
    return Fraction(text)


def _place(packet: Packet, part: Part, change: Change) -> bool:
    """Correct two to four whole numbers: the middle of an area, and its diameter or sides."""
    items = part.items()
    try:
        x, y, *sides = (int(_fraction(packet, item)) for item in items[:5])
        new = change.area(x, y, *sides)
    except ValueError:
        return False
    if len(sides) > 2:
        return False
    for item, value in zip(items, new, strict=True):
        packet.set(item, str(value))
    return True


def _density(other: Name, *, grows: bool) -> Rule:
    """A rule for pixels per length along one axis. `other` is the property of the other axis: they swap if turned."""

    def rule(packet: Packet, part: Part, change: Change) -> bool:
        turned = packet.find(other) if change.swapped else part
        with suppress(ValueError):
            factor = (change.across if part.name[1].endswith("XResolution") else change.down) if grows else 1
            value = _fraction(packet, turned) * factor
            if change.swapped or factor != 1:
                packet.set(part, f"{value.numerator}/{value.denominator}")
            return True
        return False

    return rule


def _scaled(side: str, *, whole: bool) -> Rule:
    """A rule for a number of pixels along the width or the height of an image that is not turned."""

    def rule(packet: Packet, part: Part, change: Change) -> bool:
        if change.orientation != 1:
            return False
        try:
            value = _fraction(packet, part) * (change.across if side == "width" else change.down)
        except ValueError:
            return False
        packet.set(part, str(round(value)) if whole else f"{float(value):.12g}")
        return True

    return rule


_SIZES = "the size of the image"
_REGIONS = "faces and other regions"
_SPHERE = "the panorama"
_DEPTH, _OTHERS = "a depth map", "other images, films or sounds in the file"
_FILM, _GAIN = "a film (motion photo)", "an HDR gain map"
_STORAGE = (
    "BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel", "PlanarConfiguration",
    "YCbCrSubSampling", "YCbCrPositioning",
)  # fmt: skip
_ACROSS = ("CroppedAreaImageWidthPixels", "FullPanoWidthPixels", "CroppedAreaLeftPixels")
_DOWN = ("CroppedAreaImageHeightPixels", "FullPanoHeightPixels", "CroppedAreaTopPixels")
_INTERIOR = "LargestValidInteriorRect"

RULES: dict[Name, tuple[str, Rule]] = {
    (TIFF, "Orientation"): (_SIZES, _upright),
    (TIFF, "ImageWidth"): (_SIZES, _width),
    (TIFF, "ImageLength"): (_SIZES, _height),
    (TIFF, "XResolution"): ("the resolution", _density((TIFF, "YResolution"), grows=False)),
    (TIFF, "YResolution"): ("the resolution", _density((TIFF, "XResolution"), grows=False)),
    **{(TIFF, name): ("", _gone) for name in _STORAGE},
    (EXIF, "PixelXDimension"): (_SIZES, _width),
    (EXIF, "PixelYDimension"): (_SIZES, _height),
    (EXIF, "SubjectArea"): ("the main subject's place", _place),
    (EXIF, "SubjectLocation"): ("the main subject's place", _place),
    **{
        (EXIF, f"FocalPlane{axis}Resolution"): (
            "the pixels of the sensor",
            _density((EXIF, f"FocalPlane{other}Resolution"), grows=True),
        )
        for axis, other in ("XY", "YX")
    },
    (EXIF, "CompressedBitsPerPixel"): ("", _gone),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"): ("", _gone),  # programs make them from the image
    ("http://purl.org/dc/elements/1.1/", "format"): ("", _gone),
    ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP"): ("", _gone),  # `read_metadata` has reported it
    ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions"): (_REGIONS, xmp_regions.mwg),
    ("http://ns.acdsee.com/regions/1.0/", "Regions"): (_REGIONS, xmp_regions.mwg),
    ("http://ns.microsoft.com/photo/1.2/t/Region#", "Rectangle"): (_REGIONS, xmp_regions.microsoft),
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "RegionBoundary"): (_REGIONS, xmp_regions.iptc),
    ("http://ns.apple.com/faceinfo/1.0/", "AngleInfoRoll"): ("the angles of faces", _if_upright),
    **{(_PANORAMA, name): (_SPHERE, _scaled("width", whole=True)) for name in _ACROSS},
    **{(_PANORAMA, name): (_SPHERE, _scaled("height", whole=True)) for name in _DOWN},
    **{(_PANORAMA, _INTERIOR + name): (_SPHERE, _scaled("width", whole=True)) for name in ("Left", "Width")},
    **{(_PANORAMA, _INTERIOR + name): (_SPHERE, _scaled("height", whole=True)) for name in ("Top", "Height")},
    (_PANORAMA, "*"): (_SPHERE, _if_upright),
    **{(_DRONE, name): ("the camera's calibration", _scaled("width", whole=False))
       for name in ("CalibratedFocalLength", "CalibratedOpticalCenterX")},
    (_DRONE, "CalibratedOpticalCenterY"): ("the camera's calibration", _scaled("height", whole=False)),
    (_DRONE, "DewarpData"): ("the camera's calibration", _gone),
    (_RAW, "*"): ("the settings of Camera Raw", _is_applied),
    **{(_CAMERA, name): (_FILM, _gone)
       for name in ("MotionPhoto", "MotionPhotoVersion", "MotionPhotoPresentationTimestampUs", "MicroVideo",
                    "MicroVideoVersion", "MicroVideoOffset", "MicroVideoPresentationTimestampUs")},
    ("http://ns.oppo.com/photos/1.0/camera/", "*"): (_FILM, _gone),
    ("http://ns.xiaomi.com/photos/1.0/camera/", "*"): (_OTHERS, _gone),
    (_GOOGLE + "container/", "*"): (_OTHERS, _gone),
    (_GOOGLE + "image/", "*"): (_OTHERS, _gone),
    (_GOOGLE + "depthmap/", "*"): (_DEPTH, _gone),
    ("http://ns.google.com/photos/dd/1.0/device/", "*"): (_DEPTH, _gone),
    ("http://ns.adobe.com/hdr-gain-map/1.0/", "*"): (_GAIN, _gone),
    ("http://ns.apple.com/HDRGainMap/1.0/", "*"): (_GAIN, _gone),
    ("http://ns.apple.com/depthData/1.0/", "*"): (_DEPTH, _gone),
}  # fmt: skip
"""For each namespace and name, where "*" means all other names: the subject to report, or "" to report nothing, and the
rule."""


def changed_xmp(xmp: bytes, change: Change) -> tuple[bytes, tuple[str, ...]]:
    """The packet corrected for the enlarged image, and the subjects of properties that were left out.

    Args:
        xmp: the packet in UTF-8.
        change: how the image is turned and enlarged.

    Raises:
        ValueError: the packet is damaged, or may be an attack.

    >>> changed_xmp(b'<x tiff:Orientation="6"/>', Change(6, 10, 20, 40, 20))
    (b'<x tiff:Orientation="1"/>', ())
    """
    packet, lost = Packet(xmp), dict[str, None]()
    for part in packet.root.below():
        about, rule = rule_of(part.name)
        if rule is not None and not rule(packet, part, change):
            packet.remove(part)
            lost[about] = None
    return packet.changed(), tuple(about for about in lost if about)


def rule_of(name: Name) -> tuple[str, Rule | None]:
    """The entry of `RULES` for a name."""
    return RULES.get(name) or RULES.get((name[0], "*")) or ("", None)


def xmp_orientation(xmp: bytes | None) -> int | None:
    """The orientation in a packet, which may be damaged; None without a valid one.

    >>> xmp_orientation(b"<x tiff:Orientation='6'/>"), xmp_orientation(b'<x tiff:Orientation="9"/>')
    (6, None)
    """
    if not xmp:
        return None
    try:
        packet = Packet(xmp)
    except ValueError:
        match = _ORIENTATION.search(xmp)
        return valid(int(match[1])) if match else None
    stated = packet.text(packet.find((TIFF, "Orientation")))
    return valid(int(stated)) if _DIGIT.fullmatch(stated) else None
