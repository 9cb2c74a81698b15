"""Borders: samples outside an axis equal those of numpy's padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upsample_cli.engine.borders import sources
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import BORDERS, border_named, source_index, wrapped_runs

PAD_MODES = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap", "zeros": "constant"}


@given(st.integers(1, 9), st.integers(0, 30), st.sampled_from(BORDERS))
def test_a_padded_axis_equals_numpys_padding(length, reach, border):
    padded = np.pad(np.arange(1, length + 1), reach, mode=PAD_MODES[border]) - 1  # -1 for zero
    found = [source_index(index, length, border) for index in range(-reach, length + reach)]
    assert [-1 if source is None else source for source in found] == padded.tolist()
    assert sources(-reach, length + reach, length, border).tolist() == padded.tolist()


@given(st.integers(1, 9), st.integers(-30, 30), st.integers(0, 30), st.sampled_from(BORDERS))
def test_any_run_of_indices_is_part_of_the_padded_axis(length, first, count, border):
    whole = sources(-40, 80, length, border)
    assert sources(first, first + count, length, border).tolist() == whole[first + 40 : first + 40 + count].tolist()


@given(st.integers(1, 9), st.integers(-30, 30), st.integers(0, 30))
def test_runs_of_an_axis_that_wraps_are_its_samples_in_order(length, first, count):
    runs = wrapped_runs(first, first + count, length)
    assert all(0 <= start < stop <= length for start, stop in runs)
    found = [index for start, stop in runs for index in range(start, stop)]
    assert found == sources(first, first + count, length, "wrap").tolist()


def test_control_a_mirror_that_repeats_the_edge_is_detected():
    assert sources(-2, 3, 3, "reflect").tolist() != np.pad(np.arange(3), (2, 0), mode="symmetric").tolist()


def test_an_unknown_border_is_refused():
    assert [border_named(border) for border in BORDERS] == list(BORDERS)
    with pytest.raises(UsageError, match="no border 'circular'; choose one of replicate, reflect, wrap, zeros"):
        border_named("circular")
