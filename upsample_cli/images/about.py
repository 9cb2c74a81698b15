"""Describe an image file, and what each output format would keep of it. Only the header is read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO

from upsample_cli.errors import Failure, ImageError, Loss
from upsample_cli.images.codecs.input_file import Input, opened_file, shown_name
from upsample_cli.images.color.coded import is_srgb, name_of
from upsample_cli.images.formats import FORMATS, check_output_size
from upsample_cli.images.metadata import ifd
from upsample_cli.images.metadata.exif import EXIF_IFD
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.images.open import read_header
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import is_lossless

_CAMERA_TAGS, _DATE, _DATE_TAKEN = (0x010F, 0x0110), 0x0132, 0x9003
_LONGEST_ENTRY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Offer:
    """What one output format would keep of an image.

    Args:
        losses: the certain and the possible losses.
        quality: the default quality if the coding is lossy; None if it is lossless.
        refusal: why the format cannot hold the enlarged image; None if it can.
    """

    losses: tuple[Loss, ...]
    quality: int | None
    refusal: Failure | None


@dataclass(frozen=True, slots=True)
class About:
    """The description of an image file.

    Args:
        path: path of the file, as the user named it.
        size_bytes: size of the file.
        info: header of the image as it is read, orientation applied.
        metadata: metadata of the image.
        orientation: orientation of the stored image, 1 (upright) to 8, as in Exif.
        icc_description: the description in the colour profile.
        colour_space: name of the colour space, if it is not sRGB and not given by a profile.
        camera: maker and model of the camera, from Exif.
        date: when the image was taken, or else when it was changed, as Exif writes it.
        outputs: what each output format would keep, by format name.
    """

    path: str
    size_bytes: int
    info: ImageInfo
    metadata: Metadata
    orientation: int
    icc_description: str | None
    colour_space: str | None
    camera: str | None
    date: str | None
    outputs: dict[str, Offer] = field(default_factory=dict)


def about_image(path: Input, *, factor: int, max_pixels: int) -> About:
    """Read the header of an image, and find what each output format would keep of it.

    Args:
        path: a file, or a seekable binary file object.
        factor: how many times each side would be enlarged.
        max_pixels: larger images are refused.

    Raises:
        ImageError: the file cannot be read, is not an image, or is too large.
    """
    info, metadata = read_header(path, max_pixels=max_pixels)
    with opened_file(path) as file:
        size_bytes = file.seek(0, 2)
    exif_texts = _exif_texts(metadata.exif) if metadata.exif else {}
    return About(
        path=shown_name(path),
        size_bytes=size_bytes,
        info=info,
        metadata=metadata,
        orientation=info.orientation,
        icc_description=_icc_description(metadata.icc_profile) if metadata.icc_profile else None,
        colour_space=None if metadata.colour is None or is_srgb(metadata.colour) else name_of(metadata.colour),
        camera=_camera([exif_texts[tag] for tag in _CAMERA_TAGS if tag in exif_texts]),
        date=exif_texts.get(_DATE_TAKEN) or exif_texts.get(_DATE),
        outputs={name: _offer(info, metadata, name, factor) for name in FORMATS},
    )


def _offer(info: ImageInfo, metadata: Metadata, name: str, factor: int) -> Offer:
    fmt, refusal = FORMATS[name], None
    form = nearest_form(info, metadata, fmt)
    try:
        check_output_size("", fmt, info.height * factor, info.width * factor, form.layout)
    except ImageError as error:
        refusal = replace(error.failure, path="")
    quality = None if is_lossless(fmt, None, info) else fmt.default_quality
    return Offer((*form.losses, *form.possible), quality, refusal)


def _icc_description(profile: bytes) -> str:
    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip() or "without a name"
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return "damaged"


def _exif_texts(exif: bytes) -> dict[int, str]:
    """The short texts of a block's first directory and its Exif directory."""
    found: dict[int, str] = {}
    with suppress(ValueError):
        tiff = ifd.tiff_in_bytes(exif)
        directory = ifd.read_directory(tiff, tiff.first)
        entries = list(directory.entries)
        with suppress(ValueError):
            entries += ifd.read_directory(tiff, ifd.first_integer(tiff, directory.find(EXIF_IFD)) or 0).entries
        for entry in entries:
            data = ifd.value_bytes(tiff, entry) if entry.kind == 2 and entry.size_bytes < _LONGEST_ENTRY_BYTES else None
            text = (data or b"").split(b"\0")[0].decode("utf-8", "replace").strip()
            if text:
                found.setdefault(entry.tag, text)
    return found


def _camera(maker_and_model: list[str]) -> str | None:
    """Maker and model as one text. Many models begin with the maker's name, which is not repeated.

    >>> _camera(["Canon", "Canon EOS 5D"]), _camera(["NIKON", "D90"]), _camera([])
    ('Canon EOS 5D', 'NIKON D90', None)
    """
    if len(maker_and_model) == 2 and maker_and_model[1].startswith(maker_and_model[0]):
        return maker_and_model[1]
    return " ".join(maker_and_model) or None
