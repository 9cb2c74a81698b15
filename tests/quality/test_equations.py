"""The closed form compared with least squares on single patches, the real layer, and torch's gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upsample_cli.quality.equations import (
    equations,
    kernel_of_phases,
    no_equations,
    phases_of_kernel,
    solved,
    symmetrized,
)

NOISE = 0.5


def photo(height, width, factor, seed=0):
    """A high and a low image that are related, but not by a kernel."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (height, width), np.uint8)
    high = np.kron(low, np.ones((factor, factor))) * 0.7 + rng.integers(0, 64, (height * factor, width * factor))
    return high.astype(np.uint8), low


def one_by_one(high, low, factor, support, noise):
    """{(row phase, column phase): weights by (row offset, column offset)}: numpy's lstsq on explicit patches.

    The constraint is built in: the middle weight is 1 minus the others, so the fit is to the difference from the middle
       pixel. The ridge adds one row for each weight.
    """
    reach = support // 2
    offsets = [(down, across) for down in range(-reach, reach + 1) for across in range(-reach, reach + 1)]
    others = [offset for offset in offsets if offset != (0, 0)]
    found = {}
    for row_phase in range(factor):
        for column_phase in range(factor):
            rows, targets = [], []
            for i in range(reach, low.shape[0] - reach):
                for j in range(reach, low.shape[1] - reach):
                    middle = float(low[i, j])
                    rows.append([low[i + down, j + across] - middle for down, across in others])
                    targets.append(float(high[i * factor + row_phase, j * factor + column_phase]) - middle)
            ridge = np.sqrt(noise * len(rows))
            rows += [*(ridge * np.eye(len(others))), ridge * np.ones(len(others))]
            targets += [0.0] * len(others) + [ridge]
            weights = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
            found[row_phase, column_phase] = dict(zip(others, weights, strict=True)) | {(0, 0): 1 - weights.sum()}
    return found


def layer_of(kernel, factor, support):
    layer = torch.nn.ConvTranspose2d(
        1, 1, support * factor, stride=factor, padding=support // 2 * factor, bias=False, dtype=torch.float64
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel))
    return layer


@pytest.mark.parametrize(("factor", "support"), [(2, 3), (3, 3), (2, 5), (4, 3)])
def test_the_layer_gives_the_predictions_of_least_squares_on_patches(factor, support):
    high, low = photo(13, 11, factor)
    expected = one_by_one(high, low, factor, support, NOISE)
    kernel = solved(equations(high, low, factor, support), noise=NOISE, symmetric=False)
    enlarged = layer_of(kernel, factor, support)(torch.from_numpy(low.astype(np.float64))[None, None])[0, 0]
    assert enlarged.shape == high.shape
    reach, wrong = support // 2, 0
    for (row_phase, column_phase), weights in expected.items():
        for i in range(reach, low.shape[0] - reach):
            for j in range(reach, low.shape[1] - reach):
                predicted = sum(weight * low[i + down, j + across] for (down, across), weight in weights.items())
                # Two float64 solvers for systems with a condition below 1e6; levels up to 255.
                assert abs(predicted - enlarged[i * factor + row_phase, j * factor + column_phase].item()) < 1e-7
                wrong += abs(predicted - enlarged[i * factor + column_phase, j * factor + row_phase].item()) > 1e-3
    assert wrong > 0, "control: with the phases of rows and columns exchanged it must not fit"


def test_the_gradient_of_the_squared_error_vanishes_along_the_constraint():
    factor, support, reach = 2, 3, 1
    high, low = photo(17, 11, factor)
    kernel = solved(equations(high, low, factor, support), noise=NOISE, symmetric=False)

    def slope(weights):
        layer = layer_of(weights, factor, support)
        enlarged = layer(torch.from_numpy(low.astype(np.float64))[None, None])[0, 0]
        inside = slice(reach * factor, -reach * factor)
        # Each phase is a separate mean: the sum over all pixels counts each phase's samples once.
        squared = ((enlarged - torch.from_numpy(high.astype(np.float64)))[inside, inside] ** 2).sum()
        samples = (low.shape[0] - 2 * reach) * (low.shape[1] - 2 * reach)
        (squared / samples + NOISE * (layer.weight**2).sum()).backward()
        phases = phases_of_kernel(layer.weight.grad[0, 0].numpy(), factor, support)
        return np.abs(phases - phases.mean(axis=0)).max()  # minus the part that the constraint forbids

    assert slope(kernel) < 1e-8  # compared with slopes of thousands, in float64
    assert slope(np.roll(kernel, 1, axis=0)) > 1, "control"


def test_the_kernel_that_made_the_images_is_recovered():
    """Multiples of 16 through bilinear weights of sixteenths stay integers, so nothing is lost by rounding."""
    low = (np.random.default_rng(1).integers(0, 16, (19, 23)) * 16).astype(np.uint8)
    axis = np.array([0, 1, 3, 3, 1, 0]) / 4
    true = np.outer(axis, axis)
    high = layer_of(true, 2, 3)(torch.from_numpy(low.astype(np.float64))[None, None])[0, 0].detach().numpy()
    found = equations(high.astype(np.uint8), low, 2, 3)
    for symmetric in (False, True):
        np.testing.assert_allclose(solved(found, noise=0, symmetric=symmetric), true, atol=1e-9)
    control = np.abs(solved(equations(high.astype(np.uint8)[::-1, ::-1], low, 2, 3), noise=0) - true).max()
    assert control > 0.1


@given(height=st.integers(5, 9), width=st.integers(5, 9), seed=st.integers(0, 99), factor=st.sampled_from([2, 3]))
@settings(deadline=None, max_examples=15)
def test_symmetric_sums_equal_the_sums_over_all_eight_orientations(height, width, seed, factor):
    high, low = photo(height, width, factor, seed)
    ways = no_equations(factor, 5)
    for turns in range(4):
        for step in (1, -1):
            ways += equations(np.rot90(high, turns)[::step].copy(), np.rot90(low, turns)[::step].copy(), factor, 5)
    found = symmetrized(equations(high, low, factor, 5))
    assert found.count == ways.count
    np.testing.assert_array_equal(found.gram, ways.gram)
    np.testing.assert_array_equal(found.cross, ways.cross)


def test_only_a_symmetric_fit_gives_a_kernel_with_all_symmetries():
    for symmetric in (True, False):
        kernel = solved(equations(*photo(17, 11, 3), 3, 3), noise=NOISE, symmetric=symmetric)
        symmetries = [np.allclose(kernel, image, atol=1e-10) for image in (kernel.T, kernel[::-1], np.rot90(kernel))]
        assert symmetries == [symmetric] * 3


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_fitted_kernel_keeps_flat_images_flat(symmetric):
    kernel = solved(equations(*photo(17, 11, 3), 3, 5), noise=NOISE, symmetric=symmetric)
    np.testing.assert_allclose(phases_of_kernel(kernel, 3, 5).sum(axis=0), 1, atol=1e-9)


def test_for_a_flat_image_the_ridge_gives_the_mean():
    flat = np.full((14, 14), 77, np.uint8)
    kernel = solved(equations(flat, flat[:7, :7], 2, 3), noise=NOISE)
    np.testing.assert_allclose(kernel, 1 / 9, atol=1e-9)


@given(seed=st.integers(0, 99), cut=st.integers(3, 10), factor=st.sampled_from([2, 4]), support=st.sampled_from([3, 5]))
@settings(deadline=None, max_examples=20)
def test_sums_are_exact_with_any_pieces_and_can_be_subtracted(seed, cut, factor, support):
    high, low = photo(15, 17, factor, seed)
    whole, reach = equations(high, low, factor, support), support // 2
    parts = [equations(high[: (cut + reach) * factor], low[: cut + reach], factor, support)]
    parts += [equations(high[(cut - reach) * factor :], low[cut - reach :], factor, support)]
    for together in (parts[0] + parts[1], parts[1] + parts[0], whole + parts[1] - parts[1]):
        assert together.count == whole.count
        assert np.array_equal(together.gram, whole.gram)
        assert np.array_equal(together.cross, whole.cross)
    control = parts[0] + equations(high[cut * factor :], low[cut:], factor, support)
    assert control.count < whole.count, "a halo too short loses neighbourhoods"


def test_sums_equal_integer_arithmetic():
    high, low = photo(9, 7, 2)
    found = equations(high, low, 2, 3)
    gram = np.zeros((9, 9), object)
    for i in range(7):
        for j in range(5):
            patch = low[i : i + 3, j : j + 3].ravel().astype(object)
            gram += np.outer(patch, patch)
    assert (found.gram == gram).all()


def test_an_image_smaller_than_a_neighbourhood_adds_nothing():
    assert equations(*photo(2, 9, 2), 2, 3).count == 0


@given(factor=st.integers(1, 4), support=st.sampled_from([1, 3, 5]))
@settings(deadline=None, max_examples=12)
def test_the_layout_of_phases_can_be_inverted(factor, support):
    phases = np.arange(support**2 * factor**2).reshape(support**2, factor**2)
    kernel = kernel_of_phases(phases, factor, support)
    assert np.array_equal(phases_of_kernel(kernel, factor, support), phases)
    reach = support // 2
    for tap_row, tap_column in np.ndindex(kernel.shape):
        # The formula is from the docstring of the module, read off here tap by tap.
        down, across = reach - tap_row // factor, reach - tap_column // factor
        neighbour = (down + reach) * support + across + reach
        assert kernel[tap_row, tap_column] == phases[neighbour, tap_row % factor * factor + tap_column % factor]
