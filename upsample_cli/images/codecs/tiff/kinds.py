"""The meaning of the numbers stored in a TIFF, and their conversion to rows.

Source: TIFF revision 6.0, and its supplements for the sample formats and the compressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.left_out import channels_left_out
from upsample_cli.images.codecs.levels import as_numbers, make_straight, scaled
from upsample_cli.images.model import FIRST_IS_PREVIEW, LAB_COLOURS, Colour, Depth, Layout, Rows

if TYPE_CHECKING:
    from tifffile import TiffPage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS: dict[int, Colour] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb", 8: "cielab", 9: "icclab"}
_SAMPLES = {"grey": 1, "rgb": 3, "cmyk": 4, "cielab": 3, "icclab": 3}
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_ASSOCIATED, _STRAIGHT = 1, 2
_FLOAT_BITS = {16, 24, 32, 64}
JPEG_COMPRESSIONS = frozenset({6, 7, 34892, 33007})  # decoded to RGB
_OTHER_YCBCR = Loss("colour", "its YCbCr is read as BT.601 in its whole range, although it states another coding")
_MAYBE_YCBCR = Loss("colour", "its JPEG 2000 is read as RGB, but some programs store YCbCr in this compression")
_YCBCR_JPEG_2000 = {33003, 33004}  # in Aperio's and libvips's files, although they say RGB; tifffile stores RGB
_BT_601, _FULL_RANGE = (0.299, 0.587, 0.114), (0, 255, 128, 255, 128, 255)
_SUBFILE_TYPE, _PHOTOMETRIC, _INK_SET, _EXTRA_SAMPLES = 254, 262, 332, 338
_YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532
JPEG_XR = frozenset({22610, 34934})
"""These are not read, because the decoder of imagecodecs writes outside its memory on damaged tiles."""

_LOSSLESS = {1, 2, 3, 4, 5, 8, 32771, 32773, 32946, 34925, 34926, 34933, 50000}


@dataclass(frozen=True, slots=True)
class TiffKind:
    """How the samples of one TIFF become rows.

    Args:
        layout: layout of the rows.
        losses: the losses of reading the image in this layout.
        lossless: whether the file stores its pixels without loss.
        bits: bits of one stored whole number; 0 for floating point.
        samples: indices of the samples of a pixel that are read: colour, and alpha if present.
        inverted: grey is stored with 0 for white.
        signed: a* and b* of Lab are stored as signed numbers.
        associated: colour is stored multiplied by alpha.
        palette: (entries, channels), the colours that stored numbers stand for, in the type of the rows.
    """

    layout: Layout
    losses: tuple[Loss, ...]
    lossless: bool
    bits: int
    samples: tuple[int, ...]
    inverted: bool = False
    signed: bool = False
    associated: bool = False
    palette: NDArray[Any] | None = None

    def rows(self, stored: NDArray[Any], losses: set[Loss]) -> Rows:
        """Convert stored numbers (rows, width, samples) to rows of `layout`. The array may be changed.

        Args:
            stored: the samples that are read.
            losses: losses are added here if straight alpha cannot represent the pixels.
        """
        if self.palette is not None:
            colours: Rows = self.palette[as_numbers(stored[..., 0])]
            alpha = scaled(stored[..., 1:], self.bits).astype(self.layout.dtype, copy=False)
            return np.concatenate([colours, alpha], axis=2) if self.layout.alpha else colours
        with np.errstate(all="ignore"):  # 64-bit numbers beyond the range of float32 become infinite
            rows = scaled(stored, self.bits).astype(self.layout.dtype, copy=False)
        if self.inverted:
            full = 1 if rows.dtype.kind == "f" else np.iinfo(rows.dtype).max
            with np.errstate(all="ignore"):  # infinities and NaN are valid pixels
                rows[..., 0] = full - rows[..., 0]
        if self.signed:
            rows[..., 1:3] ^= rows.dtype.type(1 << 8 * rows.itemsize - 1)  # from signed numbers to an offset
        if self.associated:
            make_straight(rows, losses)
        return rows


def tiff_kind(page: TiffPage, *, has_profile: bool) -> TiffKind | None:
    """Find the kind from the tags of a page; None if this module does not read its kind of pixels.

    Args:
        page: a page of tifffile.
        has_profile: whether the page has an ICC profile. Then a palette of greys is read as RGB, to fit the profile.
    """
    bits, photometric = page.bitspersample, photometric_of(page)
    colour = _COLOURS.get(photometric)
    is_float, is_whole = page.sampleformat == _FLOAT, page.sampleformat in {_UNSIGNED, _UNDEFINED}
    readable = (
        isinstance(bits, int)
        and colour is not None
        and page.dtype is not None
        and page.compression not in JPEG_XR
        and page.imagedepth == 1
        and page.samplesperpixel >= (1 if photometric == _PALETTE else _SAMPLES[colour])
        and (bits in _FLOAT_BITS if is_float else (is_whole and 1 <= bits <= 16) or _becomes_float(page))
        and (photometric != _YCBCR or page.compression in JPEG_COMPRESSIONS)
        and (photometric != _CMYK or page.tags.valueof(_INK_SET, 1) == 1)
        and (photometric != _PALETTE or (not is_float and _has_palette(page)))
    )
    if not readable or colour is None or (colour in LAB_COLOURS and not _is_plain_lab(page)):
        return None
    palette, losses = (None, list[Loss]()) if photometric != _PALETTE else _palette(page)
    if palette is not None and not has_profile and (palette == palette[:, :1]).all():
        palette, colour = palette[:, :1], "grey"
    count = 1 if palette is not None else _SAMPLES[colour]
    alpha, associated, unread = _extra(page, count)
    losses += [*unread, *_number_losses(page, bits)]
    if photometric == _YCBCR and not _is_common_ycbcr(page):
        losses.append(_OTHER_YCBCR)
    if photometric == _RGB and page.compression in _YCBCR_JPEG_2000:
        losses.append(_MAYBE_YCBCR)
    if int(page.tags.valueof(_SUBFILE_TYPE, 0)) & 1:
        losses.append(FIRST_IS_PREVIEW)
    is_float = is_float or _becomes_float(page)
    depth: Depth = 32 if is_float else 8 if bits <= 8 else 16
    return TiffKind(
        Layout(colour, alpha is not None, depth),
        tuple(losses),
        lossless=int(page.compression) in _LOSSLESS,
        bits=0 if is_float else bits,
        samples=(*range(count), *(() if alpha is None else (alpha,))),
        inverted=photometric == _WHITE_IS_ZERO,
        signed=photometric == _CIELAB,
        associated=associated,
        palette=palette,
    )


def photometric_of(page: TiffPage) -> int:
    """TIFF's number for the kind of colours. If it is missing, three channels are RGB, as in libtiff."""
    if _PHOTOMETRIC not in page.tags and page.samplesperpixel - len(page.extrasamples) == _SAMPLES["rgb"]:
        return _RGB
    return int(page.photometric)


def _becomes_float(page: TiffPage) -> bool:
    """Whether whole numbers, signed or with 32 bits, become floating point with the same values, unscaled."""
    numbers = (page.sampleformat, page.bitspersample)
    is_plain = photometric_of(page) in {_BLACK_IS_ZERO, _RGB} and _extra(page, _SAMPLES["grey"])[0] is None
    return numbers in {(_SIGNED, 8), (_SIGNED, 16), (_SIGNED, 32), (_UNSIGNED, 32)} and is_plain


def _number_losses(page: TiffPage, bits: int) -> Iterator[Loss]:
    if page.sampleformat == _FLOAT and bits == 64:
        yield Loss("depth", "64-bit floating point is read as 32-bit")
    if _becomes_float(page):
        kind = "signed whole numbers" if page.sampleformat == _SIGNED else "whole numbers"
        rounded = ", those beyond 16777216 rounded" if bits == 32 else ""
        yield Loss("depth", f"{kind} of {bits} bits are read as floating point{rounded}")


def _is_common_ycbcr(page: TiffPage) -> bool:
    """Whether YCbCr is full-range BT.601, which every JPEG decoder assumes."""
    stated = ((_YCBCR_COEFFICIENTS, _BT_601, 0.002), (_REFERENCE_BLACK_WHITE, _FULL_RANGE, 1.0))
    for tag, common, tolerance in stated:
        found = page.tags.valueof(tag)
        if isinstance(found, tuple) and len(found) == 2 * len(common):
            pairs = zip(found[::2], found[1::2], common, strict=True)
            if any(not below or abs(above / below - number) > tolerance for above, below, number in pairs):
                return False
    return True


def _has_palette(page: TiffPage) -> bool:
    return page.colormap is not None and np.ndim(page.colormap) == 2 and len(page.colormap) == 3


def _palette(page: TiffPage) -> tuple[NDArray[Any], list[Loss]]:
    """The colours of a palette, (entries, 3), with 8 bits, or 16 if pixels have more than 8 bits; and the losses.

    Entries have 16 bits. Many writers store 8-bit values in them, so if all entries are at most 255, they are 8-bit
    values, as in libtiff's tools and Pillow.
    """
    entries = np.asarray(page.colormap).T
    is_of_8_bits = bool((entries < 256).all())
    if page.bitspersample > 8:
        return (entries * 257 if is_of_8_bits else entries).astype(np.uint16), []
    is_cut = not is_of_8_bits and not np.isin(entries & 255, (0, 255)).all() and bool((entries % 257).any())
    losses = [Loss("depth", "the 16-bit colours of its palette are read as 8-bit")] if is_cut else []
    return (entries if is_of_8_bits else entries >> 8).astype(np.uint8), losses


def _is_plain_lab(page: TiffPage) -> bool:
    """Whether Lab is stored as the standard says: not as JPEG, and not multiplied by alpha."""
    is_associated = _extra(page, _SAMPLES["cielab"])[1]
    return page.bitspersample in {8, 16} and page.compression not in JPEG_COMPRESSIONS and not is_associated


def _extra(page: TiffPage, count: int) -> tuple[int | None, bool, list[Loss]]:
    """The index of the alpha sample, whether colour is multiplied by it, and the losses of other extra samples."""
    extra = page.samplesperpixel - count
    if not extra:
        return None, False, []
    meanings = page.tags.valueof(_EXTRA_SAMPLES, _STRAIGHT)  # many writers leave out the tag
    meanings = [int(meaning) for meaning in (meanings if isinstance(meanings, tuple) else (meanings,))][:extra]
    found = next((index for index, kind in enumerate(meanings) if kind in {_ASSOCIATED, _STRAIGHT}), None)
    losses = channels_left_out(extra - (found is not None))
    return (None, False, losses) if found is None else (count + found, meanings[found] == _ASSOCIATED, losses)
