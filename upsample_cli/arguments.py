"""Arguments of the Python API as plain Python values, so that the rest of the package need not expect numpy's."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path

from upsample_cli.errors import Setting, UsageError
from upsample_cli.text import shortened

_LARGEST = 2**63 - 1


def whole(value: object, name: str) -> int:
    """A whole number as an int. numpy's own would overflow; a bool is not a number.

    Raises:
        UsageError: naming the argument, if it is another value.

    >>> whole(12, "width")
    12
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError((Setting(name, _shown(value)), " is not a whole number"), "give one")
    if abs(int(value)) > _LARGEST:
        raise UsageError((Setting(name, _shown(value)), " is too large"), "give a smaller number")
    return int(value)


def number(value: object, name: str) -> float:
    """A number as a float; infinity if it is too large for one.

    Raises:
        UsageError: naming the argument, if it is another value.

    >>> number(5, "timeout_s")
    5.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError((Setting(name, _shown(value)), " is not a number"), "give one")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def text(value: object, name: str) -> str:
    """Text, or the path of a file as text.

    Raises:
        UsageError: naming the argument, if it is another value.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise UsageError((Setting(name, _shown(value)), " is not text"), "give a str")
    return path


def texts(value: object, name: str) -> list[str]:
    """One text or path, or several of them, as texts.

    Raises:
        UsageError: naming the argument, if there are other values.
    """
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike)
    return [text(one, name) for one in (_parts(value) if several else (value,))]  # type: ignore[arg-type]


def path(value: object, name: str) -> Path:
    """The path of a file, from text or a path.

    Raises:
        UsageError: naming the argument, if it is another value, or text that cannot be a file's name.

    >>> path("a.png", "source").name
    'a.png'
    """
    found = text(value, name)
    try:
        is_name = b"\0" not in os.fsencode(found)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise UsageError((Setting(name, _shown(found)), " cannot be the name of a file"), "give another")
    return Path(found)


def function(value: object, name: str) -> Callable[..., object]:
    """A function or another object that can be called.

    Raises:
        UsageError: naming the argument, if it is another value.
    """
    if not callable(value):
        raise UsageError((Setting(name, _shown(value)), " cannot be called"), "give a function")
    return value


def flag(value: object, name: str) -> bool:
    """Whether a flag is set. Text such as "no" would be true in Python.

    Raises:
        UsageError: naming the argument, if it is neither true nor false.

    >>> flag(True, "overwrite"), flag(0, "overwrite")
    (True, False)
    """
    is_plain = isinstance(value, Integral) or type(value).__name__ in {"bool_", "bool"}  # numpy's own
    if not is_plain or value not in {0, 1}:
        raise UsageError((Setting(name, _shown(value)), " is neither true nor false"), "give True or False")
    return bool(value)


def size(value: object, name: str) -> tuple[int, ...]:
    """A size as a tuple of ints. How many there are is not checked here.

    Raises:
        UsageError: naming the argument, if it is another value.

    >>> size([1080, 1920], "fit")
    (1080, 1920)
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        lengths = _parts(value)
        if all(isinstance(length, Integral) and not isinstance(length, bool) for length in lengths):
            return tuple(map(int, lengths))  # type: ignore[arg-type]
    raise UsageError((f"{_shown(value)} is not a valid ", Setting(name)), "give whole pixels, height first")


def _parts(value: Iterable[object]) -> tuple[object, ...]:
    try:
        return tuple(value)
    except TypeError:  # an array or a tensor of one number has the method, and no parts
        return (value,)


def _shown(value: object) -> str:
    """A value for a message, which is short."""
    return shortened(repr(value))
