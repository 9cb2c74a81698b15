"""Plans: bands and tiles cover every pixel once, halos stop at the end of the axis, budgets are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upsample_cli.geometry.tiles import Plan, Span, Tile, plan_for_budget

lengths = st.integers(1, 60)


def assert_every_output_is_covered_once(plan, factor):
    """Paint each tile's output box on a canvas; every output pixel must be painted once, from top to bottom."""
    canvas = np.zeros((plan.height * factor, plan.width * factor), dtype=np.int64)
    next_row = 0
    for band in plan.bands():
        assert band[0].rows.start == next_row
        next_row = band[0].rows.stop
        for tile in band:
            assert tile.rows == band[0].rows
            rows, columns = (slice(span.start * factor, span.stop * factor) for span in (tile.rows, tile.columns))
            canvas[rows, columns] += 1
    assert (canvas == 1).all()


@given(st.builds(Plan, lengths, lengths, st.integers(0, 3), lengths, lengths), st.integers(1, 3))
def test_output_boxes_cover_every_pixel_exactly_once(plan, factor):
    assert_every_output_is_covered_once(plan, factor)


def test_a_cover_with_a_gap_or_an_overlap_is_detected():
    class Shifted(Plan):
        shift = 0

        def bands(self):
            for band in super().bands():
                yield tuple(
                    Tile(tile.rows, Span(tile.columns.start, tile.columns.stop + self.shift, self.width, self.halo))
                    for tile in band
                )

    for Shifted.shift in (-1, 1):
        with pytest.raises(AssertionError):
            assert_every_output_is_covered_once(Shifted(7, 11, 1, 3, 4), 2)


@given(st.data(), lengths, st.integers(0, 4))
def test_span_arithmetic_equals_counting(data, length, halo):
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    span = Span(start, stop, length, halo)
    needed = range(start - halo, stop + halo)
    there = [index for index in needed if 0 <= index < length]
    assert (span.first, span.last) == (there[0], there[-1] + 1)
    assert span.missing_before == sum(index < 0 for index in needed)
    assert span.missing_after == sum(index >= length for index in needed)
    assert span.missing_before + (span.last - span.first) + span.missing_after == stop - start + 2 * halo


@given(lengths, lengths)
def test_halves_divide_a_tile_across_its_longer_side(height, width):
    rows, columns = Span(3, 3 + height, 90, 1), Span(5, 5 + width, 90, 2)
    if height == width == 1:
        return
    near, far = Tile(rows, columns).halves()
    painted = np.zeros((90, 90), dtype=np.int64)
    for half in (near, far):
        painted[half.rows.start : half.rows.stop, half.columns.start : half.columns.stop] += 1
        assert (half.rows.length, half.rows.halo, half.columns.length, half.columns.halo) == (90, 1, 90, 2)
    expected = np.zeros_like(painted)
    expected[3 : 3 + height, 5 : 5 + width] = 1
    assert (painted == expected).all()
    areas = [(half.rows.stop - half.rows.start) * (half.columns.stop - half.columns.start) for half in (near, far)]
    assert abs(areas[0] - areas[1]) <= min(height, width)  # as equal as whole rows or columns allow


budgets = st.integers(0, 10**6)


@given(lengths, lengths, st.integers(1, 500), budgets)
def test_tiles_stay_within_the_budget(height, width, bytes_per_pixel, budget_bytes):
    plan = plan_for_budget(height, width, halo=1, bytes_per_pixel=bytes_per_pixel, budget_bytes=budget_bytes)
    assert 1 <= plan.tile_height <= height
    assert 1 <= plan.tile_width <= width
    # a tile less than sixteen pixels wide would be mostly halo, so that is the minimum, whatever the budget
    least_bytes = min(width, 16) * bytes_per_pixel
    assert plan.tile_height * plan.tile_width * bytes_per_pixel <= max(budget_bytes, least_bytes)
    assert_every_output_is_covered_once(plan, 1)


@given(lengths, lengths, st.integers(1, 500), budgets)
def test_full_width_bands_are_preferred(height, width, bytes_per_pixel, budget_bytes):
    plan = plan_for_budget(height, width, halo=1, bytes_per_pixel=bytes_per_pixel, budget_bytes=budget_bytes)
    if 8 * width * bytes_per_pixel <= budget_bytes:
        assert plan.tile_width == width


@given(lengths, lengths, st.integers(1, 70))
def test_a_fixed_tile_size_overrides_any_budget(height, width, tile_size):
    plan = plan_for_budget(height, width, halo=1, bytes_per_pixel=10**9, budget_bytes=1, tile_size=tile_size)
    assert (plan.tile_height, plan.tile_width) == (min(tile_size, height), min(tile_size, width))
