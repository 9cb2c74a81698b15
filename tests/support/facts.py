"""Failures and losses as lines of text, so that tests can compare them."""

from __future__ import annotations

from collections.abc import Iterable

from upsample_cli.errors import Loss


def lines(losses: Iterable[Loss]) -> tuple[str, ...]:
    """The line of each loss, as the Python API words it."""
    return tuple(map(str, losses))
