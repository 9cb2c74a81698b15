"""Quantities such as 2G, as users write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upsample_cli.errors import UsageError
from upsample_cli.text import parse_quantity

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@given(st.decimals(1, 9999, places=3), st.sampled_from(sorted(UNITS)), st.sampled_from(["", "B", "b"]))
def test_quantities_are_exact(number, unit, suffix):
    expected = Fraction(number) * UNITS[unit]
    for text in (f"{number}{unit}{suffix}", f" {number} {unit.upper()}{suffix} "):
        assert parse_quantity(text, "--memory") == expected // 1


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "0", "0.4", "1.", ".5G", "1e9", "1 000", "2GG", "2i", "inf", "nan", "1_000", "9" * 40]
)
def test_an_invalid_quantity_is_refused_by_name(text):
    with pytest.raises(UsageError, match=r"^--max-pixels .* is not a quantity; write --max-pixels 2G"):
        parse_quantity(text, "--max-pixels")
