"""Quantities as people write them, and texts of others in messages: on one line, and short."""

from __future__ import annotations

import re
from fractions import Fraction

from upsample_cli.errors import UsageError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate(("k", "m", "g", "t"), start=1)}


def parse_quantity(text: str, option: str) -> int:
    """Parse a number with an optional unit: k, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (powers of 1024).

    A "B" may follow.

    Raises:
        UsageError: naming `option`, if the text is not such a quantity or is less than one.

    >>> parse_quantity("1.5G", "memory"), parse_quantity("512MiB", "memory")
    (1500000000, 536870912)
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS or (value := int(Fraction(match[1]) * _UNITS[match[2]])) < 1:
        raise UsageError(f"{option} {text!r} is not a quantity", f"write {option} 2G or {option} 500M")
    return value


def parse_seconds(text: str, option: str) -> float:
    """Parse a duration in seconds.

    Raises:
        UsageError: naming `option`, if the text is not a number.

    >>> parse_seconds("2.5", "timeout")
    2.5
    """
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a number of seconds", f"write {option} 30") from None


def one_line(text: str) -> str:
    r"""Escape unprintable characters, for text on one line of a terminal.

    >>> print(one_line("a\nb\x1b[31m é.jpg"))
    a\nb\x1b[31m é.jpg
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = 80) -> str:
    """A text for a message: its first `most` characters, followed by "..." if there are more.

    >>> shortened("a name that is long", 6)
    'a name...'
    """
    return text if len(text) <= most else f"{text[:most]}..."


def short_cause(error: BaseException) -> str:
    r"""What an exception of a library says, for a message: on one line and short, or its type if it says nothing.

    >>> short_cause(ValueError("shapes\n  differ")), short_cause(KeyError())
    ('shapes differ', 'KeyError')
    """
    return " ".join(str(error).split())[:200] or type(error).__name__
