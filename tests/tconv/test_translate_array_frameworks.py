"""`tconv translate` to and from Flax and MLX: their values are PyTorch's. Without the packages, the rules of jax.lax.

The kernels are integers, so every sum is exact and equality needs no tolerance.
"""

import numpy as np
import pytest
import torch
from tconv.test_translate import adapted, compared, signal, torch_layer
from torch import nn

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.reading import CROP_LINE
from upsample_cli.tconv.translate.translate import translate, translate_back


@pytest.fixture(scope="module")
def nnx():
    return pytest.importorskip("flax.nnx", reason="Flax is not installed: pip install flax")


@pytest.fixture(scope="module")
def mlx():
    pytest.importorskip("mlx.core", reason="MLX is not installed: pip install 'mlx[cpu]'")
    import mlx.nn

    return mlx


def in_flax(nnx, code, weights, bias, x):
    layer = eval(code, {"nnx": nnx})
    assert layer.kernel[...].shape == weights.shape
    layer.kernel[...] = weights
    if bias is not None:
        layer.bias[...] = bias.detach().numpy()
    else:
        assert not layer.use_bias
    return np.moveaxis(np.asarray(layer(np.moveaxis(x.numpy(), 1, -1))), -1, 1)


def in_mlx(mlx, code, weights, bias, x):
    layer = eval(code, {"mlx": mlx})
    assert layer.weight.shape == weights.shape
    layer.weight = mlx.core.array(np.ascontiguousarray(weights))
    assert ("bias" in layer) == (bias is not None)
    if bias is not None:
        layer.bias = mlx.core.array(bias.detach().numpy())
    y = layer(mlx.core.array(np.ascontiguousarray(np.moveaxis(x.numpy(), 1, -1))))
    return np.moveaxis(np.array(y), -1, 1)


def cut(y, done):
    """The crop at the end that the last line of a translation names."""
    after = [
        int(count) for line in done.text if line.startswith(CROP_LINE) for count in line[len(CROP_LINE) :].split(",")
    ]
    return y[(..., *(slice(0, size - count) for size, count in zip(y.shape[2:], after or [0] * 3, strict=False)))]


def test_flax_gives_the_same_values(nnx):
    def check(text, layer, x):
        done = translate(parse_layer(text), "flax")
        (code,) = done.text
        return in_flax(nnx, code, adapted(layer, done), layer.bias, x)

    compared(check, most_axes=2, examples=14)


def test_mlx_gives_the_same_values(mlx):
    def check(text, layer, x):
        done = translate(parse_layer(text), "mlx")
        return cut(in_mlx(mlx, done.text[0], adapted(layer, done), layer.bias, x), done)

    compared(check, most_axes=3, examples=60)


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "dilation", "extra"), [(1, 2, 1, 0), (2, 3, 1, 2), (2, 2, 2, 1)])
def test_a_padding_larger_than_the_kernel_reaches_is_right_in_mlx(mlx, kernel, stride, dilation, extra, padding):
    """MLX' own result for it has another size than PyTorch's, hence the zeros that are appended to the kernel."""
    text = f"ConvTranspose1d(2, 4, ({kernel},), {stride}, {padding}, {extra}, dilation=({dilation},))"
    layer, x = torch_layer(text), signal(text)
    done = translate(parse_layer(text), "mlx")
    got = cut(in_mlx(mlx, done.text[0], adapted(layer, done), layer.bias, x), done)
    assert got.shape == layer(x).shape
    assert (got == layer(x).detach().numpy()).all()


def test_control_mlx_itself_gives_another_size_for_such_a_padding(mlx):
    layer, x = nn.ConvTranspose1d(2, 4, 1, stride=2, padding=1), torch.ones(1, 2, 4)
    weights = layer.weight.permute(1, 2, 0).detach().numpy()
    got = in_mlx(mlx, "mlx.nn.ConvTranspose1d(2, 4, 1, 2, 1)", weights, layer.bias, x)
    assert got.shape != layer(x).shape


FLAX_TEXTS = [
    f"({{}}4, kernel_size=({kernel},), strides={stride}{padding}, transpose_kernel={flip})"
    for kernel, stride in ((3, 2), (4, 2), (2, 3), (5, 3), (1, 2))
    for padding in ("", ", padding='VALID'", ", padding=[(1, 2)]", ", padding=((2, 1),)")
    for flip in (True, False)
]


def restored_values(restored, weights, x):
    """The values of a restored layer with the weights of the other framework, without a bias."""
    space = {"nn": nn, "x": x}
    lines = [line.replace("IN", "2").replace("OUT", "4") for line in restored.text]
    exec(lines[0], space)
    weights = weights.transpose(restored.weight_order)
    if restored.flipped:
        weights = np.flip(weights, tuple(range(2, weights.ndim)))
    space["up"].weight.data = torch.from_numpy(weights.copy())
    space["up"].bias.data = torch.zeros(4)
    exec(lines[1], space)
    return space["y"].detach().numpy()


@pytest.mark.parametrize("text", FLAX_TEXTS)
def test_layers_from_flax_have_the_same_values(nnx, text):
    code = "nnx.ConvTranspose" + text.format("2, ")[:-1] + ", rngs=nnx.Rngs(0))"
    try:
        restored = translate_back(code, "flax")
    except GeometryError:
        assert "padding=" in text  # it would pad the output at the beginning
        return
    linen = translate_back("nn.ConvTranspose" + text.format("features="), "flax")
    assert (linen.layer.out_channels, linen.crop, linen.flipped) == (4, restored.crop, restored.flipped)
    kernel = eval(code, {"nnx": nnx}).kernel[...].shape
    weights = np.random.default_rng(5).integers(-3, 4, kernel).astype(np.float32)
    x = signal("ConvTranspose1d")
    expected = in_flax(nnx, code, weights, torch.zeros(4), x)
    got = restored_values(restored, weights, x)
    assert got.shape == expected.shape
    assert (got == expected).all()


def test_linen_gives_the_values_of_nnx_for_the_same_settings(nnx):
    import jax
    from flax import linen

    x = np.moveaxis(signal("ConvTranspose1d").numpy(), 1, -1)
    layer = linen.ConvTranspose(4, (3,), (2,), [(1, 2)], transpose_kernel=True)
    state = layer.init(jax.random.key(0), x)
    restored = translate_back("nn.ConvTranspose(4, (3,), (2,), [(1, 2)], transpose_kernel=True)", "flax")
    weights = np.asarray(state["params"]["kernel"])
    expected = np.moveaxis(np.asarray(layer.apply(state, x)), -1, 1)
    np.testing.assert_allclose(restored_values(restored, weights, signal("ConvTranspose1d")), expected, atol=1e-4)


def test_the_padding_of_flax_follows_the_rules_of_jax():
    """Without Flax: jax.lax.conv_transpose pads the input with zeros between its samples, and does not flip."""

    def check(text, layer, x):
        done = translate(parse_layer(text), "flax")
        axis = done.axes[0]
        weights = torch.from_numpy(np.ascontiguousarray(np.flip(adapted(layer, done), 0))).permute(1, 2, 0)
        spread = torch.zeros(1, 2, (x.shape[2] - 1) * axis.stride + 1)
        spread[..., :: axis.stride] = x
        pads = eval(done.text[0].split("padding=")[1].split(", transpose")[0])
        padded = nn.functional.pad(spread, pads[0])
        return nn.functional.conv1d(padded, weights, layer.bias, dilation=axis.dilation).detach().numpy()

    compared(check, most_axes=1, examples=60)


@pytest.mark.parametrize(
    ("framework", "text", "message"),
    [
        ("flax", "nn.ConvTranspose(8, (3, 3), padding='CIRCULAR')", "padding 'CIRCULAR' is not translated"),
        ("flax", "nn.ConvTranspose(8, (3, 3), padding=[(1, 1)])", "does not fit 2 axes"),
        ("flax", "nn.ConvTranspose(8, (3, 3), padding=[(9, 1), (1, 1)])", "pads the output at the beginning"),
        ("flax", "nn.ConvTranspose(8, (3, 3), mask=m)", "no parameter mask"),
        ("flax", "nn.ConvTranspose(8, (3, 3), feature_group_count=2)", "no parameter feature_group_count"),
        ("flax", "nn.ConvTranspose(8, 'x')", "kernel_size must have one number"),
        ("flax", "nn.ConvTranspose(8, (3, 3), use_bias='no')", "use_bias 'no'"),
        ("flax", "nn.Conv(8, (3, 3))", "the layer Conv is unknown"),
        ("mlx", "nn.ConvTranspose2d(2, 8, 3, groups=2)", "no parameter groups"),
        ("mlx", "nn.ConvTranspose2d(2, 8, 3, padding=3)", "padding is larger than dilation*(kernel_size-1)"),
        ("mlx", "nn.Conv2d(2, 8, 3)", "the layer Conv2d is unknown"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(framework, text, message):
    with pytest.raises((UsageError, GeometryError)) as refused:
        translate_back(text, framework)
    assert message in str(refused.value)
