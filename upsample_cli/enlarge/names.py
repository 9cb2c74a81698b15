"""Names of outputs, made by a template such as `{parent}/{stem}_x{factor}{ext}`."""

from __future__ import annotations

import functools
import os
import re
import string
from dataclasses import dataclass
from pathlib import PurePath

from upsample_cli.errors import ImageError, Setting, UsageError

DEFAULT_NAME = "{stem}_x{factor}{ext}"
SIZE_NAME = "{stem}_{width}x{height}{ext}"
"""The default if a size is given instead of a factor."""
_LONGEST_PART_BYTES = 255
_NOT_IN_A_SPEC = re.compile(rf"[{{/\x00-\x1f\x7f{re.escape(os.sep)}]")
"""Nested fields, and characters such as the slash in `{index:/>3}`, which would pad the names of some images only."""
_WIDEST = 99
"""The largest width to which a field can be padded. The length of file names is limited."""


@dataclass(slots=True)
class NameFields:
    """The values for the fields of a template.

    Args:
        stem: the input's name without its extension.
        ext: the output's extension, with its dot.
        factor: as it is written in a name: 2, 1.5, 4-3. If a size is given, how many times wider the output is.
        parent: name of the folder that contains the input.
        index: number of the input in the run, from 1.
        width, height: size of the output.
        kernel: name of the kernel; for a file, the file's name without folder and extension.
    """

    stem: str
    ext: str
    factor: int | str
    parent: str
    index: int
    width: int
    height: int
    kernel: str

    def __getitem__(self, name: str) -> object:
        """The value of a field, as `str.format_map` asks for it."""
        return getattr(self, name)


_SAMPLE = NameFields("s", ".e", 2, "p", 1, 2, 2, "k")


def check_template(template: str) -> None:
    """Refuse a template that cannot name a file below a folder.

    Raises:
        UsageError: if it cannot; the message says why.

    >>> check_template("{parent}/{stem}_{index:05}{ext}")
    >>> check_template("../{stem}")
    Traceback (most recent call last):
    upsample_cli.errors.UsageError: name='../{stem}' leads out of the output's folder; leave out ".."
    """
    setting = Setting("name", repr(template))
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        cause = (setting, f" cannot be read: {error}")
        raise UsageError(cause, "write fields as {stem}, and a brace itself as {{") from error
    for _, name, spec, conversion in parts:
        if name is not None:
            _check_field(setting, name, spec or "", conversion)
    filled = template.format_map(_SAMPLE)
    if os.path.isabs(filled) or PurePath(filled).drive:  # noqa: PTH117
        next_step = ("give the folder to ", Setting("output"), ", and the name in it to ", Setting("name"))
        raise UsageError((setting, " is an absolute path"), next_step)
    if ".." in _parts(filled):
        raise UsageError((setting, " leads out of the output's folder"), 'leave out ".."')
    if any(character < " " or character == "\x7f" for character in filled):
        raise UsageError((setting, " holds a character that names cannot have"), "leave out control characters")
    if (fault := _fault(filled)) is not None:
        raise UsageError((setting, f" {fault}"), "write something like {stem}_x{factor}{ext}")


def _check_field(setting: Setting, name: str, spec: str, conversion: str | None) -> None:
    known = NameFields.__slots__
    if name not in known:
        raise UsageError(
            (setting, f" has a field {{{repr(name)[1:-1]}}} that is not known"),
            "choose from " + ", ".join(f"{{{field}}}" for field in known),
        )
    widths = "".join(character if character.isdigit() else " " for character in spec).split()
    try:
        if conversion or _NOT_IN_A_SPEC.search(spec) or any(int(width) > _WIDEST for width in widths):
            raise ValueError
        format(getattr(_SAMPLE, name), spec)
    except ValueError as error:
        cause = (setting, f" cannot write {name} as {spec or conversion!r}")
        raise UsageError(cause, "pad numbers with zeros as in {index:05}") from error


@functools.lru_cache(maxsize=8)
def template_suffix(template: str) -> str | None:
    """The extension that a template gives to every output; "" if it does not give one, None if it uses `{ext}`.

    >>> template_suffix("{stem}.png"), template_suffix("{stem}_large"), template_suffix("{stem}{ext}")
    ('.png', '', None)
    """
    last = template.rpartition("/")[2]
    fields = list(string.Formatter().parse(last))
    if any(name == "ext" for _, name, _, _ in fields):
        return None
    end, name = (fields[-1][0], fields[-1][1]) if fields else ("", None)
    return "" if name is not None else PurePath(f"x{end}").suffix


def named(template: str, fields: NameFields, image: str) -> str:
    """The output's path below its folder.

    Args:
        template: checked by `check_template`; `{ext}` is added if it does not have an extension.
        image: the input, for messages.

    Raises:
        ImageError: if no file can have that name.

    >>> fields = NameFields("a", ".png", 2, "shots", 7, 8, 6, "bilinear")
    >>> named("{parent}/{stem}_{index:03}", fields, "shots/a.png")
    'shots/a_007.png'
    """
    try:
        name = template.format_map(fields)
    except ValueError as error:  # a fractional factor in the format of a whole number
        cause = (Setting("name", repr(template)), f" cannot be filled: {error}")
        raise ImageError(image, cause, "write {factor}", kind="usage") from error
    if template_suffix(template) == "":
        name += fields.ext
    return checked_name(name, image)


def checked_name(name: str, image: str) -> str:
    """An output's path below its folder, if files can have it.

    Raises:
        ImageError: if no file can have that name.
    """
    fault = _fault(name)
    if fault is None and ".." in name and ".." in _parts(name):
        fault = "leads out of the output's folder"
    if fault is not None:
        raise ImageError(image, f"its output's name {name!r} {fault}", ("give another ", Setting("name")), kind="usage")
    return name


def _parts(name: str) -> list[str]:
    return name.replace(os.sep, "/").split("/")


def _fault(name: str) -> str | None:
    """Why no file can have a name, as the rest of a sentence that starts with the name; None if one can."""
    parts = _parts(name)
    if "" in parts or "." in parts:
        return "has a part that is empty"
    try:
        longest_bytes = max(map(len, map(os.fsencode, parts)))
    except UnicodeEncodeError:
        return "holds a character that no file name can hold"
    if longest_bytes > _LONGEST_PART_BYTES:
        return f"is longer than the {_LONGEST_PART_BYTES} bytes that file systems take"
    return None
