"""Format numbers for people."""

from __future__ import annotations


def figure(value: float) -> str:
    """A rate or an amount with about three digits. A value above zero is never shown as zero.

    >>> [figure(value) for value in (1234.5, 84.06, 1.5, 0.0374, 0.0)]
    ['1,234', '84.1', '1.5', '0.037', '0']
    """
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 1:
        return f"{value:.1f}"
    return f"{value:.2g}"
