"""The arithmetic around the layer: float types wide enough, and a division that never rounds up to a whole number."""

import numpy as np
import pytest
import torch
from support.oracles import assert_same_pixels, rounded_half_up

from upsample_cli.engine.exact import Arithmetic, finish, prepare
from upsample_cli.geometry.sizes import MAX_FACTOR

FACTORS = range(1, MAX_FACTOR + 1)
WHOLE_IN_FLOAT32 = 2**24
DTYPES = {np.uint8: torch.uint8, np.uint16: torch.uint16}


def divisor_of(factor):
    """The square of the bilinear denominator: 2s for even factors, s for odd ones."""
    return (2 * factor) ** 2 if factor % 2 == 0 else factor**2


def test_arithmetic_of_one_kind():
    arithmetic = Arithmetic(torch.uint16, 16)
    assert (arithmetic.is_exact, arithmetic.largest_pixel, arithmetic.sum_dtype) == (True, 65535, torch.float32)
    for dtype in (torch.float32, torch.float64):
        assert not Arithmetic(dtype, 16).is_exact
        assert Arithmetic(dtype, 16, has_alpha=True).sum_dtype == dtype


@pytest.mark.parametrize("factor", FACTORS)
def test_float32_up_to_the_factors_the_design_names(factor):
    divisor = divisor_of(factor)
    assert Arithmetic(torch.uint8, divisor).sum_dtype == torch.float32  # every factor up to 64, and beyond
    # 16 bit: even factors up to 8, odd ones (their divisor is a quarter as large) up to 15
    fits = factor <= (15 if factor % 2 else 8)
    assert Arithmetic(torch.uint16, divisor).sum_dtype == (torch.float32 if fits else torch.float64)


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("factor", FACTORS)
def test_the_largest_dividend_is_whole_in_its_float_type(factor, has_alpha, largest):
    divisor = divisor_of(factor)
    dtype = torch.uint8 if largest == 255 else torch.uint16
    # Weights sum to the divisor; the image is white, opaque: written out here with whole numbers.
    if has_alpha:
        dividends = [2 * divisor * largest * largest + divisor * largest, divisor * largest + divisor // 2]
    else:
        dividends = [divisor * largest + divisor // 2]
    found = Arithmetic(dtype, divisor, has_alpha).sum_dtype
    limit = WHOLE_IN_FLOAT32 if found == torch.float32 else 2**53
    assert max(dividends) < limit
    if found == torch.float64:  # not without need, give or take half a divisor
        assert max(dividends) + divisor > WHOLE_IN_FLOAT32


def test_float32_would_fail_just_past_its_bound():
    # the smallest even factor whose 16-bit sums do not fit: 65535 * 18**2 is past 2**24
    divisor = (2 * 9) ** 2
    assert divisor * 65536 > WHOLE_IN_FLOAT32
    sums = torch.arange(65535 * divisor - 5, 65535 * divisor + 1)
    assert not torch.equal(sums.to(torch.float32).to(torch.int64), sums)
    assert torch.equal(sums.to(torch.float64).to(torch.int64), sums)


# -- the proof in `finish`: a correctly rounded quotient of whole numbers, truncated, is floor division ----------------


def assert_truncated_quotient_is_floor(dividends, divisors, dtype, quotient=torch.div):
    """`dividends` and `divisors` are int64; `quotient` is what divides floats."""
    found = quotient(dividends.to(dtype), torch.as_tensor(divisors).to(dtype)).to(torch.int64)
    wrong = found != dividends // divisors
    assert not wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} quotients, first {dividends[wrong][0]}"


def next_to_multiples(divisor, limit, most=400_000):
    """Whole numbers up to a limit that lie on and beside the largest multiples of a divisor."""
    top = limit // divisor
    multiples = torch.arange(max(0, top - most // 3), top + 1) * divisor
    near = torch.cat([multiples - 1, multiples, multiples + 1])
    return near[(near >= 0) & (near <= limit)]


HARD_DIVISORS = [1, 2, 3, 4, 5, 7, 9, 41, 49, 121, 127, 128, 129, 255, 784, 1681, 4095, 4096, 4097, 65535, 65536]
HARD_DIVISORS += [2**20 - 1, 2**20 + 1, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 1, 2**24]


@pytest.mark.parametrize("divisor", HARD_DIVISORS)
def test_division_up_to_the_bound_of_float32(divisor):
    every = torch.arange(WHOLE_IN_FLOAT32 - 1_000_000, WHOLE_IN_FLOAT32 + 1)
    assert_truncated_quotient_is_floor(every, divisor, torch.float32)
    assert_truncated_quotient_is_floor(next_to_multiples(divisor, WHOLE_IN_FLOAT32), divisor, torch.float32)


@pytest.mark.parametrize("divisor", [1, 3, 49, 784, 16384, 65535, 2**26 - 1, 2**26 + 1, 2**33 + 7])
def test_division_up_to_the_bound_of_float64(divisor):
    assert_truncated_quotient_is_floor(next_to_multiples(divisor, 2**53), divisor, torch.float64)


def test_division_of_every_small_pair():
    numbers = torch.arange(3000)
    assert_truncated_quotient_is_floor(numbers[:, None], numbers[None, 1:], torch.float32)


def test_multiplying_by_the_reciprocal_is_not_division():
    # What some devices do when the divisor is a plain number: 1/121 rounds down, and 242 * (1/121) falls below 2.
    with pytest.raises(AssertionError):
        assert_truncated_quotient_is_floor(
            next_to_multiples(121, 255 * 121), 121, torch.float32, lambda dividend, divisor: dividend * (1 / divisor)
        )


def test_past_the_bound_the_proof_ends():
    dividends = torch.arange(2**25 - 4096, 2**25 + 1)
    with pytest.raises(AssertionError):
        assert_truncated_quotient_is_floor(dividends, 3, torch.float32)


# -- finish itself ----------------------------------------------------------------------------------------------------


def finished(sums, arithmetic):
    """`finish` on a line of sums, (n, channels) int64."""
    out = torch.empty(1, *sums.shape, dtype=arithmetic.pixel_dtype)
    finish(torch.from_numpy(sums)[None].to(arithmetic.sum_dtype), arithmetic, out)
    return out[0].numpy()


def assert_rounds_half_up(sums, arithmetic, finishing=finished):
    """`sums` (n,) int64, without alpha."""
    pixel_type = np.uint8 if arithmetic.pixel_dtype == torch.uint8 else np.uint16
    expected = rounded_half_up(sums, arithmetic.divisor).astype(pixel_type)
    assert_same_pixels(finishing(sums[:, None], arithmetic), expected[:, None])


@pytest.mark.parametrize("factor", FACTORS)
def test_every_possible_sum_of_8_bit_pixels(factor):
    arithmetic = Arithmetic(torch.uint8, divisor_of(factor))
    assert_rounds_half_up(np.arange(255 * arithmetic.divisor + 1), arithmetic)


@pytest.mark.parametrize("factor", FACTORS)
def test_sums_of_16_bit_pixels_where_rounding_turns(factor):
    divisor = divisor_of(factor)
    multiples = np.arange(65536, dtype=np.int64) * divisor
    turns = np.concatenate([multiples + shift for shift in (-1, 0, divisor // 2 - 1, divisor // 2, divisor // 2 + 1)])
    turns = turns[(turns >= 0) & (turns <= 65535 * divisor)]
    assert_rounds_half_up(turns, Arithmetic(torch.uint16, divisor))


def test_a_truncating_cast_is_noticed():
    def truncated(sums, arithmetic):
        return (torch.from_numpy(sums).to(arithmetic.sum_dtype) / arithmetic.divisor).to(arithmetic.pixel_dtype).numpy()

    with pytest.raises(AssertionError):
        assert_rounds_half_up(np.arange(255 * 16 + 1), Arithmetic(torch.uint8, 16), truncated)


def test_rounding_half_to_even_is_noticed():
    def half_to_even(sums, arithmetic):
        quotients = torch.from_numpy(sums).to(arithmetic.sum_dtype) / arithmetic.divisor
        return quotients.round().to(arithmetic.pixel_dtype).numpy()

    with pytest.raises(AssertionError):
        assert_rounds_half_up(np.arange(255 * 16 + 1), Arithmetic(torch.uint8, 16), half_to_even)


def alpha_sums(largest, divisor, seed):
    """Pairs of a sum of colour times alpha and a sum of alpha, where the rounding of their quotient turns."""
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
def test_unpremultiplying_where_rounding_turns(factor, largest):
    divisor = divisor_of(factor)
    colour, alpha = alpha_sums(largest, divisor, factor)
    dtype = torch.uint8 if largest == 255 else torch.uint16
    found = finished(np.stack([colour, alpha], axis=1), Arithmetic(dtype, divisor, has_alpha=True))
    expected = np.stack([rounded_half_up(colour, alpha), rounded_half_up(alpha, divisor)], axis=1)
    assert_same_pixels(found, expected.astype(found.dtype))


def test_colour_under_no_opacity_is_zero():
    found = finished(np.zeros((3, 4), dtype=np.int64), Arithmetic(torch.uint8, 16, has_alpha=True))
    assert found.tolist() == [[0, 0, 0, 0]] * 3


def test_float_pixels_are_divided_and_not_rounded():
    sums = torch.tensor([[[4.0, 10.0], [0.0, 0.0], [-3.0, 2.0]]])
    out = torch.empty_like(sums)
    finish(sums.clone(), Arithmetic(torch.float32, 4), out)
    assert out.tolist() == [[[1.0, 2.5], [0.0, 0.0], [-0.75, 0.5]]]
    finish(sums.clone(), Arithmetic(torch.float32, 4, has_alpha=True), out)
    assert torch.equal(out, torch.tensor([[[0.4, 2.5], [0.0, 0.0], [-1.5, 0.5]]]))


@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
def test_finish_writes_through_strides_and_nothing_beside(pixel_type):
    arithmetic = Arithmetic(DTYPES[pixel_type], 16)
    around = torch.full((6, 9, 3), 77).to(arithmetic.pixel_dtype)
    sums = torch.arange(3 * 4 * 3).reshape(3, 3, 4).permute(2, 0, 1).to(arithmetic.sum_dtype)  # (4, 3, 3), strided
    finish(sums.clone(), arithmetic, around[1:5, 2:8:2])
    expected = np.full((6, 9, 3), 77, dtype=pixel_type)
    expected[1:5, 2:8:2] = rounded_half_up(sums.to(torch.int64).numpy(), 16)
    assert_same_pixels(around.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_prepare_multiplies_colour_by_alpha_in_a_copy(dtype, has_alpha):
    pixels = torch.tensor([[[3, 5, 7], [255, 255, 255], [9, 8, 0]]]).to(dtype)
    before = pixels.clone()
    arithmetic = Arithmetic(dtype, 16, has_alpha)
    numbers = prepare(pixels, arithmetic)
    assert numbers.dtype == arithmetic.sum_dtype
    assert torch.equal(pixels, before)
    colour = [[21, 35], [65025, 65025], [0, 0]] if has_alpha else [[3, 5], [255, 255], [9, 8]]
    assert numbers[0, :, :2].tolist() == colour
    assert numbers[0, :, 2].tolist() == [7, 255, 0]
    numbers.zero_()
    assert torch.equal(pixels, before)
