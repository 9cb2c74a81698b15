"""What an image is to this package: plain data, and the two interfaces that rows flow through.

Rows are numpy arrays of shape `(rows, width, channels)`, uint8, uint16 or float32 as `Layout.depth` says. Channels
come in the order grey, or red green blue, or cyan magenta yellow key, or L* a* b* (see `lab.py`), then alpha (straight,
not premultiplied) where there is one. No torch, no Pillow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

from upsample_cli.errors import Loss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rows: TypeAlias = "NDArray[Any]"
Colour = Literal["grey", "rgb", "cmyk", "cielab", "icclab"]
Depth = Literal[8, 16, 32]
FramesKind = Literal["animation", "pages", "views"]
LAB_COLOURS: frozenset[Colour] = frozenset({"cielab", "icclab"})

_COLOUR_CHANNELS: dict[Colour, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "cielab": 3, "icclab": 3}
_DTYPES: dict[Depth, str] = {8: "uint8", 16: "uint16", 32: "float32"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the numbers of one pixel mean.

    Args:
        colour: the colour model of the channels before alpha.
        alpha: whether a last channel holds (straight) opacity.
        depth: bits of each channel: 8 or 16 for whole numbers, 32 for floating point, where 0 to 1 is black to white.

    >>> Layout("rgb", alpha=True).channels
    4
    """

    colour: Colour
    alpha: bool = False
    depth: Depth = 8

    @property
    def channels(self) -> int:
        """Numbers in one pixel, alpha included."""
        return _COLOUR_CHANNELS[self.colour] + self.alpha

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of one number, in native byte order."""
        import numpy as np  # a plan, a help text and an error in the options need none

        return np.dtype(_DTYPES[self.depth])


class TiffTags(Protocol):
    """Tags that only TIFF holds: `metadata.own_tags.OwnTags`."""

    @property
    def fields(self) -> Sequence[Any]:
        """As stored, for `ifd_write`."""
        ...

    @property
    def order(self) -> str:
        """Of their bytes: "<" or ">"."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of their values."""
        ...

    @property
    def describe_pages(self) -> bool:
        """Whether they are about other pages too."""
        ...

    def enlarged(self, height: int, width: int) -> Self:
        """The tags of the image at that size."""
        ...

    def of_one_page(self) -> tuple[Self, list[Loss]]:
        """For one page as an image of its own, and what is lost."""
        ...

    def held(self, layout: Layout, made: Layout, other_format: str | None) -> tuple[Self | None, list[Loss]]:
        """What of them an output of the layout `made` holds, and what is lost.

        Args:
            layout: of the image.
            other_format: the title of the output's format, if it is not TIFF.
        """
        ...


@dataclass(frozen=True, slots=True)
class Metadata:
    r"""What describes an image: everything in its file except the pixels.

    Args:
        icc_profile: the embedded ICC profile.
        exif: an Exif block as a TIFF structure ("II*\0" or "MM\0*" first, without the "Exif\0\0" of JPEG).
        xmp: an XMP packet, UTF-8.
        dpi: dots per inch, (x, y).
        text: PNG text as (keyword, value) pairs, in file order.
        iptc: captions as IPTC-NAA records, without the wrapping that JPEG and PNG give them.
        tags: those that only TIFF holds.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    iptc: bytes | None = None
    tags: TiffTags | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Frames:
    """Several images in one file.

    Args:
        count: how many.
        kind: "animation": all of one size, shown in turn; "pages": separate images; "views": others that
            accompany the image and are not read.
        layout: of every frame of an animation, composed; None for pages, which differ.
        plays: how often an animation is shown; 0 for ever.
        first: index of the first frame that belongs to it: 1 where an animated PNG's still image does not.
        pixels: of all pages together, as they are stored; 0 for an animation.
        losses: what reading all of them loses beyond `ImageInfo.losses` of the first.
    """

    count: int
    kind: FramesKind
    layout: Layout | None = None
    plays: int = 0
    first: int = 0
    pixels: int = 0
    losses: tuple[Loss, ...] = ()


FIRST_IS_PREVIEW = Loss("preview", "its first page, the one that is read, is a small preview of the image")
"""Of a TIFF."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a header says of an image, before its pixels are decoded.

    Args:
        format: a key of `formats.FORMATS` ("jpeg", "png", ...).
        height: rows as they will be delivered, orientation applied.
        width: columns as they will be delivered, orientation applied.
        layout: of the rows that will be delivered.
        losses: what is lost by delivering it so ("16 bits per channel are read as 8", ...).
        jpeg_subsampling: Pillow's number (0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0) of a JPEG input, else None.
        lossless: whether the file stores its pixels without loss.
        frames: all images in the file, of which this is the first; None if it is alone or was requested alone.
        decoding_bytes: memory that decoding takes beyond that of any image of its format and size.
    """

    format: str
    height: int
    width: int
    layout: Layout
    losses: tuple[Loss, ...] = ()
    jpeg_subsampling: int | None = None
    lossless: bool = False
    frames: Frames | None = None
    decoding_bytes: int = 0


class Source(Protocol):
    """An image that gives its rows. A context manager: leaving it releases the file and the memory."""

    info: ImageInfo
    metadata: Metadata

    @property
    def losses(self) -> Collection[Loss]:
        """What reading rows has lost so far that the header does not announce."""
        ...

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` (inclusive) to `bottom` (exclusive), shape `(bottom - top, width, channels)`.

        Calls come with `top` never decreasing; neighbouring calls overlap by a few rows (the halo).
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sink(Protocol):
    """An image being written. Rows come in order, top to bottom, in runs of any height."""

    @property
    def losses(self) -> Collection[Loss]:
        """After `finish`: what writing has lost that could not be planned."""
        ...

    def write_rows(self, rows: Rows) -> None:
        """Take the next rows, shape `(rows, width, channels)`. The array belongs to the sink from then on."""
        ...

    def finish(self) -> None:
        """Write what is still held back and the end of the file. Call it once, after the last row."""
        ...


class FrameWriter(Protocol):
    """A file of several images being written, one at a time, first to last."""

    def frame(self, *, height: int, width: int, layout: Layout, metadata: Metadata, duration_ms: Fraction) -> Sink:
        """The sink of the next image, to be finished before the next one is requested.

        Args:
            height, width, layout, metadata: of that image; of an animation those of the first hold for all.
            duration_ms: how long it is shown; ignored for pages.
        """
        ...

    def finish(self) -> None:
        """Write the end of the file. Call it once, after the last image's sink is finished."""
        ...
