"""Find the format of a file from its first bytes."""

from __future__ import annotations

import re

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.raw import DEVELOP, RAW_MAGIC
from upsample_cli.images.codecs.readable import CONVERT, COPY
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.formats import read_format
from upsample_cli.images.input_formats import READ_ONLY, ReadFormat

HEAD_BYTES = 4096
"""Bytes from the start of a file: enough for its format, the size of a WebP, and the codec of HEIF."""

# Offset, bytes, format. Only the decoder of that format is loaded.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (0, b"\xff\x0a", "jxl"),
    (0, b"\0\0\0\x0cJXL ", "jxl"),
    *((0, b"P%d%c" % (kind, space), "pnm") for kind in range(1, 8) for space in b" \t\r\n#"),
    (4, b"jP  \r\n\x87\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"8BPS", "psd"),
    (0, b"qoif", "qoi"),
    (0, b"DDS \x7c\0\0\0", "dds"),
    (0, b"#?RADIANCE", "hdr"),
    (0, b"#?RGBE", "hdr"),
)
_EXR = CONVERT.replace("PNG, TIFF or JPEG", "TIFF") + ", for example with oiiotool (floating point is kept)"
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"v/1\x01", "OpenEXR", _EXR),
    (0, b"%PDF", "PDF", CONVERT),
    (0, b"<svg", "SVG", CONVERT),
    *((0, magic, f"a camera's RAW ({kind})", DEVELOP) for magic, kind in RAW_MAGIC.items()),
)


# Brands of ISO base media files (ISO/IEC 14496-12, 23008-12): the kind of file, and the next step for the user.
_VIDEO = "save one of its frames as an image first, for example with ffmpeg"
_PHOTO = CONVERT + ", for example with heif-convert or ImageMagick"
_BRANDS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"avci", b"avcs"), "HEIF with H.264", _PHOTO),
    ((b"vvic", b"vvis", b"vvc1"), "HEIF with H.266", _PHOTO),
    ((b"evbi", b"evbs", b"evmi", b"evms"), "HEIF with EVC", _PHOTO),
    ((b"jpeg", b"jpgs"), "HEIF with JPEG", _PHOTO),
    ((b"j2ki", b"j2is", b"j2k1"), "HEIF with JPEG 2000", _PHOTO),
    ((b"unif", b"unci"), "HEIF of uncompressed pixels", _PHOTO),
    ((b"crx ",), "a camera's RAW (CR3)", DEVELOP),
    ((b"jp2 ", b"jpx ", b"jpm ", b"jph ", b"mjp2"), "JPEG 2000", CONVERT),
    ((b"jxl ",), "JPEG XL", CONVERT),
    ((b"mif1", b"mif2", b"msf1", b"miaf"), "HEIF", _PHOTO),
    ((b"qt  ",), "a QuickTime video", _VIDEO),
    (
        (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"M4V ", b"3gp4", b"3gp5"),
        "an MP4 video",
        _VIDEO,
    ),
    ((b"M4A ", b"M4B "), "a sound file (M4A)", "check its name"),
)
_AVIF_BRANDS, _AVIF_ITEM = {b"avif", b"avis"}, b"av01"
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"hvc1", b"hev1"}
_ONLY_HEIF = {b"mif1", b"mif2", b"msf1", b"miaf", b"MiHB", b"MiHA", b"MiHE", b"MiPr"}
_ITEM_KINDS = rb"(?s)infe[\x02\x03].{3}(?:.{2}|.{4})\0\0([a-zA-Z0-9]{4})"


def _iso_media(head: bytes, name: str) -> ReadFormat:
    """AVIF or HEIC, if the brands say so, or the items if the brands are not specific.

    Raises:
        ImageError: the file is neither.
    """
    end = min(max(16, int.from_bytes(head[:4], "big")), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    names = [*brands, *re.findall(_ITEM_KINDS, head)] if set(brands) <= _ONLY_HEIF else brands
    if not _AVIF_BRANDS.isdisjoint(brands) or _AVIF_ITEM in names:
        return FORMATS["avif"]
    if not _HEIC_BRANDS.isdisjoint(names):
        return READ_ONLY["heic"]
    for known, title, next_step in _BRANDS:
        if not set(known).isdisjoint(names):
            raise ImageError(name, f"is {title}, which is not supported", next_step, kind="unsupported")
    brand = brands[0].decode("latin-1").strip()
    cause = f"is a media file of the brand {brand!r}, which is not supported"
    raise ImageError(name, cause, "check the file, or " + CONVERT, kind="unsupported")


def format_of_content(head: bytes, name: str) -> ReadFormat:
    """The format that a file's first `HEAD_BYTES` bytes announce. For TGA, its name must say so too.

    Raises:
        ImageError: the format is not supported.
    """
    if not head:
        raise ImageError(name, "is empty", COPY, kind="not-an-image")
    for at, magic, known in _MAGIC:
        if head.startswith(magic, at):
            return read_format(known)
    if head[4:8] == b"ftyp":
        return _iso_media(head, name)
    for at, magic, title, next_step in _FOREIGN:
        if head.startswith(magic, at):
            raise ImageError(name, f"is {title}, which is not supported", next_step, kind="unsupported")
    if is_icon(head):
        return READ_ONLY["ico"]
    if name.lower().endswith(READ_ONLY["tga"].extensions) and is_targa(head):
        return READ_ONLY["tga"]
    titles = ", ".join(fmt.title for fmt in (*FORMATS.values(), *READ_ONLY.values()))
    cause = f"is not an image in a format we know ({titles})"
    raise ImageError(name, cause, "check the file, or " + CONVERT, kind="not-an-image")


def is_icon(head: bytes) -> bool:
    """Whether a file begins like an ICO or CUR. Many TGA have the same first four bytes, and differ after them."""
    count = int.from_bytes(head[4:6], "little")
    return head[:4] in {b"\0\0\1\0", b"\0\0\2\0"} and count > 0 and head[9:10] == b"\0"


def is_targa(head: bytes) -> bool:
    """Whether a file begins like a TGA, which has no magic: the fields of its header must have possible values."""
    kind, has_map, map_bits, bits = head[2:3], head[1:2], head[7:8], head[16:17]
    is_mapped = kind in {b"\1", b"\x09"}
    return (
        len(head) > 18
        and kind in {b"\1", b"\2", b"\3", b"\x09", b"\x0a", b"\x0b"}
        and (has_map == b"\1" and map_bits in {b"\x0f", b"\x10", b"\x18", b"\x20"} if is_mapped else has_map == b"\0")
        and bits in {b"\x08", b"\x0f", b"\x10", b"\x18", b"\x20"}
        and head[12:14] != b"\0\0" != head[14:16]
        and head[17] < 0x40  # interleaved rows are not used
    )


def is_tiff(head: bytes) -> bool:
    """Whether a file begins like a TIFF."""
    return any(head.startswith(magic) for _, magic, known in _MAGIC if known == "tiff")
