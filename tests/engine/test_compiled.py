"""The compiled route: exact pixels with every instruction set that runs here, and no access outside its memory."""

import os
from dataclasses import replace

import numpy as np
import numpy._core._multiarray_umath as numpy_umath
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from support.compiled_route import MANY, enlarged
from support.environment import NOT_COMPILED
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.whole_weights import fitted_expectation

from upsample_cli.engine.borders import padded_tile
from upsample_cli.engine.exact import Arithmetic, exact_form
from upsample_cli.engine.routes import compiled, division
from upsample_cli.engine.routes.compiled import CompiledRoute, instruction_sets
from upsample_cli.engine.routes.plain import PlainRoute
from upsample_cli.geometry.tiles import plan_for_budget
from upsample_cli.kernels.kernel import axis_of, kernel_named, spread

needs_compiled = pytest.mark.skipif(not instruction_sets(), reason=NOT_COMPILED)
INSTRUCTIONS = instruction_sets() or [None]  # None: skipped because of `needs_compiled`
PIXEL_TYPES = [np.uint8, np.uint16]
UINT8 = np.dtype(np.uint8)
KERNELS = ["bilinear", "nearest", "bicubic", "bspline"]


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", range(1, 65))
def test_every_factor_is_exact(factor, pixel_type, instructions):
    """Sums of 16, 32 and 64 bits; divisors that are powers of two and others; vectors that end anywhere."""
    for channels, width in ((1, 37), (2, 3), (3, 12), (4, 5)):
        pixels = hostile_pixels((4, width, channels), pixel_type)
        assert_same_pixels(enlarged(pixels, factor, instructions), expected_pixels(pixels, factor))
        if channels in (2, 4):
            found = enlarged(pixels, factor, instructions, has_alpha=True)
            assert_same_pixels(found, expected_pixels(pixels, factor, has_alpha=True))


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@given(
    kernel=st.sampled_from(KERNELS),
    pixel_type=st.sampled_from(PIXEL_TYPES),
    factor=st.integers(1, 9),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 80), st.integers(1, 4)),
    has_alpha=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example("bicubic", np.uint8, 2, (9, 80, 4), True, 0)
@example("bicubic", np.uint16, 3, (9, 80, 2), True, 0)
@example("bicubic", np.uint16, 16, (3, 7, 3), False, 0)  # float64 sums over a power of two that exceeds 24 bits
def test_any_image_is_exact(instructions, kernel, pixel_type, factor, shape, has_alpha, seed):
    has_alpha = has_alpha and shape[2] in (2, 4)
    chosen, _ = exact_form(kernel_named(kernel, factor), np.dtype(pixel_type), has_alpha=has_alpha)
    if axis_of(chosen) is None:  # its weights are rounded, so its pixels are not the oracle's
        return
    pixels = hostile_pixels(shape, pixel_type, seed)
    found = enlarged(pixels, factor, instructions, kernel=kernel, has_alpha=has_alpha)
    assert_same_pixels(found, expected_pixels(pixels, factor, kernel=kernel, has_alpha=has_alpha))


def of_layer(pixels, factor, name, has_alpha):
    """The pixels of the layer itself, in one tile."""
    chosen, arithmetic = exact_form(kernel_named(name, factor), pixels.dtype, has_alpha=has_alpha)
    plan = plan_for_budget(*pixels.shape[:2], halo=chosen.halo, bytes_per_pixel=1, budget_bytes=MANY, tile_size=None)
    out = np.empty((pixels.shape[0] * factor, pixels.shape[1] * factor, pixels.shape[2]), pixels.dtype)
    PlainRoute(chosen, arithmetic)(padded_tile(pixels, next(iter(plan.bands()))[0], "replicate"), out)
    return out


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_kernels_that_are_not_separable_are_exact(factor, pixel_type, instructions):
    """Sums over all inputs of an output, in float32 and float64, with and without alpha."""
    for name in ("fitted", "lanczos3"):
        for channels, width in ((1, 37), (2, 3), (3, 12), (4, 75)):
            pixels = hostile_pixels((4, width, channels), pixel_type)
            for has_alpha in {False, channels in (2, 4)}:
                chosen, _ = exact_form(kernel_named(name, factor), pixels.dtype, has_alpha=has_alpha)
                found = enlarged(pixels, factor, instructions, kernel=name, has_alpha=has_alpha)
                if chosen.denominator < 2**30:
                    assert_same_pixels(found, fitted_expectation(pixels, factor, name, has_alpha=has_alpha))
                else:  # more than the oracle's int64 holds
                    assert_same_pixels(found, of_layer(pixels, factor, name, has_alpha))


@needs_compiled
def test_one_wrong_number_in_a_table_changes_the_pixels():
    """The control of the tests above: a weight, and a first input."""
    kernel, pixels = kernel_named("bilinear", 2), hostile_pixels((9, 21, 5), np.uint8)
    for table in (4, 5):
        route = CompiledRoute(kernel, Arithmetic(UINT8, 16), 5)
        tables = [part.copy() if isinstance(part, np.ndarray) else part for part in route._settings]
        tables[table].flat[0] += 1
        route._settings = tuple(tables)
        plan = plan_for_budget(9, 21, halo=1, bytes_per_pixel=1, budget_bytes=MANY, tile_size=None)
        out = np.empty((18, 42, 5), np.uint8)
        route(padded_tile(pixels, next(iter(plan.bands()))[0], "replicate"), out)
        assert not np.array_equal(out, expected_pixels(pixels, 2))


def test_a_multiplication_divides_every_dividend_exactly():
    found = {divisor: division.short_multiplication(divisor, 255 * divisor + divisor // 2) for divisor in range(2, 258)}
    exact = {divisor: pair for divisor, pair in found.items() if pair}
    for divisor, (multiplier, shift) in exact.items():
        for dividend in range(256 * divisor - divisor // 2):
            assert (dividend * multiplier >> 16) >> shift == dividend // divisor
    assert {4, 9, 16, 25, 36, 64, 256} <= set(exact)
    assert division.short_multiplication(257, 255 * 257 + 300) is None  # larger than 16 bits
    # the control: a multiplier that is one too small is wrong for some dividend
    multiplier, shift = exact[9]
    assert any((n * (multiplier - 1) >> 16) >> shift != n // 9 for n in range(9 * 255))


def misaligned(numbers):
    """The same numbers at misaligned addresses."""
    return np.frombuffer(b"x" + numbers.tobytes(), np.uint8)[1:]


def strided(out, shape, row_bytes):
    """An output with another shape over the same memory; nothing in it may be changed."""
    return np.lib.stride_tricks.as_strided(out, shape, (row_bytes, *out.strides[1:]))


def placed_over(out, numbers):
    """The same numbers inside the output's memory."""
    inside = out.reshape(-1).view(np.uint8)[: numbers.nbytes].view(numbers.dtype).reshape(numbers.shape)
    inside[...] = numbers
    return inside


def changed(**settings):
    """The tables with some of them replaced, by name."""
    names = ("sums", "factor", "taps", "window", "firsts", "weights", "divisor", "multiplier", "shift")
    places = {name: place for place, name in enumerate((*names, "multiplies", "alpha_multiplies", "has_alpha"))}

    def change(padded, out, tables):
        made = list(tables)
        for name, value in settings.items():
            made[places[name]] = value(made[places[name]]) if callable(value) else value
        return padded, out, made

    return change


REFUSED = {
    "another shape": lambda padded, out, tables: (padded[:-1], out, tables),
    "rows that are not a multiple of the factor": lambda padded, out, tables: (padded, out[:-1], tables),
    "pixels apart": lambda padded, out, tables: (padded, out.repeat(2, axis=1)[:, ::2], tables),
    "another depth": lambda padded, out, tables: (padded, out.astype(np.float32), tables),
    "an axis too few": lambda padded, out, tables: (padded, out[0], tables),
    "unknown sums": changed(sums="x"),
    "more taps than weights": changed(taps=3),
    "more taps than the window": changed(taps=4),
    "inputs far outside": changed(firsts=lambda firsts: firsts + 9),
    "inputs before the tile": changed(firsts=lambda firsts: firsts - 1),
    "inputs that go back": changed(firsts=lambda firsts: firsts[::-1].copy()),
    "inputs that skip a pixel": changed(
        taps=1, weights=lambda weights: weights[:, 0].copy(), firsts=lambda firsts: 2 * firsts
    ),
    "too few first inputs": changed(firsts=lambda firsts: firsts[:-1]),
    "too few weights": changed(weights=lambda weights: weights[:-1]),
    "a factor of zero": changed(factor=0),
    "a negative factor": changed(factor=-2),
    "a window larger than memory": changed(window=2**31 - 1),
    "no channels": lambda padded, out, tables: (padded[..., :0], out[..., :0], tables),
    "no rows": lambda padded, out, tables: (padded[:2], out[:0], tables),
    "no columns": lambda padded, out, tables: (padded[:, :2].copy(), out[:, :0], tables),
    "first inputs misaligned": changed(firsts=misaligned),
    "weights misaligned": changed(weights=misaligned),
    "a divisor that is not a number": changed(divisor=np.nan),
    "a divisor larger than any sum": changed(divisor=2.0**16),
    "a shift by more than all bits": changed(shift=16),
    "a multiplier of more than 32 bits": changed(multiplier=2**32),
    "a negative multiplier": changed(multiplier=-1),
    "alpha in sums of 16 bits": changed(has_alpha=True),
    "rows of one stride": lambda padded, out, tables: (padded, strided(out, out.shape, 0), tables),
    "rows that overlap": lambda padded, out, tables: (padded, strided(out, out.shape, 209), tables),
    "rows from the bottom up": lambda padded, out, tables: (padded, out[::-1], tables),
    "rows that end beyond 64 bits": lambda padded, out, tables: (padded, strided(out, out.shape, 2**60), tables),
    "columns larger than all memory": lambda padded, out, tables: (padded, strided(out, (18, 2**50, 5), 2**53), tables),
}


@needs_compiled
@pytest.mark.parametrize("fault", [None, *REFUSED])
def test_invalid_tables_are_refused_before_memory_is_accessed(fault):
    route = CompiledRoute(kernel_named("bilinear", 2), Arithmetic(UINT8, 16), 5)
    whole = np.zeros((11, 23, 5), np.uint8), np.full((18, 42, 5), 77, np.uint8), list(route._settings)
    if fault is None:  # the control
        route._enlarge(*whole[:2], *whole[2])
        assert (whole[1] == 0).all()
        return
    padded, out, tables = REFUSED[fault](*whole)
    with pytest.raises((ValueError, BufferError)):
        route._enlarge(padded, out, *tables)
    assert (whole[1] == 77).all()


@needs_compiled
@pytest.mark.parametrize("table", [None, 4, 5])
def test_an_output_that_overlaps_its_inputs_is_refused(table):
    """Pixels written over a table of positions would change where the next row is read."""
    route = CompiledRoute(kernel_named("bilinear", 2), Arithmetic(UINT8, 16), 5)
    padded, out, tables = np.zeros((11, 23, 5), np.uint8), np.zeros((18, 42, 5), np.uint8), list(route._settings)
    if table is None:
        padded = placed_over(out, padded)
    else:
        tables[table] = placed_over(out, tables[table])
    with pytest.raises(ValueError, match="the output overlaps an input"):
        route._enlarge(padded, out, *tables)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("channels", range(1, 6))
def test_enlargement_by_two_is_exact_at_every_width(channels, pixel_type, instructions):
    """`twofold.h` takes 3072 numbers of a row at a time, and whole vectors of them, but not five channels."""
    kernel, arithmetic = kernel_named("bilinear", 2), Arithmetic(np.dtype(pixel_type), 16)
    route = CompiledRoute(kernel, arithmetic, channels, instructions=instructions)
    assert (route._settings == (False,)) == (channels <= 4)
    edge = 3072 // channels
    for width in (*range(1, 40), edge - 1, edge, edge + 1, 2 * edge + 7):
        pixels = hostile_pixels((3, width, channels), pixel_type, width)
        assert_same_pixels(enlarged(pixels, 2, instructions), expected_pixels(pixels, 2))


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("channels", [2, 4])
def test_enlargement_by_two_with_alpha_is_exact_at_every_width(channels, pixel_type, instructions):
    """`twofold_alpha.h` keeps 65536 bytes of two rows at a time, and computes whole vectors of inputs."""
    arithmetic = Arithmetic(np.dtype(pixel_type), 16, has_alpha=True)
    assert CompiledRoute(kernel_named("bilinear", 2), arithmetic, channels)._settings == (True,)
    edge = 65536 // 2 // channels // (4 * np.dtype(pixel_type).itemsize)
    for width in (*range(1, 40), edge - 1, edge, edge + 1, 2 * edge + 7):
        pixels = hostile_pixels((3, width, channels), pixel_type, width)
        expected = expected_pixels(pixels, 2, has_alpha=True)
        assert_same_pixels(enlarged(pixels, 2, instructions, has_alpha=True), expected)
    assert not np.array_equal(enlarged(pixels, 2, instructions), expected)  # the control: colour without alpha


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("factor", [3, 4, 7, 8])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_rows_are_exact_at_every_width_around_that_of_a_strip(factor, has_alpha, instructions):
    """`separable.h` keeps 163840 bytes of sums at a time, and writes them in blocks of 32 numbers."""
    for pixel_type in PIXEL_TYPES:
        chosen, arithmetic = exact_form(kernel_named("bilinear", factor), np.dtype(pixel_type), has_alpha=has_alpha)
        kept = CompiledRoute(chosen, arithmetic, 4)._settings
        edge = 163840 // (kept[3] * factor * 4 * {"H": 2, "f": 4, "i": 4, "d": 8}[kept[0]])
        for width in (*range(1, 20), edge - 1, edge, edge + 1, 2 * edge + 7):
            pixels = hostile_pixels((2, width, 4), pixel_type, width)
            expected = expected_pixels(pixels, factor, has_alpha=has_alpha)
            assert_same_pixels(enlarged(pixels, factor, instructions, has_alpha=has_alpha), expected)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("has_alpha", [False, True])
def test_rows_are_exact_at_every_width_around_the_length_of_a_plane(has_alpha, instructions):
    """`tile.h` computes 16384 bytes of all phases at a time, in blocks of 32 numbers."""
    edge = 16384 // 2 // 4
    for width in (*range(1, 20), edge - 1, edge, edge + 1):
        pixels = hostile_pixels((1, width, 4), np.uint8, width)
        expected = fitted_expectation(pixels, 2, "fitted", has_alpha=has_alpha)
        assert_same_pixels(enlarged(pixels, 2, instructions, kernel="fitted", has_alpha=has_alpha), expected)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_pixels_of_every_size_are_exact(kernel, factor, instructions):
    """`row.h` computes pixels of up to 16 bytes of sums in the pattern of a vector, and larger ones one by one."""
    for pixel_type in PIXEL_TYPES:
        for channels in (1, 2, 3, 4, 5, 8, 9):
            pixels = hostile_pixels((3, 11, channels), pixel_type, channels)
            if axis_of(exact_form(kernel_named(kernel, factor), pixels.dtype)[0]) is None:
                continue
            found = enlarged(pixels, factor, instructions, kernel=kernel)
            assert_same_pixels(found, expected_pixels(pixels, factor, kernel=kernel))


@needs_compiled
@pytest.mark.parametrize("channels", [7, 16, 17, 40, 65])
def test_any_number_of_channels_is_exact(channels):
    """A vector takes its bytes from many pixels of one channel, or from two pixels of many."""
    for pixel_type in PIXEL_TYPES:
        pixels = hostile_pixels((3, 5, channels), pixel_type)
        for factor in (1, 2, 3, 8):
            found = enlarged(pixels, factor, instruction_sets()[0])
            assert_same_pixels(found, expected_pixels(pixels, factor))


def rounded_by_adding(sums, inverse, dtype):
    """Floats whose nearest whole numbers are the lowest bits after the addition of `unit`, as in `finish.h`."""
    unit = dtype(2**23 if dtype is np.float32 else 2**52)
    return (sums * inverse + unit - unit).astype(np.int64)


@pytest.mark.parametrize(("dtype", "bits"), [(np.float32, 24), (np.float64, 53)])
@pytest.mark.parametrize("largest", [255, 65535])
def test_floats_divide_exactly_within_the_limits_that_are_proved(dtype, bits, largest):
    """Sums around the halves of every tenth quotient. The largest divisor that may be multiplied, and some below."""
    limit = 2 ** (bits - 2) // (largest + 1) - 1
    quotients = np.arange(0, largest + 1, 10, dtype=np.int64)
    for divisor in {limit, limit - 1, limit // 2, limit // 3 | 1, 9, 25, 49}:
        if divisor < 1 or (largest + 1) * divisor >= 2 ** (bits - 2):
            continue
        sums = (quotients[:, None] * divisor + [0, 1, divisor // 2 - 1, divisor // 2, divisor // 2 + 1]).ravel()
        sums = sums[sums >= 0]
        exact = (sums + divisor // 2) // divisor
        start, inverse = dtype(0 if divisor % 2 else 0.5), dtype(1) / dtype(divisor)
        assert np.array_equal(rounded_by_adding(sums.astype(dtype) + start, inverse, dtype), exact)
        divided = (sums + divisor // 2).astype(dtype) / dtype(divisor)
        assert np.array_equal(divided.astype(np.int64), exact)
        alpha = max(divisor // 2, 1)  # twice a sum of alpha has the same limit
        colours = np.unique(np.maximum(quotients[:, None] * alpha + alpha // 2 + [-1, 0, 1], 0))
        colours = colours[colours <= largest * alpha]
        found = rounded_by_adding(colours.astype(dtype) + dtype(0.25), dtype(1) / dtype(alpha), dtype)
        assert np.array_equal(found, (2 * colours + alpha) // (2 * alpha))


def test_a_multiplication_without_the_half_is_wrong_for_some_sum():
    """The control of the test above: of two whole numbers that are equally near, the even one is taken."""
    sums = np.arange(256 * 4)
    found = rounded_by_adding(sums.astype(np.float32), np.float32(0.25), np.float32)
    assert not np.array_equal(found, (sums + 2) // 4)


@pytest.mark.parametrize("divisor", [2, 3, 9, 729, 15625, 16384, 26244, 2**30 + 1, 2**31 - 1])
def test_a_multiplication_of_32_bits_divides_exactly(divisor):
    multiplier, shift = division.whole_multiplication(divisor)
    assert multiplier < 2**32
    multiples = np.unique(np.linspace(0, (2**31 - 1) // divisor, 10_000, dtype=np.uint64)) * np.uint64(divisor)
    dividends = np.concatenate([multiples, multiples + np.uint64(divisor - 1), [np.uint64(2**31 - 1)]])
    dividends = dividends[dividends < 2**31]
    exact = dividends // np.uint64(divisor)
    assert np.array_equal((dividends * np.uint64(multiplier) >> np.uint64(32)) >> np.uint64(shift), exact)
    # the control: a multiplier that is one too small
    assert not np.array_equal((dividends * np.uint64(multiplier - 1) >> np.uint64(32)) >> np.uint64(shift), exact)


def estimated(sums, alphas, lowered):
    """The estimate of a colour from its centred sum and the sum of alpha, in float32 as in `finish.h`."""
    quotients = sums.astype(np.float32) * (np.float32(1) / alphas.astype(np.float32))
    return (quotients + np.float32(128.5 - lowered)).astype(np.int64)


def test_a_colour_of_pairs_is_estimated_exactly_or_one_too_low():
    """Around the halves, also of colours that are clipped: below 0 any estimate up to 0 will do."""
    alphas = np.unique(np.geomspace(1, 2**23 - 1, 3000).astype(np.int64))[:, None]
    colours = np.arange(-128, 384) * alphas + alphas // 2 + np.array([-1, 0, 1])[:, None, None]
    exact, sums = (2 * colours + alphas) // (2 * alphas), colours - 128 * alphas
    assert np.abs(sums).max() < 2**31
    found = estimated(sums, alphas, 2**-12)
    assert set(np.unique((exact - found)[exact >= 0])) == {0, 1}
    assert found[exact < 0].max() == 0
    assert (exact - estimated(sums, alphas, 0))[exact >= 0].min() < 0  # the control: not lowered


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize(("kernel", "factor"), [("bicubic", 2), ("bicubic", 3), ("bicubic", 5), ("mitchell", 1)])
@pytest.mark.parametrize("channels", [2, 4])
def test_colours_of_almost_no_alpha_are_exact(kernel, factor, channels, instructions):
    """Sums of alpha around zero, with colours far outside the range of a byte."""
    random = np.random.default_rng(factor)
    pixels = random.choice(np.array([0, 255], np.uint8), (40, 61, channels))
    pixels[..., -1] = random.choice(np.array([0, 1, 2, 40, 255], np.uint8), (40, 61))
    found = enlarged(pixels, factor, instructions, kernel=kernel, has_alpha=True)
    assert_same_pixels(found, expected_pixels(pixels, factor, kernel=kernel, has_alpha=True))
    assert ((found[..., -1] == 0) & (found[..., 0] > 0)).any()  # the control: some are in outputs without alpha


@needs_compiled
def test_weights_of_kernels_by_axis_fit_pairs():
    """The largest that is multiplied by 256 is 127."""
    largest = 0
    for name in KERNELS:
        for factor in range(1, 65):
            chosen, arithmetic = exact_form(kernel_named(name, factor), UINT8, has_alpha=True)
            if axis_of(chosen) is not None:
                settings = CompiledRoute(chosen, arithmetic, 4)._settings
                largest = max(largest, np.abs(settings[5]).max() if settings[0] == "i" else 0)
    assert largest == 127


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize(("weight", "sums"), [(2**15 - 1, "i"), (2**15, "d")])
def test_weights_larger_than_16_bits_are_summed_in_float64(weight, sums, instructions):
    kernel = replace(kernel_named("nearest", 1), name="heavy", weights=(weight,), denominator=weight)
    route = CompiledRoute(kernel, Arithmetic(UINT8, weight, has_alpha=True), 4, instructions=instructions)
    assert route._settings[0] == sums
    pixels, out = hostile_pixels((9, 21, 4), np.uint8), np.empty((9, 21, 4), np.uint8)
    route(pixels, out)
    assert_same_pixels(out, np.where(pixels[..., 3:] > 0, pixels, 0))


def most_extreme(pixel_type, has_alpha):
    """Full where both axes of bicubic have weights of the same sign, so that a sum is as large as any."""
    signs = np.tile([-1, 1, 1, -1], 8)
    full = np.iinfo(pixel_type).max
    pixels = np.where(signs[:, None] * signs > 0, full, 0).astype(pixel_type)[..., None].repeat(4, axis=2)
    if has_alpha:
        pixels[..., :3] = full
    return pixels


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize(
    ("pixel_type", "has_alpha", "factor"), [(np.uint8, True, 2), (np.uint8, True, 5), (np.uint16, False, 2)]
)
def test_the_largest_sums_of_32_bits_are_exact(pixel_type, has_alpha, factor, instructions):
    """Bicubic: sums up to 0.7 of what the type holds, also negative, and sums of alpha below zero."""
    chosen, arithmetic = exact_form(kernel_named("bicubic", factor), np.dtype(pixel_type), has_alpha=has_alpha)
    assert CompiledRoute(chosen, arithmetic, 4)._settings[0] == "i"
    extreme = most_extreme(pixel_type, has_alpha)
    for pixels in (extreme, extreme.max() - extreme, np.roll(extreme, 1, axis=0)):
        found = enlarged(pixels, factor, instructions, kernel="bicubic", has_alpha=has_alpha)
        assert_same_pixels(found, expected_pixels(pixels, factor, kernel="bicubic", has_alpha=has_alpha))


@needs_compiled
@pytest.mark.parametrize("sums", ["f", "i"])
def test_sums_that_do_not_hold_colour_times_alpha_are_refused(sums):
    kernel, arithmetic = exact_form(kernel_named("bilinear", 3), np.dtype(np.uint16), has_alpha=True)
    route = CompiledRoute(kernel, arithmetic, 4)
    code, *tables = route._settings
    padded, out = np.zeros((4, 4, 4), np.uint16), np.zeros((6, 6, 4), np.uint16)
    route._enlarge(padded, out, code, *tables)  # the control: float64
    tables[4] = tables[4].astype(np.float32 if sums == "f" else np.int32)
    with pytest.raises(ValueError, match="tables that do not fit the settings"):
        route._enlarge(padded, out, sums, *tables)


@needs_compiled
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_bytes_by_two_are_exact_for_any_four_pixels(instructions):
    """A column of all a above one of all d, for every fifth b and c; the whole domain was checked once, in C++."""
    a, d = (each.ravel().astype(np.uint8) for each in np.meshgrid(np.arange(256), np.arange(256)))
    padded, out = np.empty((3, a.size * 2 + 2, 1), np.uint8), np.empty((2, a.size * 4, 1), np.uint8)
    for b in range(0, 256, 17):
        for c in range(0, 256, 5):
            padded[:] = c
            padded[1, 1:-1:2, 0], padded[1, 2:-1:2, 0] = a, b
            padded[2, 1:-1:2, 0], padded[2, 2:-1:2, 0] = c, d
            compiled.native.enlarge_twofold(instructions, padded, out, False)
            exact = (9 * a.astype(np.int32) + 3 * b + 3 * c + d + 8) >> 4
            assert np.array_equal(out[1, 1::4, 0], exact)
    assert not np.array_equal(out[1, 1::4, 0], (exact * 16 - 8) >> 4)  # the control: rounded down


TWOFOLD_REFUSED = {
    "another shape": lambda padded, out: (padded[:-1], out),
    "an odd height": lambda padded, out: (padded, out[:-1]),
    "an odd width": lambda padded, out: (padded, out[:, :-1]),
    "pixels apart": lambda padded, out: (padded, out.repeat(2, axis=1)[:, ::2]),
    "another depth": lambda padded, out: (padded, out.astype(np.uint16)),
    "an axis too few": lambda padded, out: (padded, out[0]),
    "no channels": lambda padded, out: (padded[..., :0], out[..., :0]),
    "five channels": lambda _padded, _out: (np.zeros((11, 23, 5), np.uint8), np.zeros((18, 42, 5), np.uint8)),
    "no rows": lambda padded, out: (padded[:2], out[:0]),
    "no columns": lambda padded, out: (padded[:, :2].copy(), out[:, :0]),
    "rows of one stride": lambda padded, out: (padded, strided(out, out.shape, 0)),
    "rows that overlap": lambda padded, out: (padded, strided(out, out.shape, 125)),
    "rows from the bottom up": lambda padded, out: (padded, out[::-1]),
    "rows that end beyond 64 bits": lambda padded, out: (padded, strided(out, out.shape, 2**60)),
    "columns beyond all memory": lambda padded, out: (padded, strided(out, (18, 2**50, 3), 2**53)),
    "a product beyond 64 bits": lambda padded, out: (padded, strided(out, (2**60, 4, 1), 0)),
    "an input in the output": lambda padded, out: (placed_over(out, padded), out),
    "memory that cannot be written": lambda padded, out: (
        padded,
        np.frombuffer(out.tobytes(), np.uint8).reshape(out.shape),
    ),
}


@needs_compiled
@pytest.mark.parametrize("fault", [None, *TWOFOLD_REFUSED])
def test_invalid_arguments_by_two_are_refused_before_memory_is_accessed(fault):
    route = CompiledRoute(kernel_named("bilinear", 2), Arithmetic(UINT8, 16), 3)
    padded, out = np.zeros((11, 23, 3), np.uint8), np.full((18, 42, 3), 77, np.uint8)
    if fault is None:  # the control
        route(padded, out)
        assert (out == 0).all()
        return
    given = TWOFOLD_REFUSED[fault](padded, out)
    before = out.copy()
    with pytest.raises((ValueError, BufferError)):
        route._enlarge(*given, False)
    assert np.array_equal(out, before)


@needs_compiled
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_alpha_by_two_needs_one_or_three_colours(channels):
    padded, out = np.ones((11, 23, channels), np.uint8), np.full((18, 42, channels), 77, np.uint8)
    if channels in (2, 4):  # the control
        compiled.native.enlarge_twofold(INSTRUCTIONS[0], padded, out, True)
        assert (out == 1).all()
        return
    with pytest.raises(ValueError, match="settings that fit nothing"):
        compiled.native.enlarge_twofold(INSTRUCTIONS[0], padded, out, True)
    assert (out == 77).all()


@needs_compiled
def test_sizes_whose_product_exceeds_64_bits_are_refused():
    """The padded tile would have (2**62 + 3) * 4 bytes, which is 12 in 64 bits."""
    route = CompiledRoute(kernel_named("nearest", 1), Arithmetic(UINT8, 1), 1)
    tables = list(route._settings)
    tables[3] = 4  # the window
    with pytest.raises(ValueError, match="settings that fit nothing"):
        route._enlarge(np.zeros(12, np.uint8), strided(np.zeros((1, 1, 1), np.uint8), (2**62, 1, 1), 0), *tables)
    route._enlarge(np.zeros(16, np.uint8), np.zeros((1, 1, 1), np.uint8), *tables)  # the control


@needs_compiled
def test_one_row_may_have_any_stride():
    """numpy and torch may give an axis of length 1 any stride."""
    route = CompiledRoute(kernel_named("nearest", 1), Arithmetic(UINT8, 1), 3)
    pixels = hostile_pixels((1, 5, 3), np.uint8)
    for stride in (0, -15, 2**62):
        out = np.zeros((1, 5, 3), np.uint8)
        route._enlarge(pixels, np.lib.stride_tricks.as_strided(out, out.shape, (stride, 3, 1)), *route._settings)
        assert np.array_equal(out, pixels)


@needs_compiled
def test_an_output_that_cannot_be_written_is_refused():
    route = CompiledRoute(kernel_named("bilinear", 2), Arithmetic(UINT8, 16), 3)
    out = np.zeros((18, 42, 3), np.uint8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        route._enlarge(np.ones((11, 23, 3), np.uint8), out, *route._settings)


@needs_compiled
@pytest.mark.parametrize(
    ("kernel", "arithmetic"),
    [
        (kernel_named("bilinear", 2), Arithmetic(np.dtype(np.float32), 16)),
        (spread(kernel_named("bilinear", 2), 3, is_dense=True), Arithmetic(UINT8, 16)),
        (kernel_named("bilinear", 2), Arithmetic(UINT8, 16, has_alpha=True)),
    ],
)
def test_kernels_and_pixels_it_cannot_enlarge_are_refused(kernel, arithmetic):
    with pytest.raises(
        ValueError, match=r"treats channels differently|not whole numbers|neither one nor three colours"
    ):
        CompiledRoute(kernel, arithmetic, channels=3)


NEEDED = {
    "avx512": {"FMA3", "AVX512F", "AVX512BW", "AVX512DQ", "AVX512VL", "AVX512VBMI", "AVX512VNNI"},
    "avx2": {"AVX2", "FMA3"},
}


@needs_compiled
def test_the_module_numpy_and_torch_see_the_same_processor():
    """torch reads its instructions by itself, unless its switch names fewer; numpy's switch is not used here."""
    found = compiled.native.instruction_sets()
    features = {name for name, is_there in numpy_umath.__cpu_features__.items() if is_there}
    assert [name for name in found if name in NEEDED] == [name for name, needed in NEEDED.items() if needed <= features]
    capability = torch.backends.cpu.get_cpu_capability()
    if "ATEN_CPU_CAPABILITY" not in os.environ and capability in {"AVX2", "AVX512"}:
        assert found[0] in NEEDED


@needs_compiled
@pytest.mark.parametrize("name", ["avx1024", "", "AVX2"])
def test_an_instruction_set_that_is_not_there_is_refused(name):
    """Run anyway, its first instruction would end the process."""
    absent = {"avx512", "avx2", "neon"} - set(compiled.native.instruction_sets())
    padded, out = np.zeros((3, 3, 1), np.uint8), np.full((2, 2, 1), 77, np.uint8)
    for unknown in (name, *absent):
        with pytest.raises(ValueError, match="was not compiled, or this processor does not have it"):
            compiled.native.enlarge_twofold(unknown, padded, out, False)
    assert (out == 77).all()


@needs_compiled
@pytest.mark.parametrize(
    ("capability", "forbidden"),
    [("default", {"avx512", "avx2"}), ("avx2", {"avx512"}), ("avx512", set()), ("no such", set())],
)
def test_the_switch_of_libtorch_limits_the_instructions_too(capability, forbidden, monkeypatch):
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    without_switch = instruction_sets.__wrapped__()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
    assert instruction_sets.__wrapped__() == [name for name in without_switch if name not in forbidden]


def test_a_package_without_a_compiled_module_leaves_all_to_the_layer(monkeypatch):
    monkeypatch.setattr(compiled, "native", None)
    assert instruction_sets.__wrapped__() == []
