"""A transposed convolution and a convolution with PixelShuffle have the same values in torch, settings and weights.

The kernels are integers, so every sum is exact and equality needs no tolerance.
"""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.commands import call
from torch import nn

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.pixel_shuffle import pixel_shuffle_layers
from upsample_cli.tconv.translate.pixel_shuffle_weights import shuffled_weights, unshuffled_weights
from upsample_cli.tconv.translate.translate import translate, translate_back, translate_between


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "translate", *arguments)


def integers(layer, seed=7):
    generator = torch.Generator().manual_seed(seed)
    for values in layer.parameters():
        values.data = torch.randint(-3, 4, values.shape, generator=generator).float()
    return layer


def run(lines, parameters, x):
    """The values of translated lines with these parameters, in their order in the module."""
    space = {"nn": nn, "x": x}
    exec(lines[0].replace("IN", "4"), space)
    for own, values in zip(space["up"].parameters(), parameters, strict=True):
        assert own.shape == values.shape
        own.data = torch.from_numpy(np.ascontiguousarray(values)).float()
    exec(lines[1], space)
    return space["y"].detach()


def arrays(layer):
    bias = None if layer.bias is None else layer.bias.detach().double().numpy()
    return layer.weight.detach().double().numpy(), bias


def pair(draw, least, most):
    return draw(st.tuples(st.integers(least, most), st.integers(least, most)))


@st.composite
def layers(draw):
    stride = draw(st.integers(1, 4))
    kernel, dilation = pair(draw, 1, 6), pair(draw, 1, 2)
    padding, extra = pair(draw, 0, 5), pair(draw, 0, stride - 1)
    words = f"groups={draw(st.sampled_from([1, 2]))}, bias={draw(st.booleans())}"
    return f"ConvTranspose2d(4, 6, {kernel}, {stride}, {padding}, {extra}, dilation={dilation}, {words})"


@settings(deadline=None, max_examples=150, derandomize=True)
@given(layers(), st.integers(3, 6))
def test_a_transposed_convolution_becomes_a_convolution_and_pixel_shuffle(text, size):
    layer, x = integers(eval(f"nn.{text}")), torch.randint(-9, 10, (1, 4, size, size + 1)).float()
    try:
        expected = layer(x).detach()
    except RuntimeError:  # no output is left
        return
    done = translate(parse_layer(text), "pixelshuffle")
    weights = [array for array in shuffled_weights(*arrays(layer), parse_layer(text)) if array is not None]
    got = run(done.text, weights, x)
    assert got.shape == expected.shape
    assert torch.equal(got, expected)
    # And back: the restored layer has the converted weights' values.
    restored = translate_back("\n".join(done.text), "pixelshuffle")
    conv, factor = pixel_shuffle_layers(done.text[0])
    weight, bias = unshuffled_weights(weights[0], weights[1] if len(weights) > 1 else None, conv, factor)
    again = run(restored.text, [array for array in (weight, bias) if array is not None], x)
    assert torch.equal(again, expected)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data())
def test_a_convolution_and_pixel_shuffle_become_a_transposed_convolution(data):
    factor, groups = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 2]))
    kernel, dilation = pair(data.draw, 1, 4), pair(data.draw, 1, 2)
    reach = [step * (taps - 1) for step, taps in zip(dilation, kernel, strict=True)]
    padding = tuple(data.draw(st.integers(0, most)) for most in reach)
    bias = data.draw(st.booleans())
    code = (
        f"nn.Sequential(nn.Conv2d(4, {6 * factor**2}, {kernel}, padding={padding}, dilation={dilation}, "
        f"groups={groups}, bias={bias}), nn.PixelShuffle({factor}))"
    )
    both, x = integers(eval(code)), torch.randint(-9, 10, (1, 4, 8, 7)).float()
    if bias:
        both[0].bias.data = both[0].bias.data[:: factor**2].repeat_interleave(factor**2)
    expected = both(x).detach()
    restored = translate_back(code, "pixelshuffle")
    conv, read_factor = pixel_shuffle_layers(code)
    weights = unshuffled_weights(*arrays(both[0]), conv, read_factor)
    got = run(restored.text, [array for array in weights if array is not None], x)
    assert got.shape == expected.shape
    assert torch.equal(got, expected)


def test_kernel_size_equal_to_stride_is_a_reshaping_of_a_1x1_convolution():
    done = translate(parse_layer("ConvTranspose2d(16, 8, 2, stride=2)"), "pixelshuffle")
    assert done.text == ("up = nn.Sequential(nn.Conv2d(16, 32, kernel_size=1), nn.PixelShuffle(2))", "y = up(x)")


def test_control_kernels_that_are_not_reversed_are_detected():
    text = "ConvTranspose2d(4, 6, 4, 2, 1)"
    layer, x = integers(eval(f"nn.{text}")), torch.randint(-9, 10, (1, 4, 5, 6)).float()
    weight, bias = shuffled_weights(*arrays(layer), parse_layer(text))
    lines = translate(parse_layer(text), "pixelshuffle").text
    assert torch.equal(run(lines, [weight, bias], x), layer(x))
    assert not torch.equal(run(lines, [weight[..., ::-1], bias], x), layer(x))


@pytest.mark.parametrize(
    "text",
    [
        "ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)",
        "ConvTranspose2d(4, 6, 2, 2)",  # without a copy, reversed axes: safetensors would write its memory as it is
        "ConvTranspose2d(4, 6, 3)",
        "ConvTranspose2d(4, 6, (1, 2), 2)",
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_of_weights_is_converted_and_converted_back(suffix, text, tconv_here, tmp_path):
    model = nn.ModuleDict({"up": eval(f"nn.{text}"), "other": nn.Conv2d(3, 3, 3)})
    save, load = (save_file, load_file) if suffix == "safetensors" else (torch.save, torch.load)
    first, second, third = (tmp_path / f"{name}.{suffix}" for name in "abc")
    save(model.state_dict(), first)
    x = torch.rand(1, 4, 5, 6)
    status, out, err = tconv_here(text, "--to", "pixelshuffle", "--weights", f"{first}:up.weight", "-o", second)
    assert (status, err) == (0, "")
    assert out.endswith(f"written: {second}\n")
    state = load(second)
    assert state.keys() == model.state_dict().keys()
    assert torch.equal(state["other.weight"], model["other"].weight)
    got = run(out.splitlines(), [state["up.weight"].numpy(), state["up.bias"].numpy()], x)
    torch.testing.assert_close(got, model["up"](x).detach())
    shuffled = "\n".join(out.splitlines()[:2])
    arguments = ("--from", "pixelshuffle", "--weights", f"{second}:up.weight", "-o", third, "--json")
    status, out, err = tconv_here(shuffled, *arguments)
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["written"] == [str(third)]
    state = load(third)
    got = run(document["text"], [state["up.weight"].numpy(), state["up.bias"].numpy()], x)
    torch.testing.assert_close(got, model["up"](x).detach())
    status, _, err = tconv_here(shuffled, *arguments)
    assert (status, err.count("\n")) == (1, 1)
    assert "exists already" in err


def test_metadata_are_kept_except_those_of_the_layer_that_is_replaced(tconv_here, tmp_path):
    given, output = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    layer = "ConvTranspose2d(1, 1, 4, 2, 1, bias=False)"
    own = {"layer": layer, "upsample-cli": '{"factor": 2}'}  # as `tconv kernel` and `tconv fit` write them
    save_file({"weight": torch.rand(1, 1, 4, 4)}, given, metadata={"author": "me", "format": "pt", **own})
    assert tconv_here(layer, "--to", "pixelshuffle", "--weights", given, "-o", output)[0] == 0
    with safe_open(output, "pt") as written:
        assert written.metadata() == {"author": "me", "format": "pt"}
        assert written.get_tensor("weight").shape == (4, 1, 2, 2)


def test_one_array_is_converted(tconv_here, tmp_path):
    weight = np.arange(4 * 6 * 9, dtype=np.float32).reshape(4, 6, 3, 3)
    np.save(tmp_path / "a.npy", weight)
    text = "ConvTranspose2d(4, 6, 3, stride=3, bias=False)"
    assert tconv_here(text, "--to", "pixelshuffle", "--weights", tmp_path / "a.npy", "-o", tmp_path / "b.npy")[0] == 0
    got = np.load(tmp_path / "b.npy")
    assert got.dtype == np.float32
    assert (got == weight.transpose(1, 2, 3, 0).reshape(54, 4, 1, 1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ConvTranspose1d(4, 6, 3, stride=2)", "PixelShuffle has 2 axes, ConvTranspose1d has 1"),
        ("ConvTranspose2d(4, 6, 3, stride=(2, 1))", "PixelShuffle enlarges both axes by one factor"),
    ],
)
def test_what_pixel_shuffle_cannot_do_is_one_line(text, message, tconv_here):
    status, out, err = tconv_here(text, "--to", "pixelshuffle")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nn.Conv2d(4, 8, 3)", "this is not a Conv2d followed by a PixelShuffle"),
        ("nn.Conv2d(4, 8, 3), nn.ReLU(), nn.PixelShuffle(2)", "this is not a Conv2d followed by a PixelShuffle"),
        ("nn.Conv2d(4, 8, 3, stride=2), nn.PixelShuffle(2)", "no transposed convolution is equivalent to"),
        ("nn.Conv2d(4, 8, 3, padding=1, padding_mode='reflect'), nn.PixelShuffle(2)", "no transposed convolution is"),
        ("nn.Conv2d(4, 8, 1, padding=1), nn.PixelShuffle(2)", "the convolution pads more than its kernel reaches"),
        ("nn.Conv2d(4, 8, 2, padding='same'), nn.PixelShuffle(2)", "the convolution pads the two ends differently"),
        ("nn.Conv2d(4, 8, 3, groups=4), nn.PixelShuffle(2)", "8 channels are not 4 for each output of each of 4"),
        ("nn.Conv2d(4, 9, 3), nn.PixelShuffle(2)", "9 channels are not 4"),
    ],
)
def test_what_no_transposed_convolution_does_is_one_line(text, message, tconv_here):
    status, out, err = tconv_here(text, "--from", "pixelshuffle")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_weights_that_do_not_fit_are_refused_and_nothing_is_written(tconv_here, tmp_path):
    given, output = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    conv = nn.Conv2d(4, 24, 3)
    save_file(conv.state_dict(), given)
    files, back = ("--weights", given, "-o", output), "nn.Conv2d(4, 24, {}), nn.PixelShuffle(2)"
    for arguments, message in [
        ((back.format("3"), "--from", "pixelshuffle", *files), "the biases of the phases of an output channel differ"),
        ((back.format("2"), "--from", "pixelshuffle", *files), "the file (24, 4, 3, 3) with a bias"),
        ((back.format("3, bias=False"), "--from", "pixelshuffle", *files), "without a bias, the file"),
        (("ConvTranspose2d(24, 4, 2, 2)", "--to", "pixelshuffle", *files), "another kernel_size than the weights"),
        (("ConvTranspose2d(4, 4, 3, 2)", "--to", "pixelshuffle", *files), "the weights have the shape (24, 4, 3, 3)"),
        (("ConvTranspose2d(24, 4, 3, 2)", "--to", "keras", *files), "between PyTorch and pixelshuffle only"),
        (("ConvTranspose2d(24, 4, 3, 2)", "--to", "pixelshuffle", "-o", output), "--weights and --output belong"),
    ]:
        status, out, err = tconv_here(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), arguments
        assert message in err
    assert list(tmp_path.iterdir()) == [given]


def test_other_frameworks_reach_pixel_shuffle_with_their_crop():
    _, done = translate_between("Conv2DTranspose(8, 3, strides=2, padding='same')", "keras", "pixelshuffle")
    assert done.text == (
        "up = nn.Sequential(nn.Conv2d(IN, 32, kernel_size=2, padding=1), nn.PixelShuffle(2))",
        "y = up(x)[:, :, :-2, :-2]",
    )


@pytest.mark.parametrize("text", ["(" * 900, "nn.Conv2d(4, 8, 3), nn.PixelShuffle(10**9)", "y = up(x)[:, :, 9:-9, 9:]"])
def test_hostile_texts_are_refused(text):
    with pytest.raises((UsageError, GeometryError)):
        translate_back(text, "pixelshuffle")


def test_a_stride_cannot_make_a_small_file_a_large_one(tconv_here, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 1, 1, 1), np.float32))
    files = ("--weights", tmp_path / "a.npy", "-o", tmp_path / "b.npy")
    status, out, err = tconv_here("ConvTranspose2d(1, 1, 1, 1000000)", "--to", "pixelshuffle", *files)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the new weight would have 1000000000000 numbers" in err
    text = "nn.Conv2d(1, 4, 2, dilation=1000000, padding=0), nn.PixelShuffle(2)"
    np.save(tmp_path / "a.npy", np.ones((4, 1, 2, 2), np.float32))
    status, out, err = tconv_here(text, "--from", "pixelshuffle", *files)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "b.npy").exists()
