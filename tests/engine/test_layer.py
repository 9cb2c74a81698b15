"""The layer: textbook cases, golden weights, and equality with torch's own interpolation."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from upsample_cli.engine import aten
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.layer import bilinear_kernel, bilinear_layer
from upsample_cli.engine.pytorch import torch_layer
from upsample_cli.engine.routes.plain import cpu_layer, layer_settings, layer_weight
from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.kernels.kernel import kernel_named

FACTORS = [1, 2, 3, 4, 5, 7, 8, 16, 33, 64]


def rounding_error(dtype, operations):
    """The maximum relative error after this many roundings of numbers with one sign, plus one unit in reserve."""
    return (operations + 1) * torch.finfo(dtype).eps


def noise(*shape, dtype=torch.float64):
    """Numbers in [0.25, 1): of one sign and not small, so that relative errors are meaningful."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype) * 0.75 + 0.25


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[0, 0, 1], [0, 4, 6], [4, 12, 9]]),
        ({"padding": 1}, [[4]]),
        ({"stride": 2}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]),
    ],
)
def test_textbook_transposed_convolutions(settings, expected):
    square = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, None]
    layer = nn.ConvTranspose2d(1, 1, 2, bias=False, **settings)
    with torch.no_grad():
        layer.weight.copy_(square)
        assert layer(square)[0, 0].tolist() == expected


def test_a_convolution_and_its_transpose_equal_their_matrices():
    # Each row of the matrix contains the kernel at its position on the flattened 3x3 image for one of the four outputs.
    matrix = torch.tensor(
        [
            [1, 2, 0, 3, 4, 0, 0, 0, 0],
            [0, 1, 2, 0, 3, 4, 0, 0, 0],
            [0, 0, 0, 1, 2, 0, 3, 4, 0],
            [0, 0, 0, 0, 1, 2, 0, 3, 4],
        ]
    ).float()
    image, kernel = torch.arange(9.0), torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    convolved = functional.conv2d(image.view(1, 1, 3, 3), kernel)
    assert convolved[0, 0].tolist() == [[27, 37], [57, 67]]
    assert torch.equal(convolved.flatten(), matrix @ image)
    transposed = functional.conv_transpose2d(convolved, kernel)
    assert torch.equal(transposed.flatten(), matrix.T @ convolved.flatten())


def test_golden_bilinear_kernel():
    # The outer product of (1 3 3 1)/4 with itself: corners 1/16, edges 3/16, middle 9/16.
    rim, middle = [0.0625, 0.1875, 0.1875, 0.0625], [0.1875, 0.5625, 0.5625, 0.1875]
    assert bilinear_kernel(1, 1, 4)[0, 0].tolist() == [rim, middle, middle, rim]


@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (2, 5), (5, 2), (1, 4)])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 8, 11])
def test_the_bilinear_kernel_is_only_on_the_diagonal(in_channels, out_channels, kernel_size):
    weight = bilinear_kernel(in_channels, out_channels, kernel_size)
    assert weight.shape == (in_channels, out_channels, kernel_size, kernel_size)
    assert weight.dtype == torch.float32
    centre, half = (kernel_size - 1) / 2, (kernel_size + 1) // 2
    triangle = torch.tensor([1 - abs(i - centre) / half for i in range(kernel_size)], dtype=torch.float64)
    for row in range(in_channels):
        for column in range(out_channels):
            # both round the same product of two doubles once, but the triangle itself may be off by one rounding
            expected = torch.outer(triangle, triangle).float() if row == column else torch.zeros_like(weight[0, 0])
            torch.testing.assert_close(weight[row, column], expected, rtol=torch.finfo(torch.float32).eps, atol=0)


@pytest.mark.parametrize("sizes", [(0, 1, 4), (1, 0, 4), (1, 1, 0), (-1, 1, 4)])
def test_an_empty_kernel_is_refused(sizes):
    with pytest.raises(GeometryError, match="one or more channels"):
        bilinear_kernel(*sizes)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("channels", [0, -1])
def test_a_layer_without_channels_is_refused(channels, depthwise):
    with pytest.raises(GeometryError, match="one or more channels"):
        bilinear_layer(2, channels, depthwise=depthwise)


def test_a_layer_with_an_invalid_factor_is_refused():
    with pytest.raises(UsageError, match="factor 65"):
        bilinear_layer(65, 3)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("depthwise", [False, True])
def test_the_layer_has_the_documented_settings(factor, depthwise):
    layer = bilinear_layer(factor, 3, depthwise=depthwise)
    assert type(layer) is nn.ConvTranspose2d
    kernel_size, padding = 2 * factor - factor % 2, factor // 2  # for odd factors this equals (factor - 1) / 2
    assert (layer.kernel_size, layer.stride, layer.padding) == (
        (kernel_size, kernel_size),
        (factor, factor),
        (padding, padding),
    )
    assert layer.output_padding == (0, 0)
    assert layer.dilation == (1, 1)
    assert layer.bias is None
    assert layer.groups == (3 if depthwise else 1)
    assert layer.weight.requires_grad
    assert layer(torch.zeros(2, 3, 5, 7)).shape == (2, 3, 5 * factor, 7 * factor)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_and_depthwise_layers_equal_interpolate_inside(factor, dtype):
    image = noise(2, 3, 5, 7, dtype=dtype)
    dense, depthwise = (bilinear_layer(factor, 3, depthwise=flag).to(dtype)(image).detach() for flag in (False, True))
    # Four products of weights below one, summed: at most eight roundings; the weights themselves are float32.
    torch.testing.assert_close(dense, depthwise, rtol=rounding_error(torch.float32, 8), atol=0)
    # Torch also rounds coordinates up to 7 on two axes; neighbours differ by up to three times the smaller one.
    tolerance = rounding_error(torch.float32, 8 + (2 * 7 * 3 if dtype == torch.float32 else 0))
    theirs = functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(dense[inside], theirs[inside], rtol=tolerance, atol=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_replicated_border_equals_interpolate_everywhere(factor):
    image = noise(1, 2, 5, 3)
    layer = bilinear_layer(factor, 2).double()
    enlarged = layer(functional.pad(image, (1, 1, 1, 1), mode="replicate")).detach()
    enlarged = enlarged[..., factor:-factor, factor:-factor]
    theirs = functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarged, theirs, rtol=rounding_error(torch.float32, 8), atol=0)


def test_zero_padding_darkens_the_border():
    flat = bilinear_layer(2, 1)(torch.ones(1, 1, 5, 7))[0, 0].detach()
    # The first output takes a quarter from outside: 3/4 on an edge, 9/16 in a corner, one pixel wide at x2.
    assert (flat[0, 0], flat[0, -1], flat[-1, 0], flat[-1, -1]) == (0.5625,) * 4
    assert set(flat[0, 1:-1].tolist()) == set(flat[1:-1, -1].tolist()) == {0.75}
    assert set(flat[1:-1, 1:-1].flatten().tolist()) == {1.0}


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 8, 9])
def test_width_and_gain_of_the_dark_border(factor):
    line = bilinear_layer(factor, 1)(torch.ones(1, 1, 5, 7))[0, 0, 2 * factor].detach()
    # gain of the first output: 1/2 + 1/(2s), and for odd factors with the centre tap 1/2 + 1/s - 1/(2s); s//2 wide
    assert line[0] == pytest.approx(0.5 + 0.5 / factor, rel=rounding_error(torch.float32, 4))
    dark = (line < 1 - rounding_error(torch.float32, 4)).nonzero()[:, 0].tolist()
    last = len(line) - 1
    assert dark == [*range(factor // 2), *range(last - factor // 2 + 1, last + 1)]


@pytest.mark.parametrize("factor", [3, 5, 7])
def test_kernel_2s_padding_half_s_is_wrong_for_odd_factors(factor):
    # A common claim. It gives one sample too many: (n-1)s - 2(s//2) + 2s = ns + 1.
    layer = nn.ConvTranspose2d(1, 1, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    assert layer(torch.zeros(1, 1, 5, 7)).shape[2:] == (5 * factor + 1, 7 * factor + 1)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_convolution_with_the_same_weight_is_the_adjoint(factor):
    layer = bilinear_layer(factor, 2).double()
    small, large = noise(1, 2, 5, 7) - 0.6, noise(1, 2, 5 * factor, 7 * factor) - 0.6
    convolved = functional.conv2d(large, layer.weight, stride=factor, padding=layer.padding)
    assert convolved.shape == small.shape
    left, right = (convolved * small).sum().item(), (large * layer(small)).sum().item()
    # sums of some thousands of doubles below one, in different orders
    assert left == pytest.approx(right, abs=1e-10)
    wrong = functional.conv2d(large, layer.weight.flip(2) * 1.01, stride=factor, padding=layer.padding)
    assert (wrong * small).sum().item() != pytest.approx(right, abs=1e-10)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_channels_last_weights_and_inputs_give_the_same_result(factor, depthwise):
    # PyTorch once gave wrong results for these on the CPU: https://github.com/pytorch/pytorch/issues/99519
    layer = bilinear_layer(factor, 5, depthwise=depthwise)
    last = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    image = noise(2, 5, 17, 11, dtype=torch.float32)
    expected = layer(image).detach()
    for module in (layer, last):
        for given in (image, image.to(memory_format=torch.channels_last)):
            found = module(given).detach()
            torch.testing.assert_close(found, expected, rtol=rounding_error(torch.float32, 8), atol=0)


def test_the_layer_can_be_trained():
    layer = bilinear_layer(2, 3)
    layer(torch.ones(1, 3, 4, 5)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["bilinear", "nearest"])
@pytest.mark.parametrize("factor", [1, 2, 3, 6, 64])
def test_the_layer_of_the_engine_yields_integers_scaled_by_the_divisor(name, factor):
    kernel = kernel_named(name, factor)
    sums = cpu_layer(kernel, np.dtype(np.float32))(np.full((1, 1, 5, 7), 255, np.float32))[0, 0]
    assert sums.dtype == np.float32
    crop = kernel.halo * factor
    inside = sums[crop : 5 * factor - crop, crop : 7 * factor - crop]
    assert set(inside.flatten().tolist()) == {255 * kernel.denominator}
    assert np.array_equal(sums, sums.round())
    for device in ("cpu", "meta"):
        layer = torch_layer(
            layer_weight(kernel, np.dtype(np.float32)), **layer_settings(kernel), device=torch.device(device)
        )
        assert type(layer) is nn.ConvTranspose2d
        assert layer.weight.device.type == device
        assert not layer.weight.requires_grad
    layer = torch_layer(layer_weight(kernel, np.dtype(np.float32)), **layer_settings(kernel))
    assert np.array_equal(layer(torch.full((1, 1, 5, 7), 255.0))[0, 0].numpy(), sums)


@pytest.mark.parametrize(("dtype", "sums"), [(np.uint8, np.float32), (np.uint16, np.float64)])
@pytest.mark.parametrize("name", ["bicubic-0.75", "lanczos3", "gaussian"])
def test_integer_weights_are_exact_in_the_layer(name, dtype, sums):
    kernel, arithmetic = exact_form(kernel_named(name, 3), np.dtype(dtype))
    assert arithmetic.sum_dtype == sums or name == "bicubic-0.75"
    weight = layer_weight(kernel, arithmetic.sum_dtype)
    impulse = np.ones((1, 1, 1, 1), arithmetic.sum_dtype)
    wide = aten.operators().layer(weight, stride=3, padding=0, groups=1)(impulse)  # all integer weights, not cropped
    for found in (weight, wide, torch_layer(weight, **layer_settings(kernel)).weight.numpy()):
        assert [int(number) for number in found.flatten().tolist()] == list(kernel.weights)
    if sums == np.float64 and name != "bicubic-0.75":
        assert max(kernel.weights) > 2**24  # some would not be exact in float32


@pytest.mark.parametrize("value", ["3", 2.5, None, True, [3], np.array(3), float("nan")])
def test_settings_of_other_types_are_refused(value):
    for call in (
        lambda: bilinear_kernel(value, 1, 4),
        lambda: bilinear_kernel(1, value, 4),
        lambda: bilinear_kernel(1, 1, value),
        lambda: bilinear_layer(2, value),
        lambda: bilinear_layer(value, 3),
    ):
        with pytest.raises(UsageError):
            call()
    assert bilinear_layer(np.int64(2), np.uint8(3)).weight.shape == (3, 3, 4, 4)  # the control
