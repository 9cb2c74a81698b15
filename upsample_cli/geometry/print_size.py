"""A size on paper and a resolution, such as 30x20cm@300, and the pixels that they make. Whole numbers and fractions."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

from upsample_cli.errors import Setting, UsageError

MAX_DPI = 65535
"""The highest resolution: as high as the 16 bits of a JPEG can give."""

_PER_INCH = {"in": Fraction(1), "cm": Fraction(254, 100), "mm": Fraction(254, 10)}
_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)"
_PRINT = rf"\s*{_NUMBER}?\s*[x×*]\s*{_NUMBER}?\s*(cm|mm|in)\s*(?:@\s*([0-9]{{1,9}})\s*)?"
_EXAMPLE = Setting("print", "30x20cm@300")


@dataclass(frozen=True, slots=True)
class PrintSize:
    """A box on paper. The image is fitted into it, and its proportion is kept.

    Args:
        width, height: in `unit`; None for a side that follows the proportion of the image.
        unit: "cm", "mm" or "in".
    """

    width: Fraction | None
    height: Fraction | None
    unit: str

    def __str__(self) -> str:
        sides = (
            "" if side is None else f"{float(side):.6f}".rstrip("0").rstrip(".") for side in (self.width, self.height)
        )
        return f"{'x'.join(sides)}{self.unit}"

    def pixels(self, dpi: int) -> dict[str, int | tuple[int, int]]:
        """The same size as the arguments of `OutputSize`. Lengths are rounded half up and are at least 1.

        >>> parsed_print("30x20cm")[0].pixels(300), parsed_print("x8in")[0].pixels(300)
        ({'fit': (2362, 3543)}, {'height': 2400})
        """
        height, width = (
            None if side is None else max(1, math.floor(side / _PER_INCH[self.unit] * dpi + Fraction(1, 2)))
            for side in (self.height, self.width)
        )
        if height is not None and width is not None:
            return {"fit": (height, width)}
        return {"width": width} if width is not None else {"height": height or 1}


def checked_dpi(dpi: object) -> int:
    """A resolution in whole dots per inch.

    Raises:
        UsageError: if it is not a whole number from 1 to `MAX_DPI`.
    """
    if not isinstance(dpi, Integral) or isinstance(dpi, bool) or not 1 <= int(dpi) <= MAX_DPI:
        raise UsageError(
            (Setting("dpi", str(dpi)), " is not a resolution"),
            (f"give whole dots per inch, 1 to {MAX_DPI}, such as ", Setting("dpi", 300)),
        )
    return int(dpi)


def parsed_dpi(text: str) -> int:
    """Parse a resolution; see `checked_dpi`.

    >>> parsed_dpi("300")
    300
    """
    return checked_dpi(int(text) if re.fullmatch(r"\s*[0-9]{1,9}\s*", text) else text)


@functools.lru_cache(maxsize=8)  # called for each image of a batch
def parsed_print(text: str) -> tuple[PrintSize, int | None]:
    """Parse WIDTHxHEIGHT with a unit, and a resolution behind "@" if there is one. One side may be missing.

    Raises:
        UsageError: if the text does not have this form, or a number is 0 or too large.

    >>> size, dpi = parsed_print("29.70 x 21 CM @ 300")
    >>> str(size), dpi
    ('29.7x21cm', 300)
    >>> str(parsed_print("30xcm@300")[0]), str(parsed_print("x8in")[0])
    ('30xcm', 'x8in')
    """
    match = re.fullmatch(_PRINT, text, re.IGNORECASE)
    if match is None or (match[1] or match[2]) is None:
        raise UsageError(
            (Setting("print", repr(text)), " is not a size on paper"),
            ("write ", _EXAMPLE, ": width, then height, in cm, mm or in, and dots per inch"),
        )
    width, height = (None if side is None else Fraction(side) for side in match.groups()[:2])
    if 0 in (width, height):
        cause = (Setting("print", repr(text)), " has a side of length 0")
        raise UsageError(cause, "to let a side follow the proportion, leave it out, as in 30xcm@300 or x20cm@300")
    dpi = None if match[4] is None else int(match[4])
    if dpi is not None and not 1 <= dpi <= MAX_DPI:
        cause = (Setting("print", repr(text)), f" has a resolution of {dpi} dots per inch")
        raise UsageError(cause, (f"give 1 to {MAX_DPI}, as in ", _EXAMPLE))
    return PrintSize(width, height, match[3].lower()), dpi
