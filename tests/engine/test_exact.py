"""The arithmetic around the layer: sufficient float types, and a division that never rounds up to an integer."""

import numpy as np
import pytest
import torch
from support.oracles import assert_same_pixels, rounded_half_up

from upsample_cli.engine.exact import Arithmetic, finish, prepare
from upsample_cli.geometry.sizes import MAX_FACTOR

FACTORS = range(1, MAX_FACTOR + 1)
WHOLE_IN_FLOAT32 = 2**24
UINT8, UINT16, FLOAT32, FLOAT64 = (np.dtype(name) for name in ("uint8", "uint16", "float32", "float64"))


def divisor_of(factor):
    """The square of the bilinear denominator: 2s for even factors, s for odd factors."""
    return (2 * factor) ** 2 if factor % 2 == 0 else factor**2


def test_arithmetic_of_integers_and_floats():
    arithmetic = Arithmetic(UINT16, 16)
    assert (arithmetic.is_exact, arithmetic.largest_pixel, arithmetic.sum_dtype) == (True, 65535, FLOAT32)
    for dtype in (FLOAT32, FLOAT64):
        assert not Arithmetic(dtype, 16).is_exact
        assert Arithmetic(dtype, 16, has_alpha=True).sum_dtype == dtype


@pytest.mark.parametrize("factor", FACTORS)
def test_float32_is_used_up_to_the_documented_factors(factor):
    divisor = divisor_of(factor)
    assert Arithmetic(UINT8, divisor).sum_dtype == FLOAT32  # every factor up to 64, and beyond
    # 16 bits: even factors up to 8, and odd factors, whose divisor is a quarter as large, up to 15
    fits = factor <= (15 if factor % 2 else 8)
    assert Arithmetic(UINT16, divisor).sum_dtype == (FLOAT32 if fits else FLOAT64)


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("factor", FACTORS)
def test_the_largest_dividend_is_exact_in_its_float_type(factor, has_alpha, largest):
    divisor = divisor_of(factor)
    dtype = UINT8 if largest == 255 else UINT16
    # Weights sum to the divisor, and the image is white and opaque; computed here with integers.
    if has_alpha:
        dividends = [2 * divisor * largest * largest + divisor * largest, divisor * largest + divisor // 2]
    else:
        dividends = [divisor * largest + divisor // 2]
    found = Arithmetic(dtype, divisor, has_alpha).sum_dtype
    limit = WHOLE_IN_FLOAT32 if found == FLOAT32 else 2**53
    assert max(dividends) < limit
    if found == FLOAT64:  # float64 is used only if needed, within half a divisor
        assert max(dividends) + divisor > WHOLE_IN_FLOAT32


def test_float32_fails_just_past_its_bound():
    # the smallest even factor whose 16-bit sums do not fit: 65535 * 18**2 exceeds 2**24
    divisor = (2 * 9) ** 2
    assert divisor * 65536 > WHOLE_IN_FLOAT32
    sums = np.arange(65535 * divisor - 5, 65535 * divisor + 1)
    assert not np.array_equal(sums.astype(FLOAT32).astype(np.int64), sums)
    assert np.array_equal(sums.astype(FLOAT64).astype(np.int64), sums)


# -- the proof in `finish`: a correctly rounded quotient of integers, truncated, is floor division ---------------------


def divided_by_torch(dividends, divisors):
    return torch.div(torch.from_numpy(dividends), torch.as_tensor(divisors)).numpy()


def assert_truncated_quotient_is_floor(dividends, divisors, dtype, quotients=(np.divide, divided_by_torch)):
    """`dividends` and `divisors` are int64; `quotients` are functions that divide floats."""
    for quotient in quotients:
        found = quotient(dividends.astype(dtype), np.asarray(divisors).astype(dtype)).astype(np.int64)
        wrong = found != dividends // divisors
        assert not wrong.any(), f"{int(wrong.sum())} of {wrong.size} quotients, first {np.argwhere(wrong)[0]}"


def next_to_multiples(divisor, limit, most=400_000):
    """Integers up to a limit at and next to the largest multiples of a divisor."""
    top = limit // divisor
    multiples = np.arange(max(0, top - most // 3), top + 1) * divisor
    near = np.concatenate([multiples - 1, multiples, multiples + 1])
    return near[(near >= 0) & (near <= limit)]


HARD_DIVISORS = [1, 2, 3, 4, 5, 7, 9, 41, 49, 121, 127, 128, 129, 255, 784, 1681, 4095, 4096, 4097, 65535, 65536]
HARD_DIVISORS += [2**20 - 1, 2**20 + 1, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 1, 2**24]


@pytest.mark.parametrize("divisor", HARD_DIVISORS)
def test_division_is_exact_up_to_the_bound_of_float32(divisor):
    every = np.arange(WHOLE_IN_FLOAT32 - 1_000_000, WHOLE_IN_FLOAT32 + 1)
    assert_truncated_quotient_is_floor(every, divisor, FLOAT32)
    assert_truncated_quotient_is_floor(next_to_multiples(divisor, WHOLE_IN_FLOAT32), divisor, FLOAT32)


@pytest.mark.parametrize("divisor", [1, 3, 49, 784, 16384, 65535, 2**26 - 1, 2**26 + 1, 2**33 + 7])
def test_division_is_exact_up_to_the_bound_of_float64(divisor):
    assert_truncated_quotient_is_floor(next_to_multiples(divisor, 2**53), divisor, FLOAT64)


def test_division_of_every_small_pair_is_exact():
    numbers = np.arange(3000)
    assert_truncated_quotient_is_floor(numbers[:, None], numbers[None, 1:], FLOAT32)


def test_multiplying_by_the_reciprocal_is_not_division():
    # Some devices do this if the divisor is a plain number: 1/121 rounds down, and 242 * (1/121) falls below 2.
    with pytest.raises(AssertionError):
        assert_truncated_quotient_is_floor(
            next_to_multiples(121, 255 * 121), 121, FLOAT32, [lambda dividend, divisor: dividend * (1 / divisor)]
        )


def test_division_is_not_exact_past_the_bound():
    dividends = np.arange(2**25 - 4096, 2**25 + 1)
    for quotient in (np.divide, divided_by_torch):
        with pytest.raises(AssertionError):
            assert_truncated_quotient_is_floor(dividends, 3, FLOAT32, [quotient])


# -- finish itself ----------------------------------------------------------------------------------------------------


def finished(sums, arithmetic):
    """`finish` applied to sums (n, channels) in int64, as an array and as a tensor with the same result."""
    out, of_tensor = (np.empty((1, *sums.shape), arithmetic.pixel_dtype) for _ in range(2))
    finish(sums[None].astype(arithmetic.sum_dtype), arithmetic, out)
    finish(torch.from_numpy(sums[None].astype(arithmetic.sum_dtype)), arithmetic, torch.from_numpy(of_tensor))
    assert_same_pixels(of_tensor, out)
    return out[0]


def assert_rounds_half_up(sums, arithmetic, finishing=finished):
    """`sums` (n,) in int64, without alpha."""
    expected = rounded_half_up(sums, arithmetic.divisor).astype(arithmetic.pixel_dtype)
    assert_same_pixels(finishing(sums[:, None], arithmetic), expected[:, None])


@pytest.mark.parametrize("factor", FACTORS)
def test_every_possible_sum_of_8_bit_pixels_is_rounded_half_up(factor):
    arithmetic = Arithmetic(UINT8, divisor_of(factor))
    assert_rounds_half_up(np.arange(255 * arithmetic.divisor + 1), arithmetic)


@pytest.mark.parametrize("factor", FACTORS)
def test_sums_of_16_bit_pixels_are_rounded_half_up(factor):
    divisor = divisor_of(factor)
    multiples = np.arange(65536, dtype=np.int64) * divisor
    turns = np.concatenate([multiples + shift for shift in (-1, 0, divisor // 2 - 1, divisor // 2, divisor // 2 + 1)])
    turns = turns[(turns >= 0) & (turns <= 65535 * divisor)]
    assert_rounds_half_up(turns, Arithmetic(UINT16, divisor))


def test_a_truncating_cast_is_detected():
    def truncated(sums, arithmetic):
        return (sums.astype(arithmetic.sum_dtype) / arithmetic.divisor).astype(arithmetic.pixel_dtype)

    with pytest.raises(AssertionError):
        assert_rounds_half_up(np.arange(255 * 16 + 1), Arithmetic(UINT8, 16), truncated)


def test_rounding_half_to_even_is_detected():
    def half_to_even(sums, arithmetic):
        quotients = sums.astype(arithmetic.sum_dtype) / arithmetic.divisor
        return quotients.round().astype(arithmetic.pixel_dtype)

    with pytest.raises(AssertionError):
        assert_rounds_half_up(np.arange(255 * 16 + 1), Arithmetic(UINT8, 16), half_to_even)


def alpha_sums(largest, divisor, seed):
    """Pairs of a sum of colour times alpha and a sum of alpha, near where the rounding of their quotient changes."""
    generator = np.random.default_rng(seed)
    alphas = np.concatenate(
        [
            np.arange(1, 700),
            generator.integers(1, largest * divisor + 1, 3000),
            largest * divisor - np.arange(700) % (largest * divisor),
        ]
    )
    colours = generator.integers(0, largest + 1, (6, len(alphas)))
    colours[0], colours[1] = largest, largest - 1
    turns = [colours * alphas + shift for shift in (alphas // 2 - 1, alphas // 2, (alphas + 1) // 2, 0, -1)]
    sums = np.stack(turns)
    sums = np.clip(sums, 0, largest * alphas)
    return sums.reshape(-1), np.broadcast_to(alphas, sums.shape).reshape(-1)


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("factor", [1, 2, 3, 5, 7, 11, 12, 14, 64])
def test_unpremultiplying_is_rounded_half_up(factor, largest):
    divisor = divisor_of(factor)
    colour, alpha = alpha_sums(largest, divisor, factor)
    dtype = UINT8 if largest == 255 else UINT16
    found = finished(np.stack([colour, alpha], axis=1), Arithmetic(dtype, divisor, has_alpha=True))
    expected = np.stack([rounded_half_up(colour, alpha), rounded_half_up(alpha, divisor)], axis=1)
    assert_same_pixels(found, expected.astype(found.dtype))


def test_colour_under_alpha_0_is_zero():
    found = finished(np.zeros((3, 4), dtype=np.int64), Arithmetic(UINT8, 16, has_alpha=True))
    assert found.tolist() == [[0, 0, 0, 0]] * 3


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_float_pixels_are_divided_and_not_rounded(kind):
    def sums():
        return kind(np.float32([[[4.0, 10.0], [0.0, 0.0], [-3.0, 2.0]]]))

    out = sums()
    finish(sums(), Arithmetic(FLOAT32, 4), out)
    assert out.tolist() == [[[1.0, 2.5], [0.0, 0.0], [-0.75, 0.5]]]
    finish(sums(), Arithmetic(FLOAT32, 4, has_alpha=True), out)
    assert out.tolist() == np.float32([[[0.4, 2.5], [0.0, 0.0], [-1.5, 0.5]]]).tolist()


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
def test_finish_writes_through_strides_and_nothing_else(pixel_type, kind):
    arithmetic = Arithmetic(np.dtype(pixel_type), 16)
    around = np.full((6, 9, 3), 77, pixel_type)
    sums = np.arange(3 * 4 * 3).reshape(3, 3, 4).astype(arithmetic.sum_dtype).transpose(2, 0, 1)  # (4, 3, 3), strided
    expected = np.full((6, 9, 3), 77, dtype=pixel_type)
    expected[1:5, 2:8:2] = rounded_half_up(sums.astype(np.int64), 16)
    finish(kind(sums), arithmetic, kind(around)[1:5, 2:8:2])
    assert_same_pixels(around, expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("dtype", [UINT8, UINT16, FLOAT32, FLOAT64])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_prepare_multiplies_colour_by_alpha_in_a_copy(dtype, has_alpha, kind):
    pixels = np.array([[[3, 5, 7], [255, 255, 255], [9, 8, 0]]], dtype)
    before = pixels.copy()
    arithmetic = Arithmetic(dtype, 16, has_alpha)
    numbers = prepare(kind(pixels), arithmetic)
    assert type(numbers) is type(kind(pixels))
    assert str(numbers.dtype).removeprefix("torch.") == arithmetic.sum_dtype.name
    assert np.array_equal(pixels, before)
    colour = [[21, 35], [65025, 65025], [0, 0]] if has_alpha else [[3, 5], [255, 255], [9, 8]]
    assert numbers[0, :, :2].tolist() == colour
    assert numbers[0, :, 2].tolist() == [7, 255, 0]
    numbers[...] = 0
    assert np.array_equal(pixels, before)
