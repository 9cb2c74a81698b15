"""Integer numerators: phases sum exactly, symmetry is kept, and 8 bits cost less than plain rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.test_equations import NOISE, photo

from upsample_cli.quality.equations import equations, phases_of_kernel, solved, symmetrized
from upsample_cli.quality.quantize import LARGEST, best_numerators, numerators


@given(
    factor=st.integers(1, 4),
    support=st.sampled_from([1, 3, 5]),
    denominator=st.integers(1, 2**15),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_every_phase_sums_to_the_denominator(factor, support, denominator, seed):
    size = factor * support
    kernel = np.random.default_rng(seed).normal(0, 1, (size, size))
    kernel += (1 - sum_of_phase(kernel, factor)) / support**2
    whole = numerators(kernel, factor=factor, denominator=denominator)
    assert (sum_of_phase(whole, factor) == denominator).all()
    others = np.ones((size, size), bool)
    others[support // 2 * factor : (support // 2 + 1) * factor, support // 2 * factor : (support // 2 + 1) * factor] = 0
    assert np.abs(whole - kernel * denominator)[others].max(initial=0) <= 0.5 + 1e-9


def sum_of_phase(kernel, factor):
    """For each tap the sum of its phase, found by steps of the factor and not by the package's layout."""
    sums = np.zeros_like(kernel)
    for top in range(factor):
        for left in range(factor):
            sums[top::factor, left::factor] = kernel[top::factor, left::factor].sum()
    return sums


@pytest.fixture(params=[(2, 5), (3, 3), (4, 3)])
def found(request):
    factor, support = request.param
    high, low = photo(31, 33, factor, seed=5)
    smooth = (high.astype(int) + np.roll(high, 1, 0) + np.roll(high, 1, 1) + np.roll(high, 2, 1)) // 4
    return equations(smooth.astype(np.uint8), low, factor, support)


def added_error(whole, denominator, kernel, found):
    """The added squared error of the fit per sample, in squared levels, computed from the sums."""
    sums = symmetrized(found)
    error = phases_of_kernel(whole / denominator - kernel, found.factor, found.support)
    return np.einsum("ar,ab,br->", error, sums.gram / sums.count + NOISE * np.eye(len(sums.gram)), error)


def test_the_descent_keeps_sums_and_symmetry_and_never_adds_error(found):
    kernel = solved(found, noise=NOISE)
    whole, denominator = best_numerators(kernel, found, [40], noise=NOISE)
    assert denominator == 40
    assert (sum_of_phase(whole, found.factor) == 40).all()
    assert np.array_equal(whole, whole.T)
    assert np.array_equal(whole, whole[::-1])
    plain = numerators(kernel, factor=found.factor, denominator=40)
    assert added_error(whole, 40, kernel, found) <= added_error(plain, 40, kernel, found)


def test_the_descent_reduces_the_error(found):
    """Counted over all grids: a descent that does nothing would pass the test above."""
    kernel = solved(found, noise=NOISE)
    gains = [
        added_error(best_numerators(kernel, found, [denominator], noise=NOISE)[0], denominator, kernel, found)
        / added_error(numerators(kernel, factor=found.factor, denominator=denominator), denominator, kernel, found)
        for denominator in range(20, 30)
    ]
    assert np.mean(gains) < 0.9


def test_no_single_exchange_of_two_taps_improves_an_unsymmetric_kernel(found):
    kernel = solved(found, noise=NOISE, symmetric=False)
    whole, denominator = best_numerators(kernel, found, [30], noise=NOISE, symmetric=False)
    weight = found.gram / found.count + NOISE * np.eye(len(found.gram))
    error = phases_of_kernel(whole / denominator - kernel, found.factor, found.support)[:, 0]
    before = error @ weight @ error
    for gaining, losing in np.ndindex(len(error), len(error)):
        changed = error.copy()
        changed[gaining] += 1 / denominator
        changed[losing] -= 1 / denominator
        assert changed @ weight @ changed >= before * (1 - 1e-8)


def test_the_best_denominator_is_chosen_and_fits_8_bits(found):
    kernel = solved(found, noise=NOISE)
    whole, denominator = best_numerators(kernel, found, range(20, 200), noise=NOISE)
    assert np.abs(whole).max() <= LARGEST
    least = added_error(whole, denominator, kernel, found)
    for other in (20, 40, 60):
        assert least <= added_error(*best_numerators(kernel, found, [other], noise=NOISE), kernel, found)
