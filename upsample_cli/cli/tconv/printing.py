"""What the `tconv` commands share: a console for results, and settings read from options."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from upsample_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]{1,99}")
_AMPLE_WIDTH = 10_000
"""Columns of output that is not a terminal: wide enough that no line is broken."""


def result_console() -> Console:
    """A console for stdout that breaks lines only on a terminal."""
    from rich.console import Console  # here: --json does not need it

    console = Console(highlight=False)
    if sys.stdout is None or not sys.stdout.isatty():
        console.width = _AMPLE_WIDTH
    return console


def print_document(document: dict[str, Any]) -> None:
    """Print a JSON document on one line."""
    print(json.dumps(document))


def whole_numbers(option: str, text: str) -> int | tuple[int, ...]:
    """One number, or one per axis, as `3` or `3,2,2`.

    Raises:
        UsageError: naming the option, if the text is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(_LIKE_A_NUMBER.fullmatch(part) for part in parts):
        raise UsageError(
            f"{option} {text} is not a whole number", f"write {option} 3, or one number per axis: {option} 3,2"
        )
    numbers = tuple(int(part) for part in parts)
    return numbers if len(numbers) > 1 else numbers[0]


def settings_given(**texts: str | None) -> dict[str, int | tuple[int, ...]]:
    """Settings of a layer from the options of the same names, without those that were not given.

    Raises:
        UsageError: see `whole_numbers`.
    """
    return {
        name: whole_numbers(f"--{name.replace('_', '-')}", text) for name, text in texts.items() if text is not None
    }
