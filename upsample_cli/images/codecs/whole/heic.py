"""HEIC and other HEIF coded in HEVC, decoded by libheif through pillow-heif, which is an extra.

libheif turns, mirrors and crops the image as the file asks (irot, imir, clap), so the orientation in Exif, which a HEIF
has for information only, does not count. Source: ISO/IEC 23008-12.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.avif import boxes_in, check_lists
from upsample_cli.images.codecs.avif_items import avif_parts
from upsample_cli.images.codecs.readable import REDUCE
from upsample_cli.images.codecs.whole.model import CheckSize, Whole
from upsample_cli.images.input_formats import EXTRA
from upsample_cli.images.limits import check_coded_bytes
from upsample_cli.images.metadata.exif import without_orientation, without_prefix
from upsample_cli.images.model import Colour, Depth, Frames, Layout, Rows

_MODES: dict[str, tuple[Colour, bool]] = {
    "L": ("grey", False), "I": ("grey", False), "LA": ("grey", True), "La": ("grey", True),
    "RGB": ("rgb", False), "RGBA": ("rgb", True), "RGBa": ("rgb", True),
}  # fmt: skip
_PREMULTIPLIED = {"La", "RGBa"}
_SIZE_PATH = (b"meta", b"iprp", b"ipco", b"ispe")


def read_header(file: BinaryIO, name: str, check_size: CheckSize) -> Whole:
    """The primary image in `file`.

    Raises:
        ImageError: pillow-heif is not installed, or the image is damaged or of a kind that is not supported.
    """
    check_lists(file, name)
    size_bytes, pixels = file.seek(0, os.SEEK_END), 0
    for size in _coded_sizes(file, _SIZE_PATH, 0, size_bytes):
        check_size(*size)  # libheif refuses pixels that exceed them, but not a crop of many
        pixels += size[0] * size[1]
    check_coded_bytes(name, size_bytes, pixels)  # pillow-heif reads the whole file
    image, count = _opened(file, name)
    width, height = image.size
    check_size(height, width)
    kind, _, bits = image.mode.partition(";")
    if kind not in _MODES:
        cause = f"holds pixels of kind {image.mode}, which is not supported"
        raise ImageError(name, cause, REDUCE, kind="unsupported")
    colour, alpha = _MODES[kind]
    depth: Depth = 16 if bits else 8
    layout = Layout(colour, alpha, depth)

    def decode(losses: set[Loss]) -> Rows:
        return _decoded(image, layout, int(bits or 8), kind in _PREMULTIPLIED, losses)

    parts = avif_parts(file, crops=True)
    exif = image.info.get("exif")
    info = {"icc_profile": image.info.get("icc_profile"), "xmp": image.info.get("xmp"), "exif": exif and _upright(exif)}
    return Whole(
        height,
        width,
        layout,
        decode,
        info={key: value for key, value in info.items() if value},
        colour=parts.colour,
        aspect=parts.aspect,
        losses=parts.losses,
        lossless=False,
        frames=Frames(count, "views") if count > 1 else None,
        is_upright=True,
        decoding_bytes=height * width * layout.channels * depth // 8,  # the planes before they become RGB; measured
    )


def _coded_sizes(file: BinaryIO, path: tuple[bytes, ...], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Height and width of every coded image, before they are cropped and turned."""
    for kind, at, stop in boxes_in(file, start, end):
        if kind != path[0]:
            continue
        if len(path) > 1:
            yield from _coded_sizes(file, path[1:], at + 4 * (kind == b"meta"), stop)
        else:
            file.seek(at + 4)
            width, height = struct.unpack(">II", file.read(8))
            yield height, width


def _opened(file: BinaryIO, name: str) -> tuple[Any, int]:
    """The primary image as pillow-heif opens it, and the number of images."""
    try:
        import pillow_heif
    except ImportError as error:
        cause = "is HEIC, which needs pillow-heif"
        raise ImageError(name, cause, f"{EXTRA}, or convert it first", kind="no-package") from error
    file.seek(0)
    images = pillow_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return images[images.primary_index], len(images)


def _decoded(image: Any, layout: Layout, bits: int, is_premultiplied: bool, losses: set[Loss]) -> Rows:
    import numpy as np

    from upsample_cli.images.codecs.levels import make_straight, scaled

    stored = np.asarray(image)
    rows: Rows = scaled(stored.reshape(*stored.shape[:2], -1), bits).astype(layout.dtype, copy=False)
    if is_premultiplied:
        rows = rows.copy()
        make_straight(rows, losses)
    return rows


def _upright(exif: bytes) -> bytes | None:
    """The block without its orientation; unchanged if it is damaged, which `read_metadata` reports."""
    block = without_prefix(exif)
    try:
        return without_orientation(block)
    except ValueError:
        return block
