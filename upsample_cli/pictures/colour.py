"""Inks and Lab colours made into sRGB: through the embedded profile, by LittleCMS as Pillow carries it."""

from __future__ import annotations

import functools
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from upsample_cli.pictures.model import Rows


@functools.lru_cache(maxsize=4)
def srgb_of_profile(icc_profile: bytes, mode: str = "CMYK") -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile's colours to sRGB; None if LittleCMS cannot make one of it.

    Relative colorimetric with black point compensation: paper white becomes white and the darkest ink black, and what
    both can show keeps its colour exactly. (Perceptual leaves the choice to the profile's maker, and many printers'
    profiles move every colour.)

    Args:
        icc_profile: as embedded.
        mode: Pillow's name of the colours: "CMYK" or "LAB".
    """
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(icc_profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@functools.cache
def srgb_of_lab() -> ImageCms.ImageCmsTransform:
    """The transform from CIE Lab (D50), as TIFF holds it, to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


def rgb_of_cmyk(rows: Rows, transform: ImageCms.ImageCmsTransform) -> Rows:
    """CMYK rows as sRGB of the same depth.

    LittleCMS as Pillow carries it counts in 8 bits: 16-bit inks are rounded to 8 before, and spread again after.

    Args:
        rows: (rows, width, 4) uint8 or uint16.
        transform: from `srgb_of_profile`.
    """
    deep = rows.dtype == np.uint16
    inks = ((rows.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8) if deep else rows
    height, width = rows.shape[:2]
    image = Image.frombuffer("CMYK", (width, height), np.ascontiguousarray(inks), "raw", "CMYK", 0, 1)
    made: Rows = np.array(ImageCms.applyTransform(image, transform))
    if deep:
        made = made.astype(np.uint16) * np.uint16(257)
    return made
