"""Linear light: levels are converted to amounts of light before the layer, and back to levels after it.

When two colours mix, their light adds, not the numbers that encode it. The amounts are whole numbers in float64, so the
layer's sums are exact, and the way an image is cut into tiles does not change a pixel. In a flat area, every level
comes back unchanged. Sources: IEC 61966-2-1 (sRGB) and ICC.1:2022, 10.6 and 10.18 (curves of profiles).
"""

from __future__ import annotations

import functools
import os
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError, Setting
from upsample_cli.images.model import LAB_COLOURS, ColourSpace, Layout, Rows

Array = NDArray[np.float64]

# The amount of light of white, for each depth. With 8 bits, all levels of a curve with a gamma up to 2.7 have different
# amounts, and a table of all amounts is small. With 16 bits, all levels of sRGB have different amounts, and sums are
# exact (below 2**53) up to factor 64; with alpha, up to factor 2.
_MOST = {8: 2**22, 16: 2**34}
_AS_CODED = ("leave out ", Setting("linear_light"))


@dataclass(frozen=True, slots=True)
class Light:
    """The conversion between levels of one layout and amounts of light. `light_of` makes it.

    Args:
        layout: layout of the rows of levels.
        amounts: (colour channels, levels): the light of each level.
        bounds: (colour channels, levels - 1): the smallest amount that belongs to the next level.
    """

    layout: Layout
    amounts: Array
    bounds: Array

    def linear(self, rows: Rows) -> Rows:
        """Convert levels to amounts of light, float64; alpha does not change."""
        made: Rows = self.amounts[0].take(rows)
        for channel in self._others:
            made[..., channel] = self.amounts[channel][rows[..., channel]]
        if self.layout.alpha:
            made[..., -1] = rows[..., -1]
        return made

    def levels(self, light: Rows) -> Rows:
        """Convert amounts of light to the nearest levels. Amounts outside the range are clipped. Alpha is rounded."""
        made = self._nearest(0, light)
        for channel in self._others:
            made[..., channel] = self._nearest(channel, light[..., channel])
        if self.layout.alpha:
            made[..., -1] = np.floor(light[..., -1] + 0.5).clip(0, 2**self.layout.depth - 1)
        return made

    @property
    def largest_amount(self) -> int:
        """The largest amount of light; with alpha, multiplied by an opaque alpha."""
        return _MOST[self.layout.depth] * (2**self.layout.depth - 1 if self.layout.alpha else 1)

    @property
    def _others(self) -> list[int]:
        """The channels whose curve differs from that of the first channel; most profiles have the same for all."""
        return [
            channel
            for channel in range(1, len(self.bounds))
            if not np.array_equal(self.bounds[channel], self.bounds[0])
        ]

    def _nearest(self, channel: int, light: Rows) -> Rows:
        bounds = self.bounds[channel]
        if self.layout.depth == 8:
            return _table(bounds.tobytes()).take(light.astype(np.intp), mode="clip")
        return np.searchsorted(bounds, light, side="right").astype(self.layout.dtype)


@functools.lru_cache(maxsize=8)
def _table(bounds: bytes) -> NDArray[np.uint8]:
    """The 8-bit level of every whole amount. Bounds are whole, so the fraction of an amount does not matter."""
    return np.searchsorted(np.frombuffer(bounds), np.arange(_MOST[8] + 1), side="right").astype(np.uint8)


def light_of(
    path: str | os.PathLike[str], layout: Layout, icc_profile: bytes | None, colour: ColourSpace | None = None
) -> Light:
    """Make the conversion from the curves of the profile, or of the colour space, or of sRGB, in this order.

    Raises:
        ImageError: if the image contains inks or is already linear, or its profile does not have usable curves.

    >>> light = light_of("a.png", Layout("grey"), None)
    >>> light.levels(light.linear(np.array([[[0], [1], [255]]], np.uint8))).ravel().tolist()
    [0, 1, 255]
    >>> half = light.linear(np.array([[[0], [255]]], np.uint8)).mean(axis=1, keepdims=True)
    >>> light.levels(half).item()  # half the light, not half the number
    188
    """
    if layout.colour == "cmyk":
        raise ImageError(path, "holds inks (CMYK), which have no linear light", _AS_CODED, kind="unsupported")
    if layout.colour in LAB_COLOURS:
        raise ImageError(path, "holds Lab colours, which have no linear light", _AS_CODED, kind="unsupported")
    if layout.depth == 32:
        cause = "holds floating point, which is taken for linear already"
        raise ImageError(path, cause, _AS_CODED, kind="unsupported")
    if icc_profile is None and colour is not None:
        icc_profile = _profile_of_space(path, layout, colour)
    try:
        return _light(layout, icc_profile)
    except (ValueError, IndexError, struct.error, OverflowError) as error:
        why = error if isinstance(error, ValueError) else "it is damaged"
        useless = ("has a colour profile that is of no use to ", Setting("linear_light"), f" ({why})")
        raise ImageError(path, useless, _AS_CODED, kind="unsupported") from error


def _profile_of_space(path: str | os.PathLike[str], layout: Layout, colour: ColourSpace) -> bytes | None:
    """The ICC profile of a colour space; None for sRGB."""
    from upsample_cli.images.color.coded import is_srgb, name_of, profile_of

    if is_srgb(colour):
        return None
    profile = profile_of(colour, layout.colour)
    if profile is None:
        cause = ("has colours whose light ", Setting("linear_light"), f" does not know ({name_of(colour)})")
        raise ImageError(path, cause, _AS_CODED, kind="unsupported")
    return profile


@functools.lru_cache(maxsize=4)
def _light(layout: Layout, icc_profile: bytes | None) -> Light:
    largest, most = 2**layout.depth - 1, _MOST[layout.depth]
    count = layout.channels - layout.alpha
    levels, halves = np.arange(largest + 1) / largest, (np.arange(largest) + 0.5) / largest
    if icc_profile is None:
        curves = [(_srgb(levels), _srgb(halves))] * count
    else:
        tags = _curve_tags(icc_profile, count)
        curves = [(_profile_curve(tag, levels), _profile_curve(tag, halves)) for tag in tags]
    amounts = np.stack([np.rint(curve * most) for curve, _ in curves])
    bounds = np.stack([np.ceil(curve * most) for _, curve in curves])
    if not (
        np.isfinite(amounts).all() and (np.diff(amounts) >= 0).all() and 0 <= amounts.min() < amounts.max() <= most
    ):
        raise ValueError("its curves do not rise")
    # If levels are so close that rounding moves a bound past an amount, the amount keeps its own level.
    bounds = np.clip(bounds, np.minimum(amounts[:, :-1] + 1, amounts[:, 1:]), amounts[:, 1:])
    return Light(layout, amounts, bounds)


def _srgb(level: Array) -> Array:
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")


def _curve_tags(profile: bytes, channels: int) -> list[bytes]:
    count = min(struct.unpack_from(">I", profile, 128)[0], 200)
    tags: dict[bytes, bytes] = {}
    for index in range(count):
        name, at, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name in _CURVES:
            tags[name] = profile[at : at + size]
    colours = [tags[name] for name in _CURVES[:3] if name in tags]
    if b"kTRC" in tags:
        return [tags[b"kTRC"]] * channels
    if len(colours) < 3:
        raise ValueError("it has no curves")
    return colours if channels == 3 else [colours[1]]


def _power(base: Array, exponent: float) -> Array:
    if exponent <= 0:
        raise ValueError("its curves do not rise")
    raised: Array = base**exponent
    return raised


def _profile_curve(tag: bytes, level: Array) -> Array:
    """Evaluate a curveType or parametricCurveType at levels from 0 to 1."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = struct.unpack_from(f">{min(count, 1 << 16)}H", tag, 12)
        if count == 0:
            return level
        if count == 1:
            return _power(level, points[0] / 256)
        return np.interp(level, np.linspace(0, 1, len(points)), np.array(points) / 65535)
    if tag[:4] != b"para":
        raise ValueError("its curves are of an unknown kind")
    (kind,) = struct.unpack_from(">H", tag, 8)
    counts = (1, 3, 4, 5, 7)
    g, a, b, c, d, e, f = [number / 65536 for number in struct.unpack_from(f">{counts[kind]}i", tag, 12)] + [0.0] * (
        7 - counts[kind]
    )
    if kind == 0:
        return _power(level, g)
    if kind in (1, 2):  # here c is an offset on both sides of the joint
        d, e, f, c = (-b / a if a else 0.0), c, c, 0.0
    powered = _power(np.maximum(a * level + b, 0), g) + e
    joined: Array = np.where(level >= d, powered, c * level + f)
    return joined.clip(0, 1)
