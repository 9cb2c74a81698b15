"""Pictures in: what a header tells, and rows out of a decoded picture.

The whole picture is decoded once, into Pillow's memory; bands are cut out of it, and turned, as they are asked for, so
there is never a second whole copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO, Self

from PIL import Image, ImageFile

from upsample_cli.pictures.formats import DEFAULT_MAX_PIXELS, Format
from upsample_cli.pictures.metadata import read_metadata
from upsample_cli.pictures.model import Metadata, PictureInfo, Rows
from upsample_cli.pictures.opening import Input, open_image, opened_file, quiet_pillow, readable, shown_name
from upsample_cli.pictures.pixel_kinds import Reading, how_to_read

__all__ = ["DEFAULT_MAX_PIXELS", "PillowSource", "open_picture", "probe", "read_header"]


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where the rows of an upright picture lie in the stored one.

    Args:
        columns: they are stored as columns.
        from_end: counted from the bottom, or from the right.
        method: what brings a cut out piece upright.
    """

    columns: bool
    from_end: bool
    method: Image.Transpose | None


_TURNS = {
    1: _Turn(False, False, None),
    2: _Turn(False, False, Image.Transpose.FLIP_LEFT_RIGHT),
    3: _Turn(False, True, Image.Transpose.ROTATE_180),
    4: _Turn(False, True, Image.Transpose.FLIP_TOP_BOTTOM),
    5: _Turn(True, False, Image.Transpose.TRANSPOSE),
    6: _Turn(True, False, Image.Transpose.ROTATE_270),
    7: _Turn(True, True, Image.Transpose.TRANSVERSE),
    8: _Turn(True, True, Image.Transpose.ROTATE_90),
}  # Exif 2.32, tag Orientation


def probe(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PictureInfo:
    """What a picture's header tells; no pixel is decoded.

    Args:
        path: a file, or a seekable binary file object.
        max_pixels: refuse a picture of more.

    Raises:
        PictureError: it cannot be read, is no picture, or is too large.
    """
    return read_header(path, max_pixels=max_pixels)[0]


def read_header(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[PictureInfo, Metadata]:
    """What a picture's header tells, and what travels beside the pixels: all that `formats.fit` needs.

    Args and Raises are those of `probe`.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        image, fmt = open_image(file, name, max_pixels=max_pixels)
        header = _read_header(image, file, fmt, name)
    return header.info, header.metadata


def open_picture(path: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PillowSource:
    """Decode a picture; of several frames or pages, the first.

    Args:
        path: a file, or a binary file object, which may be a pipe.
        max_pixels: refuse a picture of more.

    Raises:
        PictureError: it cannot be read, is no picture, is damaged, or is too large.
    """
    name = shown_name(path)
    with quiet_pillow(), opened_file(path) as file:
        image, fmt = open_image(file, name, max_pixels=max_pixels)
        header = _read_header(image, file, fmt, name)
        with readable(name, fmt):
            image.load()
    vars(image).pop("_decoder", None)  # WebP's and AVIF's keep the file and two more pictures in memory
    if fmt.name == "tiff":  # Pillow has turned it upright
        info = replace(header.info, height=image.height, width=image.width)
        header = replace(header, info=info, orientation=1)
    return PillowSource(image, header)


@dataclass(frozen=True, slots=True)
class _Header:
    info: PictureInfo
    metadata: Metadata
    orientation: int
    reading: Reading


def _read_header(image: ImageFile.ImageFile, file: BinaryIO, fmt: Format, name: str) -> _Header:
    with readable(name, fmt):
        found = read_metadata(image, file, fmt.name)
        reading = how_to_read(image, file, fmt.name, name, has_profile=found.metadata.icc_profile is not None)
        height, width = image.height, image.width
        # A TIFF's size is upright already, unless only its XMP says how to turn it.
        if found.orientation >= 5 and not (fmt.name == "tiff" and 0x0112 in vars(image)["tag_v2"]):
            height, width = width, height
        info = PictureInfo(
            format=fmt.name,
            height=height,
            width=width,
            layout=reading.layout,
            warnings=(*reading.warnings, *found.warnings),
            jpeg_subsampling=reading.jpeg_subsampling,
            lossless=reading.lossless,
        )
    return _Header(info, found.metadata, found.orientation, reading)


class PillowSource:
    """A picture decoded by Pillow; a `model.Source`. Made by `open_picture`."""

    info: PictureInfo
    metadata: Metadata

    def __init__(self, image: Image.Image, header: _Header) -> None:
        self.info, self.metadata = header.info, header.metadata
        self._reading, self._turn = header.reading, _TURNS[header.orientation]
        self._image: Image.Image | None = image

    def read_rows(self, top: int, bottom: int) -> Rows:
        """Rows `top` to `bottom` (exclusive): `(bottom - top, width, channels)`, writable, owned by the caller.

        Bands may be asked for in any order and from several threads.
        """
        if self._image is None:
            raise ValueError("this picture is closed")
        if not 0 <= top < bottom <= self.info.height:
            raise ValueError(f"no rows {top} to {bottom} in a picture of {self.info.height}")
        length = self.info.height
        first, last = (length - bottom, length - top) if self._turn.from_end else (top, bottom)
        stored_width, stored_height = self._image.size
        box = (first, 0, last, stored_height) if self._turn.columns else (0, first, stored_width, last)
        with quiet_pillow():
            band = self._image.crop(box)
            if self._turn.method is not None:
                band = band.transpose(self._turn.method)
            return self._reading.rows(band)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image = None
