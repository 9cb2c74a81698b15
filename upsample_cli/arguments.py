"""Arguments of the Python API as plain Python values, so that the rest of the package need not expect numpy's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral

from upsample_cli.errors import Setting, UsageError


def whole(value: object, name: str) -> int:
    """A whole number as an int. numpy's own would overflow; a bool is not a number.

    Raises:
        UsageError: naming the argument, if it is another value.

    >>> whole(12, "width")
    12
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError((Setting(name, repr(value)), " is not a whole number"), "give one")
    return int(value)


def text(value: object, name: str) -> str:
    """Text, or the path of a file as text.

    Raises:
        UsageError: naming the argument, if it is another value.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise UsageError((Setting(name, repr(value)), " is not text"), "give a str")
    return path


def size(value: object, name: str) -> tuple[int, ...]:
    """A size as a tuple of ints. How many there are is not checked here.

    Raises:
        UsageError: naming the argument, if it is another value.

    >>> size([1080, 1920], "fit")
    (1080, 1920)
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        lengths = tuple(value)
        if all(isinstance(length, Integral) and not isinstance(length, bool) for length in lengths):
            return tuple(int(length) for length in lengths)
    raise UsageError((f"{value!r} is not a valid ", Setting(name)), "give whole pixels, height first")
