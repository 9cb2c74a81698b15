"""Open an image of a format that is only read. It is decoded when its first row is read."""

from __future__ import annotations

import struct
from dataclasses import replace
from importlib import import_module
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.readable import readable, readable_box
from upsample_cli.images.codecs.whole.model import Whole
from upsample_cli.images.input_formats import ReadFormat
from upsample_cli.images.limits import check_pixels
from upsample_cli.images.metadata.reading import read_metadata
from upsample_cli.images.model import ImageInfo, Rows
from upsample_cli.images.orientation import TURNS
from upsample_cli.images.regions import ReadBox, RegionSource


def open_whole(file: BinaryIO, name: str, fmt: ReadFormat, *, max_pixels: int, is_one: bool) -> RegionSource:
    """A source for the image in `file`. Only the header is read.

    Args:
        file: a seekable file at its start; it must stay open until the source is closed.
        name: name of the file in messages.
        fmt: its format, one of `READ_ONLY`.
        max_pixels: larger images are refused.
        is_one: the other images in the file are ignored.

    Raises:
        ImageError: the image is damaged, too large, or of a kind that is not supported.
    """

    def check_size(height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise ValueError("no pixels")
        check_pixels(name, height, width, max_pixels)

    with readable(name, fmt):
        module = import_module(f"upsample_cli.images.codecs.whole.{fmt.name}")
        try:
            found: Whole = module.read_header(file, name, check_size)
        except (struct.error, IndexError) as error:
            raise ValueError("truncated") from error
        check_size(found.height, found.width)
        return _source(found, file, name, fmt, is_one)


def _source(found: Whole, file: BinaryIO, name: str, fmt: ReadFormat, is_one: bool) -> RegionSource:
    stored = found.height, found.width
    carried = read_metadata(found, file, fmt.name, stored=stored)  # type: ignore[arg-type]  # has all attributes that it reads
    orientation = 1 if found.is_upright else carried.orientation
    height, width = stored[::-1] if TURNS[orientation].swapped else stored
    losses, has_profile = set[Loss](), carried.metadata.icc_profile is not None
    info = ImageInfo(
        format=fmt.name,
        height=height,
        width=width,
        layout=found.layout,
        losses=(*found.losses, *carried.losses),
        lossless=found.lossless,
        frames=None if is_one else found.frames,
        decoding_bytes=found.decoding_bytes,
        orientation=orientation,
        states_colours=has_profile or found.colour is not None,
    )
    metadata = replace(
        carried.metadata, iptc=found.iptc, colour=None if has_profile else found.colour, aspect=found.aspect
    )
    read_box = readable_box(_decoded_once(found, losses), name, fmt)
    return RegionSource(info, metadata, orientation=orientation, read_box=read_box, losses=losses)


def _decoded_once(found: Whole, losses: set[Loss]) -> ReadBox:
    decoded: list[Rows] = []

    def read_box(top: int, bottom: int, left: int, right: int) -> Rows:
        if not decoded:
            with quiet_pillow():
                rows = found.decode(losses)
            if rows.shape != (found.height, found.width, found.layout.channels) or rows.dtype != found.layout.dtype:
                raise ValueError("the decoder and the header disagree")
            decoded.append(rows)
        box: Rows = decoded[0][top:bottom, left:right]
        return box

    return read_box
