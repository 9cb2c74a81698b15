"""`tconv translate --from A --to B`: for each pair, the values of A's layer, crop and weights included."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.commands import call
from tconv.test_translate import adapted, in_onnx, keras, onnx, signal, torch_layer, transposed  # noqa: F401
from tconv.test_translate_back import restored_values

from upsample_cli.errors import UsageError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.translate import FRAMEWORKS, translate, translate_back, translate_between

PERMUTING = [name for name in FRAMEWORKS if name != "pixelshuffle"]
"""The frameworks whose weights are PyTorch's with permuted axes."""


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "translate", *arguments)


class _Torch:
    """A layer with given weights, as `adapted` takes it."""

    def __init__(self, layer, weights):
        self.weight, self.groups = torch.from_numpy(np.ascontiguousarray(weights)), layer.groups
        self.dilation = [axis.dilation for axis in layer.each_axis]


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(PERMUTING, 2)])
def test_every_pair_keeps_the_values(source, target):
    equal = []

    @settings(deadline=None, max_examples=12, derandomize=True)
    @given(transposed().filter(lambda text: "caffe" not in (source, target) or "1d" not in text))
    def check(text):
        layer, x = torch_layer(text), signal(text)
        try:
            expected = layer(x).detach().numpy()
        except RuntimeError:
            return
        first = translate(parse_layer(text), source)
        restored, second = translate_between("\n".join(first.text), source, target)
        weights = adapted(layer, first).transpose(restored.weight_order)
        assert not restored.flipped
        weights = adapted(_Torch(restored.layer, weights), second)
        final = translate_back("\n".join(second.text), target)
        got = restored_values(final, weights.transpose(final.weight_order), layer.bias, x)
        assert got.shape == expected.shape
        assert (got == expected).all()
        equal.append(text)

    check()
    assert len(equal) > 5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (2, 3), (5, 3)])
def test_a_layer_of_keras_has_the_same_values_in_onnx_runtime(keras, onnx, kernel, stride, padding):  # noqa: F811
    package, runtime = onnx
    text = f"Conv1DTranspose(4, {kernel}, strides={stride}, padding='{padding}')"
    restored, done = translate_between(text, "keras", "onnx")
    order = [restored.weight_order[axis] for axis in done.order]
    weights = np.random.default_rng(1).integers(-3, 4, (kernel, 4, 2)).astype(np.float32)
    x = signal("ConvTranspose1d").numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = eval(f"keras.layers.{text}", {"keras": keras})
        made.build((1, x.shape[2], 2))
        made.set_weights([weights, np.zeros(4, np.float32)])
        expected = np.moveaxis(keras.ops.convert_to_numpy(made(np.moveaxis(x, 1, -1))), -1, 1)
    node = eval(done.text[0].replace(", 'b'", ""), {"onnx": package})
    weights = np.pad(weights.transpose(order), [(0, 0), (0, 0), (0, done.zeros_after[0])])
    got = in_onnx(runtime, package, node, weights, None, x)
    assert got.shape == expected.shape
    assert (got == expected).all()


def test_the_command_prints_text_weights_and_what_is_left(tconv_here):
    text = "Conv2DTranspose(8, 3, strides=2, padding='same', activation='relu', name='up')"
    status, out, err = tconv_here(text, "--from", "keras", "--to", "paddle")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "paddle.nn.Conv2DTranspose(IN, 8, 3, stride=2)",
        "then cut off at the end: 1, 1",
        "note: an activation follows, which is not translated: nn.ReLU() in PyTorch",
        "note: weights: those of keras permuted by (3, 2, 0, 1); no flip",
        "note: IN is in_channels, which the text does not give",
        "note: left out, because PyTorch's layer does not take it: name",
    ]
    document = json.loads(tconv_here(text, "--from", "keras", "--to", "flax", "--json")[1])
    assert (document["from"], document["to"], document["weight_order"]) == ("keras", "flax", [0, 1, 2, 3])


def test_a_flip_of_the_kernel_is_named(tconv_here):
    text = "nn.ConvTranspose(8, (3, 3), strides=(2, 2), padding='VALID')"
    out = tconv_here(text, "--from", "flax", "--to", "keras")[1]
    assert "note: weights: those of flax permuted by (0, 1, 3, 2); then flip the kernel's axes" in out
    out = tconv_here(text, "--from", "flax")[1]
    assert "note: weights: those of flax permuted by (3, 2, 0, 1)" not in out
    assert "permuted by (2, 3, 0, 1); then flip the kernel's axes" in out


def test_the_same_framework_twice_writes_its_layer_again(tconv_here):
    out = tconv_here("Conv2DTranspose(4, 8, 3, 2)", "--from", "paddle", "--to", "paddle")[1]
    assert out.startswith("paddle.nn.Conv2DTranspose(4, 8, 3, stride=2)\n")


def test_a_size_that_the_text_needs_is_used_and_named(tconv_here):
    text = "ConvTranspose(kernel_shape=[3], strides=[2], output_shape=[10])"
    status, out, err = tconv_here(text, "--from", "onnx", "--to", "mxnet", "--size", "5")
    assert (status, err) == (0, "")
    assert "note: for an input of 5 only" in out
    assert tconv_here(text, "--from", "onnx", "--to", "mxnet")[0] == 2


def test_an_unknown_target_is_refused_before_the_text_is_read():
    with pytest.raises(UsageError, match="the framework 'caffe2' is unknown"):
        translate_between("nonsense", "keras", "caffe2")


def test_weights_that_are_not_permuted_are_described_in_two_steps(tconv_here):
    text, phases = "nn.Conv2d(16, 32, 3, padding=1), nn.PixelShuffle(2)", "note: weights: channel (2*o + r)*2 + c"
    notes = tconv_here(text, "--from", "pixelshuffle", "--to", "keras")[1].splitlines()[1:]
    assert notes[0].startswith(phases)
    assert notes[1:] == ["note: weights: PyTorch's permuted by (2, 3, 1, 0), data channels last; no flip"]
    keras_text = "Conv2DTranspose(8, 3, strides=2)"
    notes = tconv_here(keras_text, "--from", "keras", "--to", "pixelshuffle")[1].splitlines()[2:]
    assert notes[0] == "note: weights: those of keras permuted by (3, 2, 0, 1); no flip"
    assert notes[1].startswith(phases)
    assert tconv_here(text, "--from", "pixelshuffle", "--to", "pixelshuffle")[1].count(phases) == 1
