"""Image descriptions of TIFF that contain sizes, scales or counts, and their correction for an enlarged image.

Most descriptions are words for people, and are kept. The following are data of a program, and would be wrong for a
larger image:

- OME-XML: sizes and the physical size of a pixel are rewritten. It is left out if other values in it would be wrong.
- ImageJ: lengths in pixels are rewritten. Its scale is in the resolution tags, which `tiff_tags` corrects.
- tifffile's shape: left out, because it repeats the directory.
- the others in `_LEFT_OUT`: left out.

Source: OME data model 2016-06; ImageJ 1.53, `TiffDecoder` and `FileInfo`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_HEAD_BYTES = 4096
_MOST_BYTES = 4 << 20

_SHAPE = re.compile(rb'\{"shape": ?\[[0-9, ]*\](?:, "axes": "\w*")?\}\0*')
_IMAGEJ_PIXELS = re.compile(rb"^([xy])origin=([-+.\deE]+)$", re.MULTILINE)
_IMAGEJ_IMAGES = re.compile(rb"^images=(\d{1,9})$", re.MULTILINE)
_OME = re.compile(rb"<(?:\w+:)?OME[\s>]")
_PIXELS = re.compile(rb"<(?:\w+:)?Pixels\s[^<>]*>")
_ATTRIBUTE = rb'(?<=\s)%b="([^"<>]*)"'
_UUID_ELEMENTS = re.compile(rb"<(?:\w+:)?UUID(?:\s[^<>]*)?>([^<>]*)</(?:\w+:)?UUID>")
_UUID = re.compile(rb'\sUUID="[^"<>]*"')
_OME_IN_PIXELS = re.compile(rb"<(?:\w+:)?(?:ROI|Shape|Union|Mask|BinaryOnly|BinData)[\s>/]")
_OME_TYPES = {b"uint8": (8, 1), b"uint16": (16, 1), b"float": (32, 3)}

_LEFT_OUT: tuple[tuple[bytes, str], ...] = (
    (b"Aperio ", "Aperio's description of the slide"),
    (b"<scn", "Leica's description of the slide"),
    (b"<PerkinElmer-QPI", "the description of PerkinElmer's QPTIFF"),
    (b"DPUfsImport", "Philips's description of the slide"),
    (b"<MetaData", "MetaMorph's description"),
    (b"SCANIMAGE", "ScanImage's description"),
)


class Stored(NamedTuple):
    """Size and pixel type of an image, from its directory, and the number of pages of the file."""

    height: int
    width: int
    bits: int
    sample_format: int
    samples: int
    pages: int


class Description(NamedTuple):
    """A description that is data of a program.

    Args:
        title: its name in a warning.
        problem: why it is left out; empty if it can be rewritten, None if leaving it out loses nothing.
        pages: the number of pages that it describes.
        scales: whether the resolution tags are the physical scale of the image, not the size of its print.
        enlarged: rewrites the text for an image that is `down` times as high and `across` times as wide.
    """

    title: str
    problem: str | None = ""
    pages: int = 1
    scales: bool = False
    enlarged: Callable[[bytes, float, float], bytes] | None = None


def description_of(text: bytes, stored: Stored) -> Description | None:
    """Recognize a description that is data; None for words, which do not change."""
    head = text[:_HEAD_BYTES]
    if head.startswith(b'{"shape":'):
        is_bare = _SHAPE.fullmatch(text) is not None
        return Description("tifffile's description", None if is_bare else "it states the size of the image")
    if head.startswith(b"ImageJ="):
        match = _IMAGEJ_IMAGES.search(text)
        count = int(match[1]) if match else 1
        problem = "" if count == stored.pages else f"it describes {count} pages, and {stored.pages} can be read"
        return Description("ImageJ's description", problem, stored.pages, True, _imagej_enlarged)
    if _OME.search(head):
        return Description("its OME-XML", _ome_problem(text, stored), stored.pages, False, _ome_enlarged)
    for mark, title in _LEFT_OUT:
        if mark in head:
            return Description(title, "it states sizes that change")
    return None


def is_data(text: bytes) -> bool:
    """Whether a description is data of a program, not words."""
    return description_of(text[:_HEAD_BYTES], Stored(0, 0, 0, 0, 0, 0)) is not None


def _imagej_enlarged(text: bytes, down: float, across: float) -> bytes:
    def scaled(match: re.Match[bytes]) -> bytes:
        try:
            origin = float(match[2]) * (across if match[1] == b"x" else down)
            return b"%borigin=%b" % (match[1], _number(origin))
        except (ValueError, OverflowError):
            return match[0]

    return _IMAGEJ_PIXELS.sub(scaled, text)


def _ome_problem(text: bytes, stored: Stored) -> str:
    """Why OME-XML cannot be rewritten; empty if it can."""
    tags = _PIXELS.findall(text[:_MOST_BYTES])
    if len(text) > _MOST_BYTES or len(tags) != 1:
        return "it describes several images" if len(tags) > 1 else "it cannot be read"
    if _OME_IN_PIXELS.search(text):
        return "it marks regions in pixels, or refers to other data"
    if len(set(_UUID_ELEMENTS.findall(text))) > 1:
        return "it refers to other files"
    width, height, depth, channels, times = (_whole(tags[0], b"Size" + axis) for axis in (b"X", b"Y", b"Z", b"C", b"T"))
    if (width, height) != (stored.width, stored.height) or depth * channels * times != stored.pages * stored.samples:
        return "it describes an image of another size"
    kind = _attribute(tags[0], b"Type")
    if _OME_TYPES.get(kind) != (stored.bits, stored.sample_format):
        return "the pixels are read as another type than it states"
    return ""


def _ome_enlarged(text: bytes, down: float, across: float) -> bytes:
    """Multiply sizes by the factors, divide physical sizes by them, and remove the original's file names."""

    def scaled(match: re.Match[bytes]) -> bytes:
        tag = match[0]
        for axis, factor in ((b"X", across), (b"Y", down)):
            tag = _times(tag, b"Size" + axis, factor, is_whole=True)
            tag = _times(tag, b"PhysicalSize" + axis, 1 / factor)
        return tag

    return _UUID.sub(b"", _UUID_ELEMENTS.sub(b"", _PIXELS.sub(scaled, text)))


def _times(tag: bytes, name: bytes, factor: float, *, is_whole: bool = False) -> bytes:
    """The tag with one attribute multiplied by a factor."""

    def changed(match: re.Match[bytes]) -> bytes:
        try:
            value = float(match[1]) * factor
            return b'%b="%b"' % (name, _number(round(value) if is_whole else value))
        except (ValueError, OverflowError):
            return match[0]

    return re.sub(_ATTRIBUTE % name, changed, tag)


def _number(value: float) -> bytes:
    return (f"{value:.0f}" if value == int(value) else repr(value)).encode()


def _attribute(tag: bytes, name: bytes) -> bytes:
    match = re.search(_ATTRIBUTE % name, tag)
    return match[1] if match else b""


def _whole(tag: bytes, name: bytes) -> int:
    value = _attribute(tag, name)
    return int(value) if value.isdigit() and len(value) < 10 else 0
