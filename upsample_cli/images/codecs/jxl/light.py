"""Convert between an ICC profile's colours and linear sRGB in floating point, with LittleCMS.

The rendering intent is relative colorimetric. Colours outside sRGB have levels below 0 or above 1, and are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from upsample_cli.images.color.coded import profile_of
from upsample_cli.images.model import ColourSpace, Layout, Rows

_LINEAR = ColourSpace(codes=(1, 8))
_RELATIVE = 1
_BAND_PIXELS = 1 << 18


def can_convert(profile: bytes, layout: Layout) -> bool:
    """Whether linear sRGB can be converted to the colours of a profile, and back."""
    colours = Layout(layout.colour, depth=layout.depth)
    try:
        to_linear(from_linear(np.zeros((1, 1, colours.channels), np.float32), colours, profile), colours, profile)
    except (RuntimeError, ValueError):
        return False
    return True


def from_linear(pixels: Rows, layout: Layout, profile: bytes) -> Rows:
    """Convert linear pixels to the colours of a profile.

    Args:
        pixels: float32, alpha included.
        layout: layout of the result.
        profile: the profile.

    Raises:
        RuntimeError: the profile cannot be used.
    """
    return _converted(pixels, layout, _linear(layout), profile)


def to_linear(pixels: Rows, layout: Layout, profile: bytes) -> Rows:
    """Convert pixels in `layout` to linear sRGB, float32.

    Args:
        pixels: the pixels.
        layout: their layout, without alpha.
        profile: their profile.

    Raises:
        RuntimeError: the profile cannot be used.
    """
    return _converted(pixels, Layout(layout.colour, depth=32), profile, _linear(layout))


def _linear(layout: Layout) -> bytes:
    return profile_of(_LINEAR, layout.colour) or b""


def _converted(pixels: Rows, layout: Layout, source: bytes, target: bytes) -> Rows:
    from imagecodecs import cms_transform

    colours = layout.channels - layout.alpha
    space = "gray" if colours == 1 else "rgb"
    settings: dict[str, Any] = {"colorspace": space, "outcolorspace": space, "outdtype": layout.dtype.name}
    made: Rows = np.empty(pixels.shape, layout.dtype)
    step = max(1, _BAND_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), step):
        band = np.ascontiguousarray(pixels[top : top + step, :, :colours])
        band = band if colours > 1 else band[..., 0]
        found = cms_transform(band, source, target, intent=_RELATIVE, **settings)
        made[top : top + step, :, :colours] = found.reshape(len(band), -1, colours)
    if layout.alpha:
        made[..., -1] = _scaled(pixels[..., -1], layout)
    return made


def _scaled(alpha: Rows, layout: Layout) -> Rows:
    """Alpha of 0 to 1 at the depth of the layout."""
    if layout.depth == 32:
        return alpha
    full = np.iinfo(layout.dtype).max
    whole: Rows = np.floor(np.nan_to_num(alpha.astype(np.float64)).clip(0, 1) * full + 0.5).astype(layout.dtype)
    return whole
