"""An image that a library decodes as a whole: its header, and how to decode it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from upsample_cli.errors import Loss
from upsample_cli.images.model import ColourSpace, Frames, Layout, Rows

BAND_ROWS = 256
"""Rows to convert at once where the conversion needs more bytes than its result."""

CheckSize = Callable[[int, int], None]
"""Refuses an image of (height, width) that is too large, before a library reads the file."""

Decode = Callable[[set[Loss]], Rows]
"""Decodes the image, and adds losses that its header does not announce. Decoders raise various errors."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The header of an image, and its decoder.

    Args:
        height, width: of the decoded image.
        layout: layout of the decoded image.
        decode: returns the pixels, (height, width, channels) in `layout`.
        mode: Pillow's name of the kind of pixels.
        info: the ICC profile, Exif, XMP and resolution, named as in Pillow's `info`.
        iptc, colour, aspect: see `images.model.Metadata`.
        losses: the losses that the header announces.
        lossless: whether the file stores its pixels without loss.
        frames: all images in the file; None for one.
        is_upright: the decoder applies the orientation, so that of Exif does not count.
        decoding_bytes: memory for decoding in addition to the decoded image.
    """

    height: int
    width: int
    layout: Layout
    decode: Decode
    mode: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    iptc: bytes | None = None
    colour: ColourSpace | None = None
    aspect: tuple[int, int] | None = None
    losses: tuple[Loss, ...] = ()
    lossless: bool = True
    frames: Frames | None = None
    is_upright: bool = False
    decoding_bytes: int = 0
