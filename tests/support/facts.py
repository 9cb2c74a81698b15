"""Failures and losses as tests compare them: by their lines."""

from __future__ import annotations

from collections.abc import Iterable

from upsample_cli.errors import Loss


def lines(losses: Iterable[Loss]) -> tuple[str, ...]:
    """The line of each loss, as the Python API writes it."""
    return tuple(map(str, losses))
