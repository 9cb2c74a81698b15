"""Filters and checksums of the PNG writer, compared with the formulas of the specifications."""

import zlib

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from upsample_cli.images.codecs.deflate import PAETH, _filtered_blocks, adler32_combine

pieces = st.binary(max_size=9) | st.builds(
    lambda size, value: bytes([value]) * size, st.integers(0, 70_000), st.integers(0, 255)
)


@given(pieces, pieces)
@example(b"", b"")
@example(b"\xff" * 70_000, b"\xff" * 70_000)  # both sums have wrapped around
@settings(max_examples=200)
def test_combined_adler32_equals_that_of_the_whole(first, second):
    assert adler32_combine(zlib.adler32(first), zlib.adler32(second), len(second)) == zlib.adler32(first + second)


def test_a_size_off_by_one_gives_another_adler32():
    first, second = b"up", b"sample"
    assert adler32_combine(zlib.adler32(first), zlib.adler32(second), 5) != zlib.adler32(first + second)


def specified(left, above, corner, order):
    """The PNG specification, 9.4: the value nearest to left + above - corner; ties go to the earlier in `order`."""
    guess = left + above - corner
    choices = {"left": left, "above": above, "corner": corner}
    values = np.stack([choices[name] for name in order])
    return np.choose(np.abs(values - guess).argmin(0), values)


def test_paeth_is_correct_for_every_triple_of_neighbours():
    """All 2^24 triples; the control: another order of preference is detected."""
    left, above = (grid.ravel() for grid in np.mgrid[:256, :256].astype(np.int16))
    zero = np.zeros_like(left)
    told_apart = False
    for corner in range(256):
        # Alternating: corner above left, and above over a zero to be predicted.
        raw = np.empty((2, 2 * 65536), np.uint8)
        raw[0, 0::2], raw[0, 1::2], raw[1, 0::2], raw[1, 1::2] = corner, above, left, 0
        (block,) = _filtered_blocks(raw, 1, PAETH)
        predicted = -block[0, 2::2].astype(np.int16) % 256
        assert np.array_equal(predicted, specified(left, above, zero + corner, ("left", "above", "corner")))
        told_apart |= not np.array_equal(predicted, specified(left, above, zero + corner, ("corner", "above", "left")))
    assert told_apart
