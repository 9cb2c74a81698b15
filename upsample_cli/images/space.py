"""Check disk space before work starts: compare the smallest possible size of an output with the free space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from upsample_cli.errors import FREE_SPACE, ImageError
from upsample_cli.images.format_table import Format
from upsample_cli.images.model import Frames, Layout

_DEFLATE_AT_MOST = 1032
"""The most bytes per byte of a file. Deflate uses at least 2 bits for 258 bytes (RFC 1951: a length and a distance of
one bit each). JPEG uses far more: at least 4 bits for 64 bytes (T.81, K.3: the codes of an empty chroma block).
"""


def least_file_bytes(fmt: Format, height: int, width: int, layout: Layout, quality: int | None = None) -> int:
    """A lower bound of the size of a file for any pixels; 0 if no bound is known for its encoder.

    For uncompressed pixels (BMP, PNM, and PNG and TIFF with quality 0) it is exact, except for the header.

    >>> from upsample_cli.images.format_table import FORMATS
    >>> [least_file_bytes(FORMATS["tiff"], 1000, 1000, Layout("rgb"), level) for level in (0, 1)]
    [3000000, 2906]
    """
    pixel_bytes = height * width * layout.channels * layout.depth // 8
    if fmt.name in {"bmp", "pnm"} or (fmt.streams and quality == 0):
        return pixel_bytes
    return pixel_bytes // _DEFLATE_AT_MOST if fmt.streams else 0


def free_bytes(path: str | Path) -> int | None:
    """Free bytes on the disk of a file or folder, which need not exist yet; None if unknown."""
    try:
        return shutil.disk_usage(_existing_folder(path)).free
    except OSError:
        return None


def least_output_bytes(
    fmt: Format,
    height: int,
    width: int,
    layout: Layout,
    *,
    frames: Frames | None = None,
    factor: int = 1,
    quality: int | None = None,
) -> int:
    """`least_file_bytes` for all frames or pages of an output.

    Args:
        fmt, height, width, layout, quality: as for `least_file_bytes`, for the first image.
        frames: the frames of the input that will be written; None for the first image only.
        factor: how many times each side is enlarged. It is used for pages, of which only the number of pixels is known.

    >>> from upsample_cli.images.format_table import FORMATS
    >>> film = Frames(10, "animation", Layout("rgb"))
    >>> least_output_bytes(FORMATS["png"], 100, 100, Layout("rgb"), frames=film, quality=0)
    300000
    """
    first = least_file_bytes(fmt, height, width, layout, quality)
    if frames is None:
        return first
    if frames.kind == "animation":
        return first * frames.count
    others = max(frames.pixels * factor**2 - height * width, 0)
    return first + least_file_bytes(fmt, 1, others, Layout("grey"), quality)


def check_space(output: Path, needed_bytes: int, free: Callable[[str], int | None] = free_bytes) -> None:
    """Refuse an output that certainly exceeds the free space. If the free space is unknown, the output is accepted.

    Args:
        output: path of the output.
        needed_bytes: lower bound of its size.
        free: `free_bytes`, or a cached version of it.

    Raises:
        ImageError: the free space is too small; the message says how much is needed and how much is free.
    """
    if not needed_bytes:
        return
    there = free(os.path.dirname(output))  # noqa: PTH120  a Path is slow
    if there is not None and needed_bytes > there:
        cause = f"takes at least {size_text(needed_bytes)}, and {size_text(there)} are free there"
        raise ImageError(output, cause, FREE_SPACE, kind="no-space")


def disk_of(path: Path) -> int | None:
    """A number that is the same for all outputs on the same disk; None if unknown."""
    try:
        return _existing_folder(path).stat().st_dev
    except OSError:
        return None


def _existing_folder(path: str | Path) -> Path:
    """The path, if it is a folder, or its nearest existing parent folder."""
    target = Path(os.path.realpath(path))
    return next((folder for folder in (target, *target.parents) if folder.is_dir()), target)


def size_text(size_bytes: int) -> str:
    """A size for people.

    >>> size_text(10_800_000_000), size_text(2048)
    ('10.1 GiB', '2.0 KiB')
    """
    size, unit = float(size_bytes), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
