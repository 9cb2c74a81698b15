"""The values of options as fields of `Options` and `Request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from upsample_cli.geometry.output_size import parsed_size
from upsample_cli.geometry.print_size import parsed_dpi
from upsample_cli.text import parse_quantity, parse_seconds

_PARSERS: dict[str, Callable[[Any], Any]] = {
    "exclude": tuple,
    "size": partial(parsed_size, option="--size"),
    "dpi": parsed_dpi,
    "fit": partial(parsed_size, option="--fit"),
    "memory_bytes": partial(parse_quantity, option="--memory"),
    "max_pixels": partial(parse_quantity, option="--max-pixels"),
    "timeout_s": partial(parse_seconds, option="--timeout"),
}
"""The parsers of options whose fields have another type, by the name of the field."""


def field_values(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values for the fields of a dataclass, from parameters of the command with the same names.

    Raises:
        UsageError: if a text cannot be parsed.

    >>> from upsample_cli.enlarge.options import Options
    >>> field_values(Options, {"fit": "640x480", "tile": None, "quiet": True})
    {'tile': None, 'fit': (480, 640)}
    """
    return {
        name: _PARSERS[name](given[name]) if name in _PARSERS and given[name] is not None else given[name]
        for name in (field.name for field in fields(kind))
        if name in given
    }
