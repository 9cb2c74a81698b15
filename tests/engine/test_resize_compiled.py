"""Compiled sums for any size: exact pixels with every instruction set that runs here, compared with fractions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compiled_resize import made_at
from support.environment import NOT_COMPILED
from support.oracles import assert_same_pixels, hostile_pixels
from support.resizing import expected

from upsample_cli.engine import resize
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.compiled import instruction_sets
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.kernels.kernel import axis_of, kernel_named

needs_compiled = pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
INSTRUCTIONS = instruction_sets() or [None]  # None: skipped because of `needs_compiled`
PIXEL_TYPES = [np.uint8, np.uint16]


def ramp(shape, dtype):
    """Many values of an output are exactly between two levels."""
    rows, columns, channels = np.indices(shape)
    return ((rows * 3 + columns + channels) % 200 + 20).astype(dtype)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("kernel", ["bilinear", "nearest", "bicubic"])
def test_pixels_are_exact(kernel, pixel_type, instructions):
    """Vectors that end anywhere, two groups of rows; also where float64 cannot hold the sums."""
    for channels, shape, size in (
        (1, (3, 17), (4, 25)),
        (2, (5, 7), (9, 13)),
        (3, (4, 9), (5, 3)),
        (5, (3, 4), (5, 7)),
    ):
        for pixels in (hostile_pixels((*shape, channels), pixel_type), ramp((*shape, channels), pixel_type)):
            found = made_at(pixels, size, kernel, instructions=instructions)
            assert_same_pixels(found, expected(pixels, size, kernel))


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("channels", [2, 4])
def test_colour_with_alpha_is_exact(channels, pixel_type, instructions):
    """With 16 bits, float64 cannot hold the sums."""
    for kernel in ("bilinear", "bicubic"):
        pixels = hostile_pixels((7, 8, channels), pixel_type)
        pixels[3:6, :5, -1] = 0  # nothing else than the overshoot of the filter is seen here
        pixels[:3, 5:, -1] = 1
        found = made_at(pixels, (10, 12), kernel, has_alpha=True, instructions=instructions)
        assert_same_pixels(found, expected(pixels, (10, 12), kernel, has_alpha=True))


@needs_compiled
@given(
    kernel=st.sampled_from(["bilinear", "nearest", "bicubic", "bspline"]),
    pixel_type=st.sampled_from(PIXEL_TYPES),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    border=st.sampled_from(["replicate", "zeros"]),
    has_alpha=st.booleans(),
    instructions=st.sampled_from(INSTRUCTIONS),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_any_image_is_exact_at_any_size(kernel, pixel_type, shape, size, border, has_alpha, instructions, seed):
    has_alpha = has_alpha and shape[2] in (2, 4)
    factor = max(-(-made // given_) for made, given_ in zip(size, shape[:2], strict=True))
    chosen, _ = exact_form(kernel_named(kernel, factor), np.dtype(pixel_type), has_alpha=has_alpha)
    if axis_of(chosen) is None or size == (shape[0] * factor, shape[1] * factor):
        return
    pixels = hostile_pixels(shape, pixel_type, seed)
    found = made_at(pixels, size, kernel, border, has_alpha=has_alpha, instructions=instructions)
    assert_same_pixels(found, expected(pixels, size, kernel, border, has_alpha=has_alpha))


@needs_compiled
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_any_border_gives_the_pixels_of_the_matrices(border, pixel_type):
    """Also where several chunks of columns and several bands follow one another."""
    pixels = hostile_pixels((53, 231, 3), pixel_type)
    for size in ((93, 347), (12, 350)):
        assert_same_pixels(made_at(pixels, size, border=border), made_at(pixels, size, border=border, by_products=True))


@needs_compiled
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_close_cases_are_computed_in_whole_numbers(pixel_type):
    """Sums that are a little too small are corrected where they count as close. The control: none counts as close."""
    pixels = ramp((6, 16, 1), pixel_type)
    exact = expected(pixels, (9, 24), "nearest")
    assert_same_pixels(made_at(pixels, (9, 24), "nearest"), exact)
    assert_same_pixels(made_at(pixels, (9, 24), "nearest", bias=-(2.0**-9), near=64), exact)
    wrong = made_at(pixels, (9, 24), "nearest", bias=-(2.0**-9), near=0)
    assert (wrong != exact).any()
    assert abs(wrong.astype(int) - exact).max() == 1


@needs_compiled
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
def test_little_alpha_is_decided_in_whole_numbers(channels, pixel_type):
    """The control: colour is zero where it is not divided by alpha."""
    pixels = hostile_pixels((7, 8, channels), pixel_type)
    pixels[..., -1] = 3
    pixels[:, 0, -1] = 200  # not constant in any band
    exact = expected(pixels, (10, 12), has_alpha=True)
    assert_same_pixels(made_at(pixels, (10, 12), has_alpha=True, least_alpha=50.0), exact)
    wrong = made_at(pixels, (10, 12), has_alpha=True, least_alpha=50.0, clear_alpha=50.0)
    assert (wrong[:, -1, :-1] == 0).all()
    assert exact[:, -1, :-1].any()


def image_rows(pixels):
    return lambda first, last: pixels[first:last]


def resized(pixels, size, engine="auto", **options):
    kernel, arithmetic = exact_form(kernel_named("bilinear", 2), pixels.dtype)
    routes = []
    bands = resize.resized_bands(
        options.get("rows", image_rows(pixels)), pixels.shape, size,
        settings=Settings(kernel, "replicate", "cpu", engine=engine), arithmetic=arithmetic,
        weigh=filter_for("bilinear"), on_route=routes.append,
    )  # fmt: skip
    return np.concatenate(list(bands)), routes


@needs_compiled
def test_compiled_sums_are_used_only_if_they_agree_with_the_matrices(monkeypatch):
    pixels = hostile_pixels((21, 30, 3), np.uint8)
    right, routes = resized(pixels, (31, 44))
    assert routes == ["compiled"]

    class Wrong:
        instruction_sets = staticmethod(compiled.native.instruction_sets)

        @staticmethod
        def resample(instructions, rows, height, width, out, *settings_):
            real.resample(instructions, rows, height, width, out, *settings_)
            out[0, 0, 0] ^= 1

    real = compiled.native
    monkeypatch.setattr(compiled, "native", Wrong)
    for cached in (resize._agreeing, resize._agrees):
        cached.cache_clear()
    found, routes = resized(pixels, (31, 44))
    assert routes == ["matrices"]
    assert_same_pixels(found, right)
    with pytest.raises(UsageError, match="its pixels differ from those of the matrices"):
        resized(pixels, (31, 44), engine="compiled")
    for cached in (resize._agreeing, resize._agrees):
        cached.cache_clear()


@needs_compiled
def test_rows_are_read_once_and_in_order_a_few_at_a_time():
    pixels = np.tile(hostile_pixels((50, 64, 1), np.uint8), (160, 20, 1))
    asked = []

    def rows(first, last):
        asked.append((first, last))
        return pixels[first:last]

    resized(pixels, (11_999, 1919), rows=rows)
    assert asked[0][0] == 0
    assert asked[-1][1] == len(pixels)
    assert all(last == first for (_, last), (first, _) in pairwise(asked))
    assert max(last - first for first, last in asked) < 400


REFUSED = {
    "another depth": lambda given: {**given, "out": given["out"].astype(np.uint32)},
    "too few rows": lambda given: {**given, "rows": given["rows"][:-1]},
    "more rows than there are": lambda given: {**given, "height": 8},
    "a wider image": lambda given: {**given, "width": 10},
    "a row before the first": lambda given: {**given, "row_firsts": given["row_firsts"] - 1},
    "a row after the last": lambda given: {**given, "row_firsts": given["row_firsts"] + 1},
    "a column after the last": lambda given: {**given, "column_firsts": given["column_firsts"] + 1},
    "no taps": lambda given: {**given, "row_taps": 0},
    "more taps than weights": lambda given: {**given, "column_taps": 3},
    "too few weights": lambda given: {**given, "column_weights": given["column_weights"][:-1]},
    "sizes beyond 64 bits": lambda given: {**given, "height": 2**62, "width": 2**62},
    "a divisor of zero": lambda given: {**given, "divisor": 0.0},
    "rows out of order": lambda given: {**given, "row_firsts": given["row_firsts"][[1, 0, 2, 3, 4, 5, 6]]},
    "columns out of order": lambda given: {**given, "column_firsts": given["column_firsts"][::-1].copy()},
    "too many bits of a fraction": lambda given: {**given, "rounding": (23, *given["rounding"][1:])},
    "fewer than no units": lambda given: {**given, "rounding": (10, -1, *given["rounding"][2:])},
    "more units than a level": lambda given: {**given, "rounding": (10, 1, 1025, *given["rounding"][3:])},
    "pixels from the bottom up": lambda given: {**given, "out": given["out"][::-1]},
    "pixels apart": lambda given: {**given, "out": given["out"].repeat(2, axis=1)[:, ::2]},
    "an input in the output": lambda given: {**given, "rows": given["out"]},
    "alpha with two colours": lambda given: {**given, "has_alpha": True},
    "pixels given as sums": lambda given: {**given, "is_summed": True},
}


@needs_compiled
@pytest.mark.parametrize("fault", [None, *REFUSED])
def test_invalid_arguments_are_refused_before_memory_is_accessed(fault):
    given_ = {
        "rows": np.full((7, 9, 3), 5, np.uint8), "height": 7, "width": 9, "out": np.full((7, 9, 3), 77, np.uint8),
        "row_taps": 1, "column_taps": 1, "row_firsts": np.arange(7, dtype=np.int32), "row_weights": np.ones((7, 1)),
        "column_firsts": np.arange(9, dtype=np.int32), "column_weights": np.ones((9, 1)), "divisor": 1.0,
        "rounding": (10, 1, 1, 0.0, 0.0, 0.5, -0.5, True), "has_alpha": False, "is_summed": False,
    }  # fmt: skip
    resample = compiled.native.resample
    if fault is None:  # the control
        resample(instruction_sets()[0], *given_.values())
        assert (given_["out"] == 5).all()
        return
    changed = REFUSED[fault](given_)
    with pytest.raises((ValueError, BufferError)):
        resample(instruction_sets()[0], *changed.values())
    assert (given_["out"] == 77).all()
