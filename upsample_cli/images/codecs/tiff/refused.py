"""Names of the kinds of pixels that are refused because no reader reads them correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upsample_cli.images.codecs.tiff.kinds import JPEG_XR, photometric_of

if TYPE_CHECKING:
    from tifffile import TiffPage

_PHOTOMETRIC = {
    4: "a transparency mask and no image", 10: "ITU Lab colours", 32803: "raw data of a camera (CFA)",
    32844: "LogL light", 32845: "LogLuv light", 34892: "raw data of a camera (LinearRaw)", 51177: "a depth map",
}  # fmt: skip
_CMYK, _INK_SET = 5, 332
_COMPLEX = {5, 6}
_SIGNED, _MOST_BITS = 2, 32


def refused_kind(page: TiffPage) -> str | None:
    """The name of a kind of pixels that no reader reads correctly; None if Pillow may read the page."""
    bits, photometric = page.bitspersample, photometric_of(page)
    kinds = (
        (page.compression in JPEG_XR, "pixels in JPEG XR"),
        (photometric in _PHOTOMETRIC, _PHOTOMETRIC.get(photometric)),
        (page.sampleformat in _COMPLEX, "complex numbers"),
        (page.sampleformat == _SIGNED, "signed numbers with transparency, or of a kind that cannot be signed"),
        (not isinstance(bits, int), f"channels of different depths ({bits})"),
        (isinstance(bits, int) and bits > _MOST_BITS // 2, f"whole numbers of {bits} bits"),
        (page.imagedepth != 1, "a volume of several slices"),
        (photometric == _CMYK and page.tags.valueof(_INK_SET, 1) != 1, "inks other than CMYK"),
    )
    return next((kind for is_it, kind in kinds if is_it), None)
