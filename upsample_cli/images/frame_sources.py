"""The frames of an animation as sources, one after the other. A damaged frame does not affect the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import BinaryIO

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.pillow_file import Opened, open_with_pillow
from upsample_cli.images.codecs.pillow_source import pillow_box
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.header import Header
from upsample_cli.images.interfaces import Source
from upsample_cli.images.limits import ANY_PIXELS
from upsample_cli.images.model import Frames, Rows
from upsample_cli.images.open_frames import animation_frames
from upsample_cli.images.orientation import TURNS
from upsample_cli.images.regions import ReadBox, RegionSource, box_of

NumberedFrame = tuple[int, tuple[Source, Fraction] | ImageError]
"""The number of a frame, counted from 1, and either (the frame, its duration in milliseconds) or the error."""


def source_of(header: Header, read_box: ReadBox, losses: Collection[Loss] = ()) -> RegionSource:
    """A source that gets the pixels of the image with this header from `read_box`, which may add losses."""
    return RegionSource(header.info, header.metadata, orientation=header.orientation, read_box=read_box, losses=losses)


def frame_sources(file: BinaryIO, frames: Frames, header: Header, opened: Opened, name: str) -> Iterator[NumberedFrame]:
    """All frames, composed.

    Args:
        file: the open file.
        frames: the frames that the header announces.
        header: header for each frame.
        opened: the file as Pillow opened it.
        name: name of the file in messages.

    Raises:
        ImageError: the file cannot be read any further.
    """
    return (_composed_sources if opened.format.name in {"png", "gif"} else _sources)(file, frames, header, opened, name)


def one_frame(file: BinaryIO, frames: Frames, header: Header, opened: Opened, name: str, frame: int) -> Source:
    """One frame, counted from 1.

    Raises:
        ImageError: the frame is damaged.
    """
    found = (source for number, source in frame_sources(file, frames, header, opened, name) if number == frame)
    source = next(found)
    if isinstance(source, ImageError):
        raise source
    return source[0]


def _sources(_file: BinaryIO, frames: Frames, header: Header, opened: Opened, name: str) -> Iterator[NumberedFrame]:
    """Frames as Pillow composes them. If one cannot be read, the rest is read from a copy without the damaged ones."""
    image, done = opened.image, 0
    try:
        with readable(name, opened.format):
            for duration_ms in animation_frames(image, 0, frames.count):
                done += 1
                yield done, (source_of(header, pillow_box(image, header.reading)), duration_ms)
        return
    except ImageError as error:
        fault = error
    from upsample_cli.images.codecs.mended import bad_frames, without_frames

    bad = [index for index in bad_frames(opened.pixels) if index >= done] if opened.format.name == "webp" else []
    if not bad:
        raise fault
    yield from ((index + 1, fault) for index in bad)
    image = open_with_pillow(without_frames(opened.pixels, bad), name, max_pixels=ANY_PIXELS).image
    kept = [index for index in range(done, frames.count) if index not in set(bad)]
    with readable(name, opened.format):
        for index, duration_ms in zip(kept, animation_frames(image, done, frames.count - len(bad)), strict=True):
            yield index + 1, (source_of(header, pillow_box(image, header.reading)), duration_ms)


def _composed_sources(
    file: BinaryIO, frames: Frames, header: Header, opened: Opened, name: str
) -> Iterator[NumberedFrame]:
    sides = header.info.height, header.info.width
    stored = sides[::-1] if TURNS[header.orientation].swapped else sides
    for number, frame in enumerate(_composed(file, frames, header, opened, name, stored), start=1):
        if isinstance(frame, ImageError):
            yield number, frame
        else:
            yield number, (source_of(header, box_of(frame[0])), frame[1])


def _composed(
    file: BinaryIO, frames: Frames, header: Header, opened: Opened, name: str, sides: tuple[int, int]
) -> Iterator[tuple[Rows, Fraction] | ImageError]:
    if opened.format.name == "gif":
        from upsample_cli.images.codecs import gif_composed

        return gif_composed.composed_frames(opened.pixels, name, frames, *sides)
    from upsample_cli.images.codecs.png.animation_reader import composed_frames

    has_profile = header.metadata.icc_profile is not None
    return composed_frames(file, name, frames, *sides, has_profile=has_profile)
