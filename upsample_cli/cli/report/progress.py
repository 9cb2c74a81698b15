"""Show the progress of a run: bars on a terminal, otherwise an occasional line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from upsample_cli.cli.report.counts import Progress
from upsample_cli.cli.report.output import Output

Item = TypeVar("Item")


def shown_progress(messages: Output, *, is_shown: bool, waits_for_more: bool = False) -> Progress:
    """Bars on a terminal, otherwise an occasional line; neither if `is_shown` is false. See `Progress`."""
    if is_shown and _is_terminal(messages):
        from upsample_cli.cli.report.bars import Bars

        return Bars(messages, waits_for_more=waits_for_more)
    return Progress(messages, prints_lines=is_shown, waits_for_more=waits_for_more)


def counted(items: Iterable[Item], what: str, messages: Output, *, is_shown: bool) -> Iterable[Item]:
    """The items. If they take long, a line on the terminal counts them: "12,345 images found"."""
    if is_shown and _is_terminal(messages):
        from upsample_cli.cli.report.bars import counted_on_terminal

        return counted_on_terminal(items, what, messages.console)
    return items


def _is_terminal(messages: Output) -> bool:
    return messages.file.isatty()  # rich's is_terminal is also true under FORCE_COLOR
