"""Read the metadata of a PNG from its chunks, without decoding.

Pillow finds chunks after the pixels only when it has decoded them, keeps only the last text of each keyword, and does
not read the Exif that old versions of ImageMagick store as text.
Source: the PNG specification (W3C, third edition), chapters 5 and 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.left_out import not_kept
from upsample_cli.images.codecs.png.colour import colour_space
from upsample_cli.images.codecs.png.structure import Structure, plain_png, structure_of, unused_kinds
from upsample_cli.images.codecs.png.texts import Budget, inflated, read_texts
from upsample_cli.images.limits import MAX_METADATA_BYTES
from upsample_cli.images.metadata.resolution import METRES_PER_INCH
from upsample_cli.images.model import ColourSpace

_USED = {
    b"tRNS", b"acTL", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"eXIf", b"sBIT",
    b"bKGD",
}  # fmt: skip
_IGNORED = {
    b"tIME",  # when the image was last changed: that is now
    b"hIST", b"sPLT",  # about a palette, which the output does not have
    b"iDOT",  # where Apple's decoder may start a second thread
}  # fmt: skip


class Animation(NamedTuple):
    """The number of frames of an animated PNG, how often they are played, and whether a still image precedes them."""

    frames: int
    plays: int
    has_still: bool


class Ancillary(NamedTuple):
    """The contents of the ancillary chunks.

    Args:
        pixels: a PNG without these chunks, for a decoder; it reads the file.
        exif: a TIFF structure.
        xmp: an XMP packet.
        text: keyword and value pairs in file order, without XMP, Exif and IPTC captions.
        iptc: captions, as IPTC-NAA records.
        icc_profile: an ICC profile.
        colour: the colour space that chunks other than an ICC profile state.
        dpi: dots per inch, (x, y).
        aspect: pixels per unit, (x, y), where the unit is not known.
        background: see `Metadata`; None if the image is opaque.
        animation: None for a still image.
        losses: the losses of damaged chunks, and of chunks that are not carried over.
        is_cut: whether the end of the file is missing, perhaps with pixels.
    """

    pixels: BinaryIO
    exif: bytes | None
    xmp: bytes | None
    text: tuple[tuple[str, str], ...]
    iptc: bytes | None
    icc_profile: bytes | None
    colour: ColourSpace | None
    dpi: tuple[float, float] | None
    aspect: tuple[int, int] | None
    background: tuple[float, ...] | None
    animation: Animation | None
    losses: tuple[Loss, ...]
    is_cut: bool


def read_ancillary(file: BinaryIO, name: str) -> Ancillary:
    """Read the ancillary chunks; damaged ones become losses. The file's position is moved.

    Raises:
        ImageError: see `structure_of`.
        MetadataError: decompressed, they exceed `limits.MAX_METADATA_BYTES`.
    """
    structure = structure_of(file, name)
    budget = Budget(MAX_METADATA_BYTES - structure.size_bytes)
    texts = read_texts(structure, budget)
    profile = _profile(structure, budget)
    dpi, aspect = _resolution(structure)
    animation, background = _animation(structure), _background(structure)
    losses = (*structure.losses, *_left_out(structure), *texts.losses)
    colour = colour_space(structure.data)
    return Ancillary(
        pixels=plain_png(file, structure), exif=texts.exif, xmp=texts.xmp, text=texts.others, iptc=texts.iptc,
        icc_profile=profile, colour=colour, dpi=dpi, aspect=aspect, background=background, animation=animation,
        losses=losses, is_cut=structure.is_cut,
    )  # fmt: skip


def _left_out(structure: Structure) -> Iterator[Loss]:
    """A loss for chunks that are neither carried over nor known to be useless."""
    bits, depth = structure.data.get(b"sBIT"), structure.head[8:9]
    if bits is not None and depth and any(bit != (8 if structure.colour_type == 3 else depth[0]) for bit in bits):
        text = "the number of significant bits (sBIT) is left out, because enlarging makes levels between them"
        yield Loss("metadata", text)
    yield from not_kept("chunks", unused_kinds(structure, {*_USED, *_IGNORED}))


def _background(structure: Structure) -> tuple[float, ...] | None:
    data = structure.data.get(b"bKGD")
    if data is None or (structure.colour_type < 4 and b"tRNS" not in structure.data):
        return None
    if structure.colour_type == 3:
        entry = (structure.palette or b"")[3 * data[0] : 3 * data[0] + 3]
        if len(entry) < 3:
            structure.lose(b"bKGD", "makes no sense")
        return tuple(level / 255 for level in entry) or None
    largest = (1 << structure.head[8]) - 1
    levels = (int.from_bytes(data[at : at + 2], "big") & largest for at in range(0, len(data), 2))
    return tuple(level / largest for level in levels)


def _resolution(structure: Structure) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    data = structure.data.get(b"pHYs")
    if data is None:
        return None, None
    across, down = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if data[8] == 1:
        return (across * METRES_PER_INCH, down * METRES_PER_INCH), None
    return None, (across, down) if across != down else None


def _animation(structure: Structure) -> Animation | None:
    data = structure.data.get(b"acTL")
    if data is None:
        if structure.controls > 1:
            structure.losses.append(
                Loss("frames", "frames are left out, because the chunk that counts them is missing")
            )
        return None
    announced, plays = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")
    count = min(announced, structure.controls)
    if announced != structure.controls:
        text = f"{announced} frames are announced, and {structure.controls} are there; {count} are read"
        structure.losses.append(Loss("frames", text))
    return Animation(count, plays, structure.has_still) if count > 1 or (structure.has_still and count) else None


def _profile(structure: Structure, budget: Budget) -> bytes | None:
    data = structure.data.get(b"iCCP")
    if data is None:
        return None
    profile = inflated(data.partition(b"\0")[2][1:], budget)
    if not profile:
        structure.lose(b"iCCP", "is damaged")
    return profile or None
