"""What an output depends on: the state of its input, and the settings that determine its pixels."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import stat
from dataclasses import fields
from typing import Any

from upsample_cli.enlarge.options import DEFAULT_FACTOR, Options
from upsample_cli.errors import Setting, Text, listed
from upsample_cli.images.formats import format_named
from upsample_cli.kernels.kernel import KERNEL_NAMES

ALGORITHM_VERSION = 4
"""Increase it when the same settings, or the defaults, give different pixels than before."""

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds: they identify a state of a file."""

_CONDITIONS = ("device", "engine", "memory_bytes", "tile", "strict", "max_pixels")
_WITHOUT_EFFECT = ("name", "overwrite", "keep_times", *_CONDITIONS)
_ALWAYS_INCLUDED = ("kernel",)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NAME = re.compile("[a-z][a-z0-9_]{,39}")
_LONGEST_TEXT = 1 << 15  # holds a path of 4096 characters, each escaped in JSON
_LATEST_NS = (1 << 63) - 1
_NAMES = {
    "algorithm": "another version of the algorithm",
    "kernel_sha256": "other weights in the file",
    "model_sha256": "another network in the file",
}


def settings_text(options: Options, *, conditions: bool = False) -> str:
    """The settings that determine an output, as canonical JSON: factor, kernel, and all that are not the default.

    An option is included unless it is known not to change the output. So a new option may cause outputs to be made
    again without need, in runs that use it, but it never keeps a stale output.

    Args:
        conditions: include the settings that decide whether an image succeeds, such as the device.

    >>> settings_text(Options(format="JPG", overwrite=True))
    '{"algorithm":4,"factor":2,"format":"jpeg","kernel":"bilinear"}'
    """
    chosen: dict[str, Any] = {"algorithm": ALGORITHM_VERSION}
    for field in fields(options):
        value = getattr(options, field.name)
        is_included = field.name in _ALWAYS_INCLUDED or value != field.default
        if is_included and (field.name not in _WITHOUT_EFFECT or (conditions and field.name in _CONDITIONS)):
            chosen[field.name] = value
    chosen["factor"] = DEFAULT_FACTOR if options.factor is None else options.factor  # also with a size, in records
    if options.format is not None:
        chosen["format"] = format_named(options.format).name
    if options.kernel not in KERNEL_NAMES:
        from upsample_cli.kernels.weights.files import split_place  # imports numpy

        chosen["kernel_sha256"] = sha256_of(split_place(options.kernel)[0])  # the file may change
    if options.model is not None:
        chosen["model_sha256"] = sha256_of(options.model)
    return json.dumps(chosen, sort_keys=True, separators=(",", ":"), default=str)


@functools.lru_cache(maxsize=64)  # there are few texts, each in many rows
def is_settings(text: object) -> bool:
    """Whether a value from a file has the form of `settings_text`.

    >>> [is_settings(text) for text in (settings_text(Options()), "", "[]", '{"tile":[1]}')]
    [True, False, False, False]
    """
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        return False
    try:
        chosen = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(chosen, dict) and all(_NAME.fullmatch(name) and _is_value(chosen[name]) for name in chosen)


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(isinstance(side, int) for side in value)
    return value is None or isinstance(value, (bool, int, float, str))


def settings_differences(before: str, now: str) -> Text:
    """The settings of `before` that differ from `now`; empty if the two texts are equal.

    >>> from upsample_cli.errors import spelled
    >>> spelled(settings_differences('{"algorithm":3,"factor":2,"kernel":"bilinear","quality":90}',
    ...                              '{"algorithm":3,"factor":3,"kernel":"bilinear"}'))
    'factor=2 and quality=90'
    >>> spelled(settings_differences('{"algorithm":3}', '{"algorithm":3,"border":"zeros","linear_light":true}'))
    'border=replicate and no linear_light'
    """
    usual = {field.name: field.default for field in fields(Options)}
    old, new = usual | json.loads(before), usual | json.loads(now)
    changed = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    contents = {f"{name}_sha256" for name in changed}  # that another file has another content goes without saying
    changed = [name for name in changed if name not in contents]
    return listed([_setting_text(name, old.get(name)) for name in changed], " and ")


def _setting_text(name: str, value: object) -> Text:
    if name in _NAMES:
        return _NAMES[name]
    if value is None or value is False:
        return "no ", Setting(name)
    if isinstance(value, list):
        return (Setting(name, f"{value[1]}x{value[0]}"),)
    return (Setting(name, True if value is True else str(value)),)


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """The stamp of a file, with links followed; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116  called for every file: a Path is slow
    except (OSError, ValueError):
        return None
    return status.st_size, max(-_LATEST_NS, min(status.st_mtime_ns, _LATEST_NS))  # SQLite's integers end in 2262


def sha256_of(path: str | os.PathLike[str]) -> str | None:
    """The hash of a file's content; None if it cannot be read, or is not a regular file."""
    try:
        # Opening a pipe would wait for its writer, and reading a device might never end.
        with os.fdopen(os.open(path, os.O_RDONLY | _NO_WAITING), "rb") as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return hashlib.file_digest(file, "sha256").hexdigest() if is_regular else None
    except OSError:
        return None
