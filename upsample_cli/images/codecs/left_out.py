"""Losses that several formats report in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.errors import Loss

_MOST_NAMES, _MOST_COUNTED = 9, 6


def not_kept(what: str, names: Sequence[str]) -> list[Loss]:
    """The loss of parts of a file that are not carried over; empty without names.

    >>> print(*not_kept("chunks", ["abCD", "efGH"]))
    chunks that we do not keep are left out (abCD, efGH)
    """
    if not names:
        return []
    first = names[:_MOST_NAMES]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return [Loss("metadata", f"{what} that we do not keep are left out ({', '.join(first)}{more})")]


def counted_names(counted: Sequence[tuple[str, int]]) -> str:
    """The first names, with their counts if these are more than one, and the number of the others.

    >>> counted_names([("guides", 1), ("URLs", 2)])
    'guides, URLs (2)'
    """
    named = [name if count == 1 else f"{name} ({count})" for name, count in counted[:_MOST_COUNTED]]
    more = len(counted) - len(named)
    return ", ".join([*named, f"{more} others"] if more else named)


def channels_left_out(count: int) -> list[Loss]:
    """The loss of channels that are neither colour nor alpha; empty for none.

    >>> print(*channels_left_out(1), *channels_left_out(2))
    1 more channel is left out 2 more channels are left out
    """
    if not count:
        return []
    return [Loss("channels", f"{count} more {'channel is' if count == 1 else 'channels are'} left out")]
