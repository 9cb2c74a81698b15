"""The format of a file, by its first bytes."""

from __future__ import annotations

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.readable import CONVERT, COPY
from upsample_cli.images.format_table import FORMATS, Format

HEAD_BYTES = 32
"""From the start of a file: enough to know its format, and the size of a WebP."""

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
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftypmif1", "avif"),
    (0, b"BM", "bmp"),
    *((0, b"P%d%c" % (kind, space), "pnm") for kind in range(1, 8) for space in b" \t\r\n#"),
)
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)


def format_of_content(head: bytes, name: str) -> Format:
    """The format that a file's first 32 bytes announce.

    Raises:
        ImageError: the format is not supported.
    """
    if not head:
        raise ImageError(name, "is empty", COPY, kind="not-an-image")
    for at, magic, known in _MAGIC:
        if head.startswith(magic, at):
            return FORMATS[known]
    for at, magic, title in _FOREIGN:
        if head.startswith(magic, at):
            raise ImageError(name, f"is {title}, which is not supported", CONVERT, kind="unsupported")
    titles = ", ".join(fmt.title for fmt in FORMATS.values())
    cause = f"is not an image in a format we know ({titles})"
    raise ImageError(name, cause, "check the file, or " + CONVERT, kind="not-an-image")


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as TIFF does."""
    return any(head.startswith(magic) for _, magic, known in _MAGIC if known == "tiff")
