"""The meaning of the pixels of an opened Pillow image, and their conversion to rows.

Pixels that Pillow would misread are corrected, or become a loss or an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, ImageFile, JpegImagePlugin

from upsample_cli.errors import ImageError, Loss
from upsample_cli.images.codecs.readable import REDUCE
from upsample_cli.images.model import FIRST_IS_PREVIEW, Colour, Layout, Rows

_GREY, _GREY_ALPHA, _DEEP_GREY = Layout("grey"), Layout("grey", alpha=True), Layout("grey", depth=16)
_RGB, _RGB_ALPHA, _CMYK = Layout("rgb"), Layout("rgb", alpha=True), Layout("cmyk")

_LAYOUTS = {
    "1": _GREY, "L": _GREY, "LA": _GREY_ALPHA, "La": _GREY_ALPHA,
    "P": _RGB, "PA": _RGB_ALPHA,
    "RGB": _RGB, "RGBX": _RGB, "YCbCr": _RGB, "RGBA": _RGB_ALPHA, "RGBa": _RGB_ALPHA,
    "CMYK": _CMYK,
    "I;16": _DEEP_GREY, "I;16L": _DEEP_GREY, "I;16B": _DEEP_GREY, "I;16N": _DEEP_GREY,
}  # fmt: skip
_MODES = {_GREY: "L", _GREY_ALPHA: "LA", _RGB: "RGB", _RGB_ALPHA: "RGBA", _CMYK: "CMYK"}
_REFUSED = {"I": "32-bit or signed numbers", "F": "floating-point numbers", "LAB": "Lab colours", "HSV": "HSV colours"}

_CUT_TO_8 = re.compile(";16[BLN]$")  # raw modes whose low byte Pillow drops
_CUT_PNGS: dict[str, tuple[Colour, bool]] = {"RGB": ("rgb", False), "RGBA": ("rgb", True), "LA": ("grey", True)}
_GREY_STEPS = {"L;2": 85, "L;4": 17}  # PNG's transparent colour is in levels of the file

_NEW_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT, _SUBSAMPLING = 254, 258, 262, 284, 339, 530
_IMAGE_DEPTH = 32997
_WHITE_IS_ZERO, _SEPARATE_PLANES, _UNSIGNED, _UNDEFINED = 0, 2, 1, 4
_AVIF_HEAD_BYTES = 1 << 16


class Reading(NamedTuple):
    """How the bands of one image become rows.

    Args:
        layout: layout of the rows.
        losses: the losses of reading the image in this layout.
        jpeg_subsampling: see `ImageInfo`.
        lossless: see `ImageInfo`.
        key: the transparent value of a 16-bit grey image, or None.
        inverted: 16-bit grey is stored with 0 for white.
        twelve_bits: 16-bit grey is stored as 0 to 4095.
        drops_low_byte: Pillow would drop the low byte of 16 bits, so `png.deep` decodes the image.
        is_partial: Pillow would fill what no pixels of a GIF cover, so `gif_composed` composes it.
    """

    layout: Layout
    losses: tuple[Loss, ...] = ()
    jpeg_subsampling: int | None = None
    lossless: bool = False
    key: int | None = None
    inverted: bool = False
    twelve_bits: bool = False
    drops_low_byte: bool = False
    is_partial: bool = False

    def rows(self, band: Image.Image) -> Rows:
        """Convert a part of the image to rows."""
        if self.layout.depth == 16:
            return self._deep_rows(band)
        import numpy as np  # headers are read without it

        mode = _MODES[self.layout]
        rows = np.array(band if band.mode == mode else band.convert(mode))
        return rows if rows.ndim == 3 else rows[:, :, np.newaxis]

    def _deep_rows(self, band: Image.Image) -> Rows:
        import numpy as np

        stored = np.array(band).astype(np.uint16, copy=False)
        grey = stored << 4 | stored >> 8 if self.twelve_bits else stored
        if self.inverted:
            grey = np.invert(grey)
        if self.key is None:
            return grey[:, :, np.newaxis]
        return np.stack((grey, np.where(stored == self.key, 0, 65535).astype(np.uint16)), axis=2)


def how_to_read(
    image: ImageFile.ImageFile, file: BinaryIO, format_name: str, name: str, *, has_profile: bool
) -> Reading:
    """Choose the `Reading` from the header of an opened image.

    A transparent colour that Pillow misreads is corrected in `image`.

    Args:
        image: the image as Pillow opened it, not decoded.
        file: the open file of the image; its position is moved.
        format_name: a key of `FORMATS`.
        name: name of the file in messages.
        has_profile: whether the image has an ICC profile. Then a palette of greys is read as RGB, to fit the profile.

    Raises:
        ImageError: the kind of pixels is not supported.
    """
    tags = getattr(image, "tag_v2", {})
    raw_mode = raw_mode_of(image)
    _check_supported(image, tags, name)
    if format_name == "gif" and "transparency" not in image.info:
        from upsample_cli.images.codecs.gif_frames import is_partial

        if is_partial(file, image.height, image.width):
            return Reading(_RGB_ALPHA, lossless=True, is_partial=True)
    cut = bool(_CUT_TO_8.search(raw_mode)) and not image.mode.startswith("I")
    if cut and format_name == "png":
        colour, alpha = _CUT_PNGS[raw_mode.partition(";")[0]]
        layout = Layout(colour, alpha or "transparency" in image.info, 16)
        return Reading(layout, tuple(_losses(image, file, tags, cut=False)), lossless=True, drops_low_byte=True)
    losses = tuple(_losses(image, file, tags, cut))
    key = _transparency(image, raw_mode, cut)
    layout = _LAYOUTS[image.mode]
    if raw_mode.startswith("LA;16") or (image.mode == "P" and not has_profile and _palette_is_grey(image)):
        layout = Layout("grey", layout.alpha)
    sampling = JpegImagePlugin.get_sampling(image) if format_name == "jpeg" else -1
    return Reading(
        Layout(layout.colour, layout.alpha or key is not None, layout.depth),
        losses,
        jpeg_subsampling=sampling if sampling >= 0 else None,
        lossless=_is_lossless(image, file, format_name),
        key=key if layout.depth == 16 and isinstance(key, int) else None,
        inverted=layout.depth == 16 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        twelve_bits=raw_mode == "I;12",
    )


def raw_mode_of(image: ImageFile.ImageFile) -> str:
    """Pillow's name of what an image that it has opened stores; empty if it has none."""
    arguments = image.tile[0].args if image.tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _check_supported(image: ImageFile.ImageFile, tags: Any, name: str) -> None:
    raw = bool(image.tile) and image.tile[0].codec_name == "raw"
    kinds = (
        (image.mode in _REFUSED, _REFUSED.get(image.mode)),
        (set(tags.get(_SAMPLE_FORMAT, ())) - {_UNSIGNED, _UNDEFINED}, "signed or floating-point numbers"),
        # Pillow would ignore the subsampling, and would take every byte as a sample.
        (image.mode == "YCbCr" and tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1), "subsampled YCbCr, not compressed"),
        (raw and tags.get(_PLANAR) == _SEPARATE_PLANES and max(tags.get(_BITS, (8,))) > 8, "16-bit planes"),
        (tags.get(_IMAGE_DEPTH, 1) != 1, "a volume of several slices"),  # Pillow reads only one of them
        (image.mode not in _LAYOUTS, f"pixels of kind {image.mode}"),
    )
    for refused, what in kinds:
        if refused:
            raise ImageError(name, f"holds {what}, which is not supported", REDUCE, kind="unsupported")


def _losses(image: ImageFile.ImageFile, file: BinaryIO, tags: Any, cut: bool) -> Iterator[Loss]:
    if cut:
        yield Loss("depth", "16 bits per channel are read as 8")
    if cut and "transparency" in image.info:
        yield Loss("alpha", "the one colour marked transparent is read as opaque")
    if image.format == "AVIF" and (bits := _avif_bits(file)) > 8:
        yield Loss("depth", f"{bits} bits per channel are read as 8")
    if tags.get(_NEW_SUBFILE_TYPE, 0) & 1:
        yield FIRST_IS_PREVIEW


def _transparency(image: ImageFile.ImageFile, raw_mode: str, cut: bool) -> Any:
    """The transparent colour or index of an image without an alpha channel, or None."""
    key = image.info.get("transparency")
    if cut or key is None or image.mode not in {"1", "L", "RGB", "P", "I;16"}:
        image.info.pop("transparency", None)
        return None
    if raw_mode in _GREY_STEPS:
        image.info["transparency"] = key = key * _GREY_STEPS[raw_mode]
    return None if isinstance(key, bytes) and min(key, default=255) == 255 else key


def _palette_is_grey(image: ImageFile.ImageFile) -> bool:
    palette = image.palette
    if palette is None:
        return False
    entries, raw_mode = bytes(palette.palette), palette.rawmode or palette.mode
    if raw_mode == "RGB;L":
        count = len(entries) // 3
        red, green, blue = (entries[channel * count : (channel + 1) * count] for channel in range(3))
    else:
        count = len(entries) // len(raw_mode) * len(raw_mode)
        red, green, blue = (entries[channel : count : len(raw_mode)] for channel in range(3))
    return red == green == blue


def _is_lossless(image: ImageFile.ImageFile, file: BinaryIO, format_name: str) -> bool:
    if format_name == "webp":
        from upsample_cli.images.codecs.webp import is_lossless

        return is_lossless(file)
    return format_name in {"png", "bmp", "gif"} or (
        format_name == "tiff" and image.info.get("compression") not in {"jpeg", "tiff_jpeg", "webp"}
    )


def _avif_bits(file: BinaryIO) -> int:
    """Bits per channel in the AV1 configuration box. Source: AV1 Codec ISO Media File Format Binding, 2.3."""
    file.seek(0)
    head = file.read(_AVIF_HEAD_BYTES)
    at = head.find(b"av1C")
    flags = head[at + 6] if 0 <= at < len(head) - 6 else 0
    return 8 + 2 * bool(flags & 0x40) + 2 * bool(flags & 0x40 and flags & 0x20)
