"""A row of a record, and the checks that upsample can have written it: the file may come from an attacker."""

from __future__ import annotations

import functools
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from upsample_cli.atomic.temporaries import is_token
from upsample_cli.batch.json_values import failure_in_json
from upsample_cli.batch.record.identity import Stamp, is_settings
from upsample_cli.errors import Failure
from upsample_cli.images.formats import FORMATS

COLUMNS = (
    "output, input, input_bytes, input_mtime_ns, input_sha256, settings.text AS settings, format, height, width,"
    " output_height, output_width, status, failure, may_pass, output_bytes, output_mtime_ns, token"
)
_MAX_SIDE = 1 << 32


@dataclass(frozen=True, slots=True)
class Row:
    """The record of one output.

    Args:
        output: path of the output, with the links in its folder resolved.
        input: path of the input, resolved in the same way.
        input_stamp: stamp of the input before it was opened; None if it could not be read.
        input_sha256: hash of the input's content; None if it was not requested.
        settings: text of `identity.settings_text`; for a failure, with the conditions that may have caused it.
        format: name of the output's format.
        height, width: size of the input.
        output_height, output_width: size of the output.
        status: "started" if the run ended before the image did.
        failure: why it failed, if it did.
        may_pass: the next run may succeed.
        output_stamp: stamp of the written file; while the status is "started", of the file that was there before. None
            if there was no file.
        token: token of the run.
    """

    output: str
    input: str
    input_stamp: Stamp | None
    input_sha256: str | None
    settings: str
    format: str
    height: int
    width: int
    output_height: int
    output_width: int
    status: Literal["started", "written", "failed"]
    failure: Failure | None
    may_pass: bool
    output_stamp: Stamp | None
    token: str


def row_of(read: sqlite3.Row, folder: str) -> Row | None:
    """Convert a row of the file; None if it names a format that this version does not know.

    Args:
        read: the row, with `COLUMNS`.
        folder: folder of the record. Paths of outputs are relative to it.

    Raises:
        ValueError: if a column has a value that upsample never writes. The message is the name of the column.
    """
    found = checked(read)
    if found["status"] == "failed" and not found["failure"]:
        raise ValueError("failure")
    if found["format"] not in FORMATS:
        return None
    return Row(
        output=os.path.join(folder, os.fsdecode(found["output"])),  # noqa: PTH118
        input=os.fsdecode(found["input"]),
        input_stamp=_stamp(found["input_bytes"], found["input_mtime_ns"]),
        input_sha256=found["input_sha256"],
        settings=found["settings"],
        format=found["format"],
        height=found["height"],
        width=found["width"],
        output_height=found["output_height"],
        output_width=found["output_width"],
        status=found["status"],
        failure=found["failure"] and failure_in_json(found["failure"]),
        may_pass=bool(found["may_pass"]),
        output_stamp=_stamp(found["output_bytes"], found["output_mtime_ns"]),
        token=found["token"],
    )


def checked(read: sqlite3.Row) -> dict[str, Any]:
    """The values of a row, or a part of one, by column. A row that upsample did not write is refused.

    Raises:
        ValueError: if it is refused. The message is the name of the column.
    """
    found = dict(zip(read.keys(), read, strict=True))
    for name, value in found.items():
        if not _CHECKS[name](value):
            raise ValueError(name)
    return found


def stored(text: str) -> str | bytes:
    """A path as a row holds it: as text, or as bytes if it is not valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _stamp(size_bytes: int | None, mtime_ns: int | None) -> Stamp | None:
    return None if size_bytes is None or mtime_ns is None else (size_bytes, mtime_ns)


def _is_path(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and "\0" not in value
    return isinstance(value, bytes) and bool(value) and b"\0" not in value


def _is_number(value: object, least: int = -(1 << 63), most: int = 1 << 63) -> bool:
    return type(value) is int and least <= value <= most


@functools.lru_cache(maxsize=64, typed=True)  # there are few sizes, each in many rows; 1.0 is not a size
def are_sides(*values: Any) -> bool:
    """Whether values from a record can be heights and widths of images.

    >>> are_sides(16, 24), are_sides(16.0, 24), are_sides(16, 0)
    (True, False, False)
    """
    return set(map(type, values)) == {int} and min(values) > 0 and max(values) <= _MAX_SIDE


def _is_bytes_count(value: object) -> bool:
    return value is None or _is_number(value, 0)


def _is_moment(value: object) -> bool:
    return value is None or _is_number(value)


def _is_failure(value: object) -> bool:
    if not isinstance(value, str):
        return value is None
    try:
        return bool(failure_in_json(value).kind)
    except ValueError:
        return False


_SHA256 = re.compile("[0-9a-f]{64}")
_CHECKS: dict[str, Callable[[object], bool]] = {
    "output": _is_path,
    "input": _is_path,
    "input_bytes": _is_bytes_count,
    "input_mtime_ns": _is_moment,
    "input_sha256": lambda value: value is None or (isinstance(value, str) and bool(_SHA256.fullmatch(value))),
    "settings": is_settings,
    "format": lambda value: isinstance(value, str),
    "height": are_sides,
    "width": are_sides,
    "output_height": are_sides,
    "output_width": are_sides,
    "status": lambda value: value in {"started", "written", "failed"},
    "failure": _is_failure,
    "may_pass": lambda value: _is_number(value, 0, 1),
    "output_bytes": _is_bytes_count,
    "output_mtime_ns": _is_moment,
    "token": is_token,
}
