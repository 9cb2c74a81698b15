"""The requested size: a factor, a size, one side, or a box to fit into. Whole numbers and fractions only; no torch.

In Python, sizes are (height, width). In text for people they are WIDTHxHEIGHT, as for screens.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

from upsample_cli.errors import Loss, Setting, UsageError, joined, listed
from upsample_cli.geometry.sizes import MAX_FACTOR

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class OutputSize:
    """The requested size of outputs. Exactly one argument must be given.

    Args:
        factor: how many times each side is enlarged, 1 to 64. A whole factor is an int.
        size: the exact (height, width) in pixels, even if the aspect ratio changes.
        width: the width in pixels; the height keeps the aspect ratio.
        height: the height in pixels; the width keeps the aspect ratio.
        fit: a box, (height, width) in pixels; the output is the largest that fits and keeps the aspect ratio.

    Raises:
        UsageError: if not exactly one argument is given, or its value is illegal.
    """

    factor: int | Fraction | None = None
    size: Size | None = None
    width: int | None = None
    height: int | None = None
    fit: Size | None = None

    def __post_init__(self) -> None:
        given = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            names = listed([(Setting(name),) for name in given], " and ")
            cause = joined(names, " both say how large") if given else "nothing says how large"
            raise UsageError(cause, "give one of them")
        for name, value in given.items():
            if name == "factor":
                _check_factor(value)
            else:
                _check_lengths(name, value, 2 if name in ("size", "fit") else 1)

    @property
    def is_size(self) -> bool:
        """Whether a size is requested, not a factor; then larger images are reduced."""
        return self.factor is None

    @property
    def number(self) -> int | float | None:
        """The factor for JSON; None if a size is requested."""
        return self.factor if self.factor is None or isinstance(self.factor, int) else float(self.factor)

    @property
    def label(self) -> str:
        """The requested size as a part of a folder name.

        >>> [OutputSize(**asked).label for asked in ({"factor": Fraction(3, 2)}, {"size": (9, 16)}, {"width": 800})]
        ['x1.5', '16x9', 'w800']
        """
        if self.factor is not None:
            return f"x{factor_text(self.factor)}"
        side = (("w", self.width), ("h", self.height))
        box = self.size or self.fit
        return f"{box[1]}x{box[0]}" if box else next(f"{letter}{length}" for letter, length in side if length)

    def of(self, height: int, width: int) -> Size:
        """The output size for an input of `height` x `width` pixels.

        Sides that follow from the aspect ratio or the factor are rounded half up and are at least 1.

        >>> OutputSize(factor=Fraction(3, 2)).of(5, 4), OutputSize(width=7).of(20, 30)
        ((8, 6), (5, 7))
        >>> OutputSize(fit=(1080, 1920)).of(1000, 1500), OutputSize(size=(9, 16)).of(1000, 1500)
        ((1080, 1620), (9, 16))
        """
        if self.size is not None:
            return self.size
        if isinstance(self.factor, int):
            return height * self.factor, width * self.factor
        box_height, box_width = self.fit or (self.height, self.width)
        scales = [Fraction(self.factor)] if self.factor else []
        scales += [Fraction(box_height, height)] if box_height else []
        scales += [Fraction(box_width, width)] if box_width else []
        scale = min(scales)
        return _rounded(height * scale), _rounded(width * scale)

    def whole_factor(self, height: int, width: int) -> int:
        """The smallest whole factor that makes both sides large enough. The result may then have to be reduced.

        Raises:
            UsageError: if the factor is above 64.

        >>> OutputSize(width=31).whole_factor(10, 15), OutputSize(width=15).whole_factor(10, 15)
        (3, 1)
        """
        if self.factor is not None:
            return math.ceil(self.factor)
        output_height, output_width = self.of(height, width)
        factor = max(-(-output_height // height), -(-output_width // width))
        if factor > MAX_FACTOR:
            raise UsageError(
                f"{output_width}x{output_height} is {factor} times its size", f"ask for {MAX_FACTOR} times at the most"
            )
        return factor

    def losses(self, height: int, width: int) -> tuple[Loss, ...]:
        """A loss if the output does not keep the aspect ratio of the input, apart from rounding to pixels.

        >>> print(*OutputSize(size=(100, 100)).losses(300, 200))
        200x300 pixels are stretched to 100x100 (fit keeps the proportion)
        """
        if self.size is None:
            return ()
        made = self.size
        near = [OutputSize(height=made[0]).of(height, width), OutputSize(width=made[1]).of(height, width)]
        if made in near:
            return ()
        text = f"{width}x{height} pixels are stretched to {made[1]}x{made[0]} ("
        return (Loss("stretched", (text, Setting("fit"), " keeps the proportion)")),)


_EXAMPLES = (Setting("factor", "2"), ", ", Setting("factor", "1.5"), " or ", Setting("factor", "4/3"))


def _check_factor(factor: int | Fraction) -> None:
    said = factor_text(factor) if isinstance(factor, Fraction) else factor
    if isinstance(factor, (Integral, Fraction)) and factor > MAX_FACTOR:
        raise UsageError(f"factor {said} is too large", f"give a factor from 1 to {MAX_FACTOR}")
    if isinstance(factor, Fraction) and 0 < factor < 1:
        sizes = (Setting("size"), ", ", Setting("width"), ", ", Setting("height"), " or ", Setting("fit"))
        raise UsageError(f"factor {said} would make the image smaller", ("to reduce images, give ", *sizes))
    if isinstance(factor, bool) or not isinstance(factor, (Integral, Fraction)) or factor < 1:
        raise UsageError(f"factor {said} is not a number from 1 to {MAX_FACTOR}", ("give ", *_EXAMPLES))


def _check_lengths(name: str, value: object, count: int) -> None:
    lengths = value if isinstance(value, tuple) else (value,)
    if len(lengths) != count or any(not isinstance(length, Integral) or length < 1 for length in lengths):
        raise UsageError(
            (f"{value!r} is not a valid ", Setting(name)),
            "give whole pixels, 1 or more" + ", height first" * (count - 1),
        )


def _rounded(length: int | Fraction) -> int:
    return max(1, math.floor(length + Fraction(1, 2)))


def parsed_factor(text: str | float | Fraction) -> int | Fraction:
    """Parse a factor: "2", "1.5" or "3/2". A whole factor is an int.

    Raises:
        UsageError: if the text is not such a number.

    >>> parsed_factor("2.0"), parsed_factor("1.5"), parsed_factor("4/3")
    (2, Fraction(3, 2), Fraction(4, 3))
    """
    said = str(text).strip()
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?|\d{1,9}/0*[1-9]\d{0,8}", said):
        raise UsageError(f"factor {said!r} is not a number from 1 to {MAX_FACTOR}", ("give ", *_EXAMPLES))
    factor = Fraction(said)
    return int(factor) if factor.denominator == 1 else factor


def factor_text(factor: int | Fraction) -> str:
    """A factor for a file name: a decimal if four digits after the point suffice, otherwise a fraction with a hyphen.

    >>> factor_text(2), factor_text(Fraction(5, 4)), factor_text(Fraction(4, 3))
    ('2', '1.25', '4-3')
    """
    exact = Fraction(factor)
    return f"{float(exact):g}" if 10**4 % exact.denominator == 0 else f"{exact.numerator}-{exact.denominator}"


def parsed_size(text: str, option: str) -> Size:
    """Parse WIDTHxHEIGHT into (height, width).

    Raises:
        UsageError: if the text does not have this form; the message names `option`.

    >>> parsed_size("3840x2160", "size")
    (2160, 3840)
    """
    match = re.fullmatch(r"\s*0*([1-9]\d{0,8})\s*[x×X*]\s*0*([1-9]\d{0,8})\s*", text)
    if match is None:
        raise UsageError(f"{option} {text!r} is not a size", f"write {option} 3840x2160: width, then height, in pixels")
    return int(match[2]), int(match[1])
