"""Convert CMYK and Lab to sRGB with LittleCMS: Pillow's for 8 bits, imagecodecs' for more.

The rendering intent is relative colorimetric with black point compensation: paper white becomes white, the darkest ink
becomes black, and colours inside sRGB do not change. (The perceptual intent depends on the profile's maker, and many
printer profiles change every colour.)
"""

from __future__ import annotations

import functools
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms

from upsample_cli.images.model import Layout, Rows

_INTENT, _FLAGS = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION


@functools.lru_cache(maxsize=4)
def srgb_of_profile(icc_profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """The transform from a CMYK profile to sRGB; None if LittleCMS cannot make one."""
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(icc_profile)), ImageCms.createProfile("sRGB"), "CMYK", "RGB",
            _INTENT, _FLAGS,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def rgb_of_cmyk(rows: Rows, icc_profile: bytes) -> Rows | None:
    """Convert CMYK rows to sRGB with the same depth; None if the profile cannot be used.

    Pillow's transform is made once and is several times faster, but supports only 8 bits.

    Args:
        rows: (rows, width, 4), uint8 or uint16.
        icc_profile: the embedded profile.
    """
    transform = srgb_of_profile(icc_profile)
    if transform is None:
        return None
    import numpy as np

    if rows.dtype == np.uint16:
        return _transformed(rows, icc_profile, "cmyk", "uint16")
    height, width = rows.shape[:2]
    image = Image.frombuffer("CMYK", (width, height), np.ascontiguousarray(rows), "raw", "CMYK", 0, 1)
    made: Rows = np.array(ImageCms.applyTransform(image, transform))
    return made


def rgb_of_lab(rows: Rows, layout: Layout) -> Rows:
    """Convert Lab rows to sRGB with the same depth. Colours outside sRGB are clipped.

    A profile embedded with Lab is ignored, because Lab numbers define colours by themselves, under CIE illuminant D50.

    Args:
        rows: (rows, width, 3) in `layout`.
        layout: "cielab" or "icclab", without alpha.
    """
    from upsample_cli.images.color.lab import lab_of_rows

    return _transformed(lab_of_rows(rows, layout), _profile("LAB"), "lab", layout.dtype.name)


def _transformed(pixels: Rows, icc_profile: bytes, colours: str, dtype: str) -> Rows:
    import numpy as np
    from imagecodecs import cms_transform

    settings: dict[str, Any] = {"colorspace": colours, "outcolorspace": "rgb", "outdtype": dtype}
    made: Rows = cms_transform(
        np.ascontiguousarray(pixels), icc_profile, _profile("sRGB"), intent=int(_INTENT), flags=int(_FLAGS), **settings
    )
    return made.reshape(*pixels.shape[:2], 3)


@functools.cache
def _profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]
