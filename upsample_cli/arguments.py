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


def flag(value: object, name: str) -> bool:
    """Whether a flag is set. Text such as "no" would be true in Python.

    Raises:
        UsageError: naming the argument, if it is neither true nor false.

    >>> flag(True, "overwrite"), flag(0, "overwrite")
    (True, False)
    """
    is_plain = isinstance(value, Integral) or type(value).__name__ in {"bool_", "bool"}  # numpy's own
    if not is_plain or value not in {0, 1}:
        raise UsageError((Setting(name, repr(value)), " is neither true nor false"), "give True or False")
    return bool(value)


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
