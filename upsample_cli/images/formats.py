"""Formats by name and by extension, and the limits of their files. No Pillow, no files."""

from __future__ import annotations

import os
from pathlib import Path

from upsample_cli.errors import ImageError, Setting, UsageError
from upsample_cli.images.format_table import FORMATS, Format
from upsample_cli.images.input_formats import READ_ONLY, ReadFormat, has_extra, read_only_format
from upsample_cli.images.model import Layout

__all__ = [
    "FORMATS",
    "Format",
    "check_output_size",
    "check_quality",
    "default_format",
    "format_named",
    "format_of_path",
    "is_input_name",
    "other_format",
    "read_format",
]

_RGB = Layout("rgb")
_BY_EXTENSION = {extension: fmt for fmt in FORMATS.values() for extension in fmt.extensions}

_OTHER_NAMES = """
    heics heifs avci jph jxr wdp hdp jls jxs exr pfm phm pcx dcx
    sgi rgb rgba bw ras ktx ktx2 icns xbm xpm wbmp dib flif bpg fits fit fts dcm djvu djv
    svg svgz eps ai wmf emf cdr xcf kra ora afphoto clip procreate
    3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f
"""
_OTHER_EXTENSIONS = frozenset(f".{name}" for name in _OTHER_NAMES.split())
"""Extensions of image formats that this package does not read: photographs, drawings, files of editors, camera raw."""


def format_of_path(path: str | Path) -> Format | None:
    """The format that belongs to a file name's extension, or None. No file is opened.

    >>> format_of_path("Holiday.JPG").name
    'jpeg'
    >>> format_of_path("notes.txt") is None
    True
    """
    return _BY_EXTENSION.get(_extension(path))


def _extension(path: str | Path) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122  called for each file of a batch; a Path is slow


def is_input_name(path: str | Path) -> bool:
    """Whether a file has the extension of a format that is read here. HEIC is, if the extra package is there.

    >>> is_input_name("a.JPG"), is_input_name("a.tga"), is_input_name("a.svg"), is_input_name("notes.txt")
    (True, True, False, False)
    """
    extension = _extension(path)
    return extension in _BY_EXTENSION or _is_read_only(extension)


def _is_read_only(extension: str) -> bool:
    fmt = read_only_format(extension)
    return fmt is not None and (fmt.name != "heic" or has_extra())


def other_format(path: str | Path) -> str | None:
    """The extension of an image in a format that is not read here; None for any other file.

    >>> other_format("logo.SVG"), other_format("a.png"), other_format("notes.txt")
    ('.svg', None, None)
    """
    extension = _extension(path)
    is_known = extension in _OTHER_EXTENSIONS or read_only_format(extension) is not None
    return extension if is_known and not _is_read_only(extension) else None


def read_format(name: str) -> ReadFormat:
    """The format with a name, as in `ImageInfo.format`."""
    return FORMATS.get(name) or READ_ONLY[name]


def default_format(name: str, layout: Layout) -> Format:
    """The format of an output if the user does not choose one: that of the input.

    For an input that is only read, it is PNG, or TIFF for pixels that PNG cannot hold: nothing is lost.

    Args:
        name: format of the input.
        layout: layout of the input.

    >>> [default_format(*of).name for of in (("gif", _RGB), ("heic", _RGB), ("hdr", Layout("rgb", depth=32)))]
    ['gif', 'png', 'tiff']
    """
    return FORMATS.get(name) or FORMATS["png" if layout in FORMATS["png"].layouts else "tiff"]


def format_named(name: str) -> Format:
    """The format with a name or an extension as a user types it.

    Raises:
        UsageError: the format does not exist; the message lists the formats.

    >>> format_named("JPG") is format_named("jpeg") is format_named(".jpeg")
    True
    """
    key = name.strip().lower()
    found = FORMATS.get(key) or _BY_EXTENSION.get("." + key.removeprefix("."))
    if found is None:
        read_only = READ_ONLY.get(key) or read_only_format("." + key.removeprefix("."))
        cause = (
            f"no image format is called {name!r}" if read_only is None else f"{read_only.title} is read and not written"
        )
        raise UsageError(cause, "choose one of " + ", ".join(FORMATS))
    return found


def check_output_size(
    path: str | os.PathLike[str], fmt: Format, height: int, width: int, layout: Layout = _RGB
) -> None:
    """Refuse an image that its output format cannot hold, before any work on it.

    Args:
        path: path of the output, for the message.
        fmt: the output format.
        height: rows of the output.
        width: columns of the output.
        layout: layout of the output; it is used only for limits in bytes.

    Raises:
        ImageError: the image exceeds a limit; the message names it, and a format that can hold the image.

    >>> check_output_size("a.webp", FORMATS["webp"], 10_000, 16_384)
    Traceback (most recent call last):
    upsample_cli.errors.ImageError: a.webp: WebP holds at most 16383 pixels a side, not 16384×10000; write PNG or TIFF
    """
    cause = _limit_passed(fmt, height, width, layout)
    if cause is None:
        return
    larger = (FORMATS["png"], FORMATS["tiff"])
    titles = [other.title for other in larger if _limit_passed(other, height, width, layout) is None]
    smaller = ("choose a smaller ", Setting("factor"))
    raise ImageError(path, cause, "write " + " or ".join(titles) if titles else smaller, kind="cannot-hold")


def _limit_passed(fmt: Format, height: int, width: int, layout: Layout) -> str | None:
    if max(height, width) > fmt.max_side:
        return f"{fmt.title} holds at most {fmt.max_side} pixels a side, not {width}×{height}"
    if fmt.max_pixels is not None and height * width > fmt.max_pixels:
        return f"{fmt.title} holds at most {fmt.max_pixels} pixels, not {width}×{height} = {height * width}"
    size_bytes = height * (width * layout.channels * layout.depth // 8 + 3)
    if fmt.max_bytes is not None and size_bytes > fmt.max_bytes:
        return f"{fmt.title} files end at 4 GiB, and {width}×{height} pixels take {size_bytes / 2**30:.1f} GiB"
    return None


def check_quality(fmt: Format, quality: int | None) -> None:
    """Refuse a `quality` that a format does not have.

    Raises:
        UsageError: the format does not have this quality; the message names its range.

    >>> check_quality(FORMATS["png"], 6)
    >>> check_quality(FORMATS["png"], 95)
    Traceback (most recent call last):
    upsample_cli.errors.UsageError: quality 95 is not one of PNG's; give 0 to 9
    """
    if quality is None:
        return
    if fmt.quality_range is None:
        raise UsageError(f"{fmt.title} has no quality to choose", ("leave ", Setting("quality"), " out"))
    least, greatest = fmt.quality_range
    if not least <= quality <= greatest:
        raise UsageError(f"quality {quality} is not one of {fmt.title}'s", f"give {least} to {greatest}")
