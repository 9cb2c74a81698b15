"""Any layer over any samples, compared with torch in one piece and with Python's fractions; tiles do not matter."""

import sys
import warnings
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.borders import BORDERS
from upsample_cli.tconv.run import apply as module
from upsample_cli.tconv.run.apply import apply
from upsample_cli.tconv.run.filled import linear_filled, weighted

TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
PADS = {"replicate": "edge", "reflect": "reflect", "wrap": "wrap", "zeros": "constant"}


@st.composite
def cases(draw, most_axes=3):
    axes, sizes = [], []
    for _ in range(draw(st.integers(1, most_axes))):
        kernel_size, stride, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
        padding, output_padding = draw(st.integers(0, 4)), draw(st.integers(0, max(stride, dilation) - 1))
        size = draw(st.integers(1, 7))
        assume((size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1 > 0)
        axes.append(LayerAxis(kernel_size, stride, padding, output_padding, dilation, transposed=True))
        sizes.append(size)
    return tuple(axes), tuple(sizes), draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 999))


def torch_whole(weight, bias, axes, groups, samples):
    names = ("stride", "padding", "output_padding", "dilation")
    keywords = {name: tuple(getattr(axis, name) for axis in axes) for name in names}
    bias = None if bias is None else torch.from_numpy(bias)
    x = torch.from_numpy(samples.astype(np.float64))[None]
    return TRANSPOSED[len(axes)](x, torch.from_numpy(weight), bias, groups=groups, **keywords)[0].numpy()


@given(case=cases(), tile=st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_any_layer_equals_torchs_with_any_tile(case, tile):
    axes, sizes, groups, per_group, seed = case
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(2 * groups, per_group, *(axis.kernel_size for axis in axes)))
    bias = generator.normal(size=per_group * groups)
    samples = generator.normal(size=(2 * groups, *sizes))
    filled = weighted(axes, weight, bias=bias, groups=groups)
    whole = apply(filled, samples, tile=99)
    # float64, at most 2*125 terms of size about 1.
    assert np.allclose(whole, torch_whole(weight, bias, axes, groups, samples), rtol=0, atol=1e-12)
    assert np.array_equal(apply(filled, samples, tile=tile), whole)  # identical to the last bit
    pixels = generator.integers(0, 65536, samples.shape).astype(np.uint16)
    weight, bias = (np.rint(numbers * 4096) / 4096 for numbers in (weight, bias))  # sums are exact, in torch too
    exact = weighted(axes, weight, bias=bias, groups=groups, peak=65535)
    assert np.array_equal(apply(exact, pixels, tile=tile), apply(exact, pixels, tile=99))
    expected = np.floor(torch_whole(weight, bias, axes, groups, pixels) + 0.5).clip(0, 65535)
    assert np.array_equal(apply(exact, pixels), expected)


@given(case=cases(), tile=st.integers(1, 4), border=st.sampled_from(BORDERS))
@settings(deadline=None, max_examples=150)
def test_the_linear_kernel_is_exact_in_any_tile_with_any_border(case, tile, border):
    axes, sizes, _, channels, seed = case
    samples = np.random.default_rng(seed).integers(-(2**31), 2**31, (channels, *sizes)).astype(np.int32)
    filled = linear_filled(axes)
    found = apply(filled, samples, tile=tile, border=border)
    assert np.array_equal(found, apply(filled, samples, border=border))
    assert found.dtype == np.int32
    index = tuple(np.random.default_rng(seed + 1).integers(0, size) for size in found.shape[1:])
    assert int(found[(0, *index)]) == sample_by_hand(samples[0], axes, index, border)


def sample_by_hand(samples, axes, index, border):
    """One output sample as a fraction, by the definition, over a padded copy: no halo, no tiles, no floats."""
    reach = 30
    if border == "reflect" and 1 in samples.shape:
        padded = samples
        for axis, size in enumerate(samples.shape):
            widths = [(0, 0)] * samples.ndim
            widths[axis] = (reach, reach)
            padded = np.pad(padded, widths, mode="edge" if size == 1 else "reflect")
    else:
        padded = np.pad(samples, reach, mode=PADS[border])
    terms = [(Fraction(1), ())]
    for axis, output, size in zip(axes, index, samples.shape, strict=True):
        half = (axis.kernel_size + 1) // 2
        centre = Fraction(half - 1) if axis.kernel_size % 2 else half - Fraction(1, 2)
        line = [
            (1 - abs(tap - centre) / half, place // axis.stride + reach)
            for tap in range(axis.kernel_size)
            if (place := int(output) + axis.padding - tap * axis.dilation) % axis.stride == 0
            and -reach <= place // axis.stride < size + reach
        ]
        terms = [(weight * share, (*where, place)) for weight, where in terms for share, place in line]
    value = sum((weight * int(padded[where]) for weight, where in terms), Fraction())
    return min(max(floor(value + Fraction(1, 2)), -(2**31)), 2**31 - 1)


@pytest.mark.parametrize(("axes", "sizes"), [(1, (17,)), (2, (7, 11)), (3, (5, 3, 7))])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_linear_bilinear_and_trilinear_equal_interpolate(axes, sizes, factor):
    samples = np.random.default_rng(factor).normal(size=(2, *sizes))
    layer = [LayerAxis(2 * factor - factor % 2, factor, factor // 2, transposed=True)] * axes
    found = apply(linear_filled(layer), samples, border="replicate")
    expected = F.interpolate(torch.from_numpy(samples)[None], scale_factor=factor, mode=MODES[axes])[0].numpy()
    assert np.allclose(found, expected, rtol=0, atol=1e-12)
    if factor > 1:  # the control: the bare layer is darker at the border
        assert not np.allclose(apply(linear_filled(layer), samples), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("short", [0, 1])
def test_control_a_halo_one_sample_short_changes_the_result(short, monkeypatch):
    """Shows that the test of tiles can fail: inputs outside the tile count as border."""
    axes = (LayerAxis(6, 2, 2, transposed=True), LayerAxis(4, 2, 1, transposed=True))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 9, 11)).astype(np.uint8)
    whole = apply(linear_filled(axes), pixels, tile=99)
    right = module.input_span

    def narrow(axis, start, stop):
        first, last = right(axis, start, stop)
        return first, last - short

    monkeypatch.setattr(module, "input_span", narrow)
    assert np.array_equal(apply(linear_filled(axes), pixels, tile=3), whole) == (short == 0)


def test_results_are_clamped_and_not_wrapped():
    filled = weighted((LayerAxis(1, transposed=True),), np.array([[[2.0]]]), bias=np.array([-10.0]), peak=255)
    found = apply(filled, np.array([[0, 3, 100, 200]], dtype=np.uint8))
    assert found.tolist() == [[0, 0, 190, 255]]
    assert apply(filled, np.array([[0, 100]], dtype=np.uint8), limits=(0, 100)).tolist() == [[0, 100]]


def test_ties_below_zero_are_rounded_up_too():
    filled = weighted((LayerAxis(1, transposed=True),), np.array([[[0.5]]]), peak=128)
    assert apply(filled, np.array([[-3, -1, 1, 3]], dtype=np.int8)).tolist() == [[-1, 0, 1, 2]]


def test_mismatched_layers_and_samples_are_refused():
    with pytest.raises(UsageError, match="takes 2 channels, the input has 3"):
        apply(weighted((LayerAxis(1, transposed=True),), np.ones((2, 1, 1))), np.ones((3, 4)))
    with pytest.raises(UsageError, match="groups 2 do not fit"):
        weighted((LayerAxis(1, transposed=True),), np.ones((3, 1, 1)), groups=2)
    with pytest.raises(UsageError, match="numbers too large"):
        weighted((LayerAxis(1, transposed=True),), np.full((1, 1, 1), 1e30), peak=255)


@given(case=cases(most_axes=2), tile=st.integers(1, 5), channels=st.integers(3, 8))
@settings(deadline=None, max_examples=100)
def test_floating_point_with_many_channels_is_identical_in_any_tile(case, tile, channels):
    axes, sizes, groups, per_group, seed = case
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(channels * groups, per_group, *(axis.kernel_size for axis in axes)))
    samples = generator.normal(size=(channels * groups, *(size + 9 for size in sizes)))
    filled = weighted(axes, weight, groups=groups)
    assert np.array_equal(apply(filled, samples, tile=tile), apply(filled, samples, tile=99))


def test_control_summing_channels_in_another_order_changes_the_last_bit():
    """The reason for a fixed order: summing the same layer's channels in reverse changes the last bit."""
    generator, axes = np.random.default_rng(0), (LayerAxis(5, 2, transposed=True), LayerAxis(3, 2, transposed=True))
    weight, samples = generator.normal(size=(8, 8, 5, 3)), generator.normal(size=(8, 19, 23))
    forward, backward = (apply(weighted(axes, weight[::step].copy()), samples[::step].copy()) for step in (1, -1))
    assert not np.array_equal(forward, backward)
    assert np.allclose(forward, backward, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sums_do_not_overflow_if_the_result_is_finite(axes):
    """Some data mark "no data" by the smallest number. Fractions are the oracle."""
    most = sys.float_info.max
    line = np.array([most, most, -most, 5e-324, 1.0, np.inf, 2.0])
    filled = linear_filled([LayerAxis(4, stride=2, padding=1, transposed=True)] * axes)
    samples = np.broadcast_to(line, (1, *(2,) * (axes - 1), len(line)))
    padded = [line[0], *line, line[-1]]
    near, far = Fraction(3, 4), Fraction(1, 4)
    expected = [
        float(near * Fraction(own) + far * Fraction(other)) if np.isfinite([own, other]).all() else np.inf
        for index, own in enumerate(padded[1:-1], start=1)
        for other in (padded[index - 1], padded[index + 1])
    ]
    for tile in (None, 1, 3):
        found = apply(filled, samples, border="replicate", tile=tile)
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-15, atol=0)
    assert 3 * most == np.inf  # control: a plain sum overflows


def test_a_result_beyond_the_samples_type_is_infinite_without_a_warning():
    filled = weighted([LayerAxis(1, transposed=True)], np.full((1, 1, 1), 10.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert apply(filled, np.array([[3e38, 1]], np.float32)).tolist() == [[np.inf, 10]]
