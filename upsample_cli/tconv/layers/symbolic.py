"""Sizes with a letter: the size after layers for an input of `n`, simplified by rules for whole numbers. No torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from upsample_cli.errors import GeometryError

_MOST_ROUNDINGS, _LARGEST_NUMBER = 24, 2**600
"""Limits of a formula for a size: nested rounded quotients, and the largest number."""
_SYMBOLIC_SIZE = re.compile(r"(?:[0-9]{1,99}|[a-wyz])(?: ?[x×] ?(?:[0-9]{1,99}|[a-wyz])){0,9}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Floor:
    """`inner / divisor`, rounded down."""

    inner: Symbolic
    divisor: int

    def __str__(self) -> str:
        return f"floor({bracketed(self.inner)}/{self.divisor})"


@dataclass(frozen=True, slots=True)
class Symbolic:
    """A size `factor * atom + constant`. Whole numbers can be added to it, and it can be multiplied or divided by them.

    Args:
        atom: a letter, the word "in", or a rounded quotient.
        factor: at least 1.
        constant: any whole number.

    Raises:
        GeometryError: if the formula, which can grow with each layer, is too long to read.

    >>> n = Symbolic("n")
    >>> print(n * 2 - 1, (n - 1) // 2 + 1, (n * 2 - 1).at(7))
    2n-1 floor((n-1)/2)+1 13
    """

    atom: str | Floor
    factor: int = 1
    constant: int = 0

    def __post_init__(self) -> None:
        part, roundings = self, 0
        while max(part.factor, abs(part.constant)) <= _LARGEST_NUMBER:
            if isinstance(part.atom, str):
                return
            roundings += 1
            if roundings > _MOST_ROUNDINGS or part.atom.divisor > _LARGEST_NUMBER:
                break
            part = part.atom.inner
        raise GeometryError("the formula for the size is too long", "give the size in numbers")

    def __add__(self, number: int) -> Symbolic:
        return Symbolic(self.atom, self.factor, self.constant + number)

    def __sub__(self, number: int) -> Symbolic:
        return self + -number

    def __mul__(self, number: int) -> Symbolic:
        return Symbolic(self.atom, self.factor * number, self.constant * number)

    def __floordiv__(self, divisor: int) -> Symbolic:
        """The quotient, rounded down. Common factors are cancelled, and nested quotients become one."""
        common = math.gcd(self.factor, divisor)
        factor, constant, divisor = self.factor // common, self.constant // common, divisor // common
        if divisor == 1:
            return Symbolic(self.atom, factor, constant)
        if factor == 1 and isinstance(self.atom, Floor):
            return (self.atom.inner + constant * self.atom.divisor) // (divisor * self.atom.divisor)
        # The remaining constant is in (-divisor, 0], as in the textbook's floor((n-1)/2).
        whole = -(-constant // divisor)
        return Symbolic(Floor(Symbolic(self.atom, factor, constant - whole * divisor), divisor), 1, whole)

    def at(self, value: int) -> int:
        """The size if the letter is `value`."""
        atom = value if isinstance(self.atom, str) else self.atom.inner.at(value) // self.atom.divisor
        return self.factor * atom + self.constant

    def __str__(self) -> str:
        is_letter = isinstance(self.atom, str) and len(self.atom) == 1
        times = "" if self.factor == 1 else f"{self.factor}" if is_letter else f"{self.factor}*"
        return f"{times}{self.atom}" + (f"{self.constant:+d}" if self.constant else "")


Size: TypeAlias = int | Symbolic
"""The length of an axis: a number, or an expression with a letter."""
AnySize = TypeVar("AnySize", int, Size)
"""A function of sizes that maps numbers to numbers, and sizes with letters to either."""


def bracketed(size: Size) -> str:
    """The text of a size inside a formula: in brackets if it is a sum.

    >>> bracketed(Symbolic("n", 2, -1)), bracketed(Symbolic("n", 2)), bracketed(50)
    ('(2n-1)', '2n', '50')
    """
    return f"({size})" if isinstance(size, Symbolic) and size.constant else str(size)


def parse_symbolic_size(text: str) -> tuple[Size, ...] | None:
    """Parse sizes with letters, such as `n`, `nx224` or `HxW`; None for any other text. The separator is the letter x.

    >>> [str(size) for size in parse_symbolic_size("3xn")], parse_symbolic_size("photo.jpg")
    (['3', 'n'], None)
    """
    if not _SYMBOLIC_SIZE.fullmatch(text):
        return None
    words = [word.strip() for word in re.split("[xX×]", text)]
    return tuple(Symbolic(word) if word.isalpha() else int(word) for word in words)


def parse_size(text: str) -> tuple[int, ...] | None:
    """Parse sizes such as `50`, `50x100` or `10x50x100`, height before width; None for any other text.

    >>> parse_size("10x50x100"), parse_size("10xn")
    ((10, 50, 100), None)
    """
    sizes = parse_symbolic_size(text) or ()
    numbers = tuple(size for size in sizes if isinstance(size, int))
    return numbers if len(numbers) == len(sizes) > 0 else None
