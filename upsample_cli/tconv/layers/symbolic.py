"""Sizes with a letter in them: what layers make of `n`, simplified as far as whole numbers allow. No torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.sizes import NamedPadding, PaddingMode, conv_padding

_MOST_ROUNDINGS, _LARGEST_NUMBER = 24, 2**600
"""In a formula for a size: quotients that are rounded inside one another, and numbers."""
_SYMBOLIC_SIZE = re.compile(r"(?:[0-9]{1,99}|[a-wyz])(?: ?[x×] ?(?:[0-9]{1,99}|[a-wyz])){0,9}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """What a layer makes of one axis, for every size it accepts: `floor((multiply*size + add)/divide) + after`."""

    multiply: int = 1
    add: int = 0
    divide: int = 1
    after: int = 0

    def of(self, size: Size) -> Size:
        """The size after the layer.

        >>> print(SizeRule(multiply=2, add=-1).of(Symbolic("n")), SizeRule(add=-1, divide=2, after=1).of(Symbolic("n")))
        2n-1 floor((n-1)/2)+1
        """
        if isinstance(size, int):
            return (self.multiply * size + self.add) // self.divide + self.after
        if self.multiply == 0:
            return self.add // self.divide + self.after
        scaled = Symbolic(size.atom, size.factor * self.multiply, size.constant * self.multiply + self.add)
        divided = _floor_divided(scaled, self.divide)
        return _short(Symbolic(divided.atom, divided.factor, divided.constant + self.after))


@dataclass(frozen=True, slots=True)
class Floor:
    """`inner / divisor`, rounded down."""

    inner: Symbolic
    divisor: int

    def __str__(self) -> str:
        return f"floor({bracketed(self.inner)}/{self.divisor})"


@dataclass(frozen=True, slots=True)
class Symbolic:
    """A size that is `factor * atom + constant`.

    Args:
        atom: a letter, or a rounded quotient.
        factor: at least 1.
        constant: any whole number.

    >>> print(Symbolic("n", 2, -1), Symbolic("n").at(7))
    2n-1 7
    """

    atom: str | Floor
    factor: int = 1
    constant: int = 0

    def at(self, value: int) -> int:
        """The number it is where its letter is `value`."""
        atom = value if isinstance(self.atom, str) else self.atom.inner.at(value) // self.atom.divisor
        return self.factor * atom + self.constant

    def __str__(self) -> str:
        times = "" if self.factor == 1 else f"{self.factor}" if isinstance(self.atom, str) else f"{self.factor}*"
        return f"{times}{self.atom}" + (f"{self.constant:+d}" if self.constant else "")


Size: TypeAlias = int | Symbolic
"""The length of an axis: a number, or an expression with a letter."""
AnySize = TypeVar("AnySize", int, Size)
"""Numbers give numbers; where letters go in, either may come out."""


def conv_rule(
    *,
    kernel_size: int,
    stride: int = 1,
    padding: int | NamedPadding = 0,
    dilation: int = 1,
    padding_mode: PaddingMode = "zeros",  # noqa: ARG001  it limits sizes and changes none
) -> SizeRule:
    """`arithmetic.conv_output_size` for every size at once."""
    added = sum(conv_padding(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation))
    return SizeRule(add=added - dilation * (kernel_size - 1) - 1, divide=stride, after=1)


def transposed_rule(
    *, kernel_size: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> SizeRule:
    """`arithmetic.transposed_output_size` for every size at once."""
    return SizeRule(stride, dilation * (kernel_size - 1) + output_padding + 1 - 2 * padding - stride)


def bracketed(size: Size) -> str:
    """A size as it stands inside a formula: in brackets where it is a sum.

    >>> bracketed(Symbolic("n", 2, -1)), bracketed(Symbolic("n", 2)), bracketed(50)
    ('(2n-1)', '2n', '50')
    """
    return f"({size})" if isinstance(size, Symbolic) and size.constant else str(size)


def parse_symbolic_size(text: str) -> tuple[Size, ...] | None:
    """The sizes that `n`, `nx224` or `HxW` means, numbers being numbers; None of any other text. No letter is an x.

    >>> [str(size) for size in parse_symbolic_size("3xn")], parse_symbolic_size("photo.jpg")
    (['3', 'n'], None)
    """
    if not _SYMBOLIC_SIZE.fullmatch(text):
        return None
    words = [word.strip() for word in re.split("[xX×]", text)]
    return tuple(Symbolic(word) if word.isalpha() else int(word) for word in words)


def _floor_divided(size: Symbolic, divisor: int) -> Symbolic:
    """`floor(size / divisor)`: a common factor is taken out, and a quotient of a quotient is one quotient."""
    common = math.gcd(size.factor, divisor)
    factor, constant, divisor = size.factor // common, size.constant // common, divisor // common
    if divisor == 1:
        return Symbolic(size.atom, factor, constant)
    if factor == 1 and isinstance(size.atom, Floor):
        inner = size.atom.inner
        shifted = Symbolic(inner.atom, inner.factor, inner.constant + constant * size.atom.divisor)
        return _floor_divided(shifted, divisor * size.atom.divisor)
    whole = -(-constant // divisor)  # what stays inside is above -divisor and at most 0: the textbook's floor((n-1)/2)
    return Symbolic(Floor(Symbolic(size.atom, factor, constant - whole * divisor), divisor), 1, whole)


def _short(size: Symbolic) -> Symbolic:
    """Refuse a formula that nobody could read, and that would grow with each layer."""
    part, roundings = size, 0
    while max(part.factor, abs(part.constant)) <= _LARGEST_NUMBER:
        if isinstance(part.atom, str):
            return size
        roundings += 1
        if roundings > _MOST_ROUNDINGS or part.atom.divisor > _LARGEST_NUMBER:
            break
        part = part.atom.inner
    raise GeometryError("the formula for the size is too long", "give the size in numbers")
