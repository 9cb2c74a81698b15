"""The data model of images. `interfaces.py` describes what their rows pass through.

Rows are numpy arrays of shape `(rows, width, channels)`. Their type is uint8, uint16 or float32, according to
`Layout.depth`. Channels are grey; or red, green, blue; or cyan, magenta, yellow, key; or L*, a*, b* (see `lab.py`).
Alpha, if present, is last, and is straight, not premultiplied. No torch, no Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeAlias

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


class Layout(NamedTuple):
    """The meaning of the numbers of a pixel.

    Args:
        colour: the colour model of the channels before alpha.
        alpha: whether the last channel is straight alpha.
        depth: bits of each channel: 8 or 16 for whole numbers, 32 for floating point, where 0 to 1 is black to white.

    >>> Layout("rgb", alpha=True).channels
    4
    """

    colour: Colour
    alpha: bool = False
    depth: Depth = 8

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return _COLOUR_CHANNELS[self.colour] + self.alpha

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of one number, in native byte order."""
        import numpy as np  # imported late: planning, help texts and errors in options do not need numpy

        return np.dtype(_DTYPES[self.depth])


class TiffTags(Protocol):
    """Tags that only TIFF has: `metadata.own_tags.OwnTags`."""

    @property
    def fields(self) -> Sequence[Any]:
        """The tags as stored, for `ifd_write`."""
        ...

    @property
    def order(self) -> str:
        """Their byte order: "<" or ">"."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size of their values."""
        ...

    @property
    def has_resolution(self) -> bool:
        """Whether they include a resolution that is not one in dots per inch."""
        ...

    def without_resolution(self) -> Self:
        """The tags without it."""
        ...

    @property
    def describe_pages(self) -> bool:
        """Whether they also describe other pages."""
        ...

    def enlarged(self, height: int, width: int) -> Self:
        """The tags corrected for an image of this size, in pixels."""
        ...

    def of_one_page(self) -> tuple[Self, list[Loss]]:
        """The tags of one page as a separate image, and the losses."""
        ...

    def held(self, layout: Layout, made: Layout, other_format: str | None) -> tuple[Self | None, list[Loss]]:
        """The tags that an output can have, and the losses.

        Args:
            layout: layout of the input.
            made: layout of the output.
            other_format: title of the output's format, if it is not TIFF.
        """
        ...


class ColourSpace(NamedTuple):
    """The colour space of an image without an ICC profile. A value of None means the value of sRGB.

    Args:
        codes: code numbers of the primaries and of the transfer function, from ITU-T H.273.
        is_limited: black and white are the levels 16 and 235 of 255, as in video.
        gamma: exponent from light to level, times 100000.
        chromaticities: x and y of white, red, green and blue, times 100000.
        intent: the number of ICC's rendering intent, if the file says that it is sRGB.
        mastering: PNG chunks about the display that HDR was made for, as (kind, data).
    """

    codes: tuple[int, int] | None = None
    is_limited: bool = False
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None
    intent: int | None = None
    mastering: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    r"""The metadata of an image: everything in its file except the pixels.

    Args:
        icc_profile: the embedded ICC profile.
        exif: an Exif block as a TIFF structure ("II*\0" or "MM\0*" first, without the "Exif\0\0" of JPEG).
        xmp: an XMP packet, UTF-8.
        dpi: dots per inch, (x, y).
        text: PNG text as (keyword, value) pairs, in file order.
        iptc: captions as IPTC-NAA records, without the container of JPEG or PNG.
        colour: the colour space, if the file gives it without an ICC profile.
        aspect: pixels per unit, (x, y); only their ratio has a meaning.
        background: the colour to show behind transparency: grey, or red, green and blue, from 0 to 1.
        tags: the tags that only TIFF has.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    iptc: bytes | None = None
    colour: ColourSpace | None = None
    aspect: tuple[int, int] | None = None
    background: tuple[float, ...] | None = None
    tags: TiffTags | None = field(default=None, repr=False)

    @property
    def size_bytes(self) -> int:
        """The bytes of the parts that may be large: blocks, texts and tags."""
        blocks = [self.icc_profile, self.exif, self.xmp, self.iptc]
        blocks += [data for _, data in self.colour.mastering] if self.colour is not None else []
        texts = sum(len(keyword) + len(value) for keyword, value in self.text)
        tags = self.tags.size_bytes if self.tags is not None else 0
        return sum(len(block) for block in blocks if block is not None) + texts + tags


@dataclass(frozen=True, slots=True)
class Frames:
    """Several images in one file.

    Args:
        count: number of images.
        kind: "animation": images of one size, shown in turn; "pages": separate images; "views": further images that
            accompany the first one and are not read.
        layout: layout of each composed frame of an animation; None for pages, which may differ.
        plays: how often an animation is shown; 0 means forever.
        pixels: pixels of all pages together, as stored; 0 for an animation.
        losses: the losses of reading all images, in addition to `ImageInfo.losses` of the first.
    """

    count: int
    kind: FramesKind
    layout: Layout | None = None
    plays: int = 0
    pixels: int = 0
    losses: tuple[Loss, ...] = ()


FIRST_IS_PREVIEW = Loss("preview", "its first page, the one that is read, is a small preview of the image")
"""Of a TIFF."""


class ImageInfo(NamedTuple):
    """The header of an image, known before its pixels are decoded.

    Args:
        format: a key of `formats.FORMATS` ("jpeg", "png", ...).
        height: number of rows, orientation applied.
        width: number of columns, orientation applied.
        layout: layout of the rows that the source reads.
        losses: the losses of reading the image in this layout ("16 bits per channel are read as 8", ...).
        jpeg_subsampling: Pillow's number for a JPEG (0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0); None for other formats.
        lossless: whether the file stores its pixels without loss.
        frames: all images in the file, of which this is the first; None for a single image, or one requested frame.
        decoding_bytes: memory for decoding in addition to the usual for its format and size.
        orientation: orientation of the stored image, 1 (upright) to 8, as in Exif.
        states_colours: whether the file has a colour profile, or states a colour space otherwise.
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
    orientation: int = 1
    states_colours: bool = False
