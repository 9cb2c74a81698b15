"""Filters and checksums of the PNG writer, compared with the formulas of the specifications."""

import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.environment import NOT_COMPILED

from upsample_cli import upsample
from upsample_cli.images.codecs import deflate
from upsample_cli.images.codecs.deflate import (
    LEVELS,
    PAETH,
    STREAM_START,
    UP,
    _filtered_blocks,
    adler32_combine,
    deflate_rows,
    stream_end,
)  # fmt: skip
from upsample_cli.images.codecs.png.compiled import compiled

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


@pytest.fixture(params=["compiled", "numpy"])
def paeth_by(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(deflate, "compiled", lambda: None)
    elif compiled() is None:
        pytest.skip(NOT_COMPILED)


@pytest.mark.usefixtures("paeth_by")
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


RNG = np.random.default_rng(3)


@pytest.mark.parametrize("pixel_bytes", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("height", [1, 2, 40])
def test_compiled_paeth_gives_the_bytes_of_numpys(pixel_bytes, height, monkeypatch):
    for width in (1, 2, 7, 900):
        raw = RNG.integers(0, 256, (1 + height, width * pixel_bytes), np.uint8)
        fast = [block.copy() for block in _filtered_blocks(raw, pixel_bytes, PAETH)]
        with monkeypatch.context() as without:
            without.setattr(deflate, "compiled", lambda: None)
            slow = [block.copy() for block in _filtered_blocks(raw, pixel_bytes, PAETH)]
        assert len(fast) == len(slow)
        assert all(np.array_equal(*pair) for pair in zip(fast, slow, strict=True))


def test_rows_that_do_not_fit_are_refused():
    module = pytest.importorskip("upsample_cli.images.codecs.png._unfilter", reason=NOT_COMPILED)
    for raw, out, rows, pixel_bytes in ((18, 14, 2, 0), (18, 14, 2, 7), (17, 14, 2, 3), (18, 13, 2, 3), (18, 15, 2, 3),
                                        (18, 14, 0, 3), (18, 14, -1, 3), (18, 14, 18, 1), (0, 0, 1, 1)):  # fmt: skip
        with pytest.raises(ValueError, match="fit"):
            module.filter_paeth(bytes(raw), bytearray(out), rows, pixel_bytes)
    module.filter_paeth(bytes(18), bytearray(14), 2, 3)


@pytest.mark.parametrize("level", [1, 2])
def test_the_filter_that_suits_the_middle_rows_is_chosen(level):
    enlarged = upsample(RNG.integers(0, 256, (150, 150, 3), np.uint8), 2).reshape(300, 900)
    bands = RNG.integers(0, 256, (1, 900), np.uint8).repeat(300, axis=0)
    bands[RNG.random(bands.shape) < 0.1] = 0
    for rows, wanted in ((enlarged, PAETH), (bands, UP)):
        piece = deflate_rows(np.concatenate((np.zeros_like(rows[:1]), rows)), pixel_bytes=3, level=level)
        raw = zlib.decompress(STREAM_START + piece.data + stream_end(piece.adler32))
        assert {raw[at] for at in range(0, len(raw), 901)} == {wanted}
    assert LEVELS[level].share > 1
