"""Decode strips and tiles that are images in a format of their own, each with its own header.

tifffile would reshape an image of another shape with as many numbers, and reinterpret the bytes of other numbers.
Sources: TIFF Technical Notes and registered compressions; libtiff's tif_lerc.c for masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.images.codecs.tiff.segment_size import JPEG_2000, JPEG_XL, LERC, PNG, WEBP

if TYPE_CHECKING:
    from tifffile import TiffPage

EMBEDDED = JPEG_2000 | JPEG_XL | WEBP | {LERC, PNG}
"""TIFF's numbers of the compressions that are formats, except JPEG, which may depend on tables in the TIFF."""

_STRAIGHT = 2


def decoded_image(page: TiffPage, data: bytes, samples: int) -> NDArray[Any]:
    """Decode a strip or tile of an `EMBEDDED` compression.

    Args:
        page: the page.
        data: the strip or tile as stored.
        samples: samples of a pixel that it should store.

    Returns:
        (height, width, samples) with the size that its own header states.

    Raises:
        ValueError: it has another kind of pixels than the page.
        Exception: decoders raise various errors.
    """
    import imagecodecs
    from tifffile import TIFF

    if page.compression == LERC:
        pixels = _lerc(page, data, samples)
    elif page.compression in WEBP:
        pixels = imagecodecs.webp_decode(data, hasalpha=True if samples == 4 else None)  # it may leave out opaque alpha
    else:
        pixels = TIFF.DECOMPRESSORS[page.compression](data)
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.shape[2:] != (samples,):
        raise ValueError("a segment of other pixels than the page")
    _check_numbers(page, pixels)
    return pixels


def _lerc(page: TiffPage, data: bytes, samples: int) -> NDArray[Any]:
    """LERC has a mask of valid pixels: it is the alpha channel if the page has one more, and becomes NaN in floats."""
    import imagecodecs

    pixels, mask = imagecodecs.lerc_decode(data, masks=True)
    if mask is None:
        return pixels
    stored = pixels.shape[2] if pixels.ndim == 3 else 1
    if page.extrasamples[-1:] == (_STRAIGHT,) and pixels.dtype == np.uint8 and stored == samples - 1:
        return np.dstack((pixels, mask * np.uint8(255)))
    if pixels.dtype.kind == "f":
        pixels[~mask] = np.nan
    return pixels


def _check_numbers(page: TiffPage, pixels: NDArray[Any]) -> None:
    """Check that decoded numbers are of the type of a page, and not larger than its number of bits allows."""
    bits = page.bitspersample
    if pixels.dtype != page.dtype or (bits < 8 * pixels.itemsize and pixels.dtype.kind == "u" and pixels.max() >> bits):
        raise ValueError("a segment of other numbers than the page")
