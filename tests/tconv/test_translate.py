"""Translations give PyTorch's values: in Keras and ONNX Runtime if installed, otherwise by the frameworks' rules.

Kernels are integers, so every sum is exact and equality needs no tolerance.
"""

import contextlib
import json
import os
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch import nn

from upsample_cli.errors import UpsampleError, UsageError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.translate import FRAMEWORKS, translate, translate_back

SPACE = {"nn": nn, "np": np}


@st.composite
def transposed(draw, most_axes=2):
    """The text of a valid layer with all settings, including asymmetric ones."""
    axes = draw(st.integers(1, most_axes))
    each = lambda least, most: draw(st.lists(st.integers(least, most), min_size=axes, max_size=axes).map(tuple))  # noqa: E731
    stride, dilation, kernel = each(1, 3), each(1, 2), each(1, 5)
    padding = tuple(draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups, bias = draw(st.sampled_from([1, 1, 2])), draw(st.booleans())
    return (
        f"ConvTranspose{axes}d(2, 4, {kernel}, stride={stride}, padding={padding}, output_padding={extra}, "
        f"dilation={dilation}, groups={groups}, bias={bias})"
    )


def torch_layer(text, seed=7):
    layer, generator = eval(f"nn.{text}", SPACE), torch.Generator().manual_seed(seed)
    for weights in layer.parameters():
        weights.data = torch.randint(-3, 4, weights.shape, generator=generator).float()
    return layer


def signal(text, size=4):
    axes = int(text.split("ConvTranspose")[1][0])
    shape = (1, 2, *(size + axis for axis in range(axes)))
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(3)).float()


def adapted(layer, done):
    """PyTorch's weights as the translation says: groups and dilation expanded, zeros appended, axes permuted."""
    weights = layer.weight.detach().numpy()
    if done.dense:
        inputs, outputs = weights.shape[0], weights.shape[1] * layer.groups
        dense = np.zeros((inputs, outputs, *weights.shape[2:]), np.float32)
        for one in range(inputs):
            group = one * layer.groups // inputs
            dense[one, group * weights.shape[1] : (group + 1) * weights.shape[1]] = weights[one]
        weights = dense
    for axis in range(len(done.axes)):
        if done.spread:
            step, taps = layer.dilation[axis], weights.shape[axis + 2]
            weights = np.insert(weights, np.repeat(np.arange(1, taps), step - 1), 0, axis + 2)
        weights = np.concatenate([weights, np.zeros_like(weights).take(range(0), axis + 2)], axis + 2)
        pad = [(0, 0)] * weights.ndim
        pad[axis + 2] = (0, done.zeros_after[axis])
        weights = np.pad(weights, pad)
    return weights.transpose(done.order)


def compared(check, most_axes=2, examples=60):
    seen = Counter()

    @settings(deadline=None, max_examples=examples, derandomize=True)
    @given(transposed(most_axes))
    def compare(text):
        layer, x = torch_layer(text), signal(text)
        try:
            expected = layer(x).detach().numpy()
        except RuntimeError:
            seen["refused"] += 1
            return
        got = check(text, layer, x)
        assert got.shape == expected.shape, text
        assert (got == expected).all(), text
        seen["equal"] += 1

    compare()
    assert seen["equal"] > examples // 2


@pytest.fixture(scope="module")
def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras", reason="Keras is not installed: pip install upsample-cli[frameworks]")


def in_keras(keras, text, layer, x, wrong=False):
    done = translate(parse_layer(text), "keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = np.moveaxis(x.numpy(), 1, -1)
        for number, line in enumerate(done.text):
            made = eval(line, {"keras": keras})
            if number == 0:
                made.build(y.shape)
                made.set_weights(
                    [adapted(layer, done), *(bias.detach().numpy() for bias in [layer.bias] if bias is not None)]
                )
            elif wrong:
                made = eval(line.replace("((1, 0)", "((0, 1)").replace("((1, 0))", "((0, 1))"), {"keras": keras})
            y = keras.ops.convert_to_numpy(made(y))
    return np.moveaxis(y, -1, 1)


def test_keras_gives_the_same_values(keras):
    compared(lambda *case: in_keras(keras, *case))


@pytest.mark.parametrize(("kernel", "extra"), [(2, 1), (2, 2), (1, 2), (1, 0), (3, 2)])
def test_output_padding_that_keras_lacks_is_added_as_zeros(keras, kernel, extra):
    text = f"ConvTranspose1d(2, 4, ({kernel},), stride=(3,), output_padding=({extra},), dilation=(1,))"
    layer, x = torch_layer(text), signal(text)
    assert (in_keras(keras, text, layer, x) == layer(x).detach().numpy()).all()


def test_control_a_crop_one_pixel_off_has_the_right_shape_and_is_detected(keras):
    """A converter once had this bug: a crop at the wrong end gives the right shape and shifted pixels."""
    text = "ConvTranspose1d(2, 4, 3, stride=2, padding=1, output_padding=1)"
    layer, x = torch_layer(text), signal(text)
    assert "Cropping1D((1, 0))" in translate(parse_layer(text), "keras").text[1]
    layer.dilation = (1,)
    right, wrong = in_keras(keras, text, layer, x), in_keras(keras, text, layer, x, wrong=True)
    expected = layer(x).detach().numpy()
    assert right.shape == wrong.shape == expected.shape
    assert (right == expected).all()
    assert (wrong != expected).any()


@pytest.mark.parametrize("more", ["", ", output_padding=0", ", output_padding=1"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (2, 3), (5, 3), (5, 2), (3, 3), (1, 2), (4, 3)])
def test_layers_from_keras_have_the_same_values(keras, kernel, stride, padding, more):
    text = f"Conv1DTranspose(4, {kernel}, strides={stride}, padding='{padding}'{more})"
    restored = translate_back(text, "keras")
    lines = [line.replace("IN", "2") for line in restored.text]
    space = {"nn": nn, "x": signal("ConvTranspose1d")}
    exec(lines[0], space)
    layer = space["up"]
    for weights in layer.parameters():
        weights.data = torch.randint(-3, 4, weights.shape, generator=torch.Generator().manual_seed(5)).float()
    exec(lines[1], space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = eval(f"keras.layers.{text}", {"keras": keras})
        y = np.moveaxis(space["x"].numpy(), 1, -1)
        made.build(y.shape)
        made.set_weights([layer.weight.detach().numpy().transpose(2, 1, 0), layer.bias.detach().numpy()])
        expected = np.moveaxis(keras.ops.convert_to_numpy(made(y)), -1, 1)
    got = space["y"].detach().numpy()
    assert got.shape == expected.shape
    assert (got == expected).all()


def in_onnx(runtime, onnx, node, weights, bias, x):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [onnx.numpy_helper.from_array(weights, "w")]
    tensors += [] if bias is None else [onnx.numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", kind, [None] * x.ndim)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.fixture(scope="module")
def onnx():
    reason = "ONNX or ONNX Runtime is not installed: pip install upsample-cli[frameworks]"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("onnx", reason=reason)
        return package, pytest.importorskip("onnxruntime", reason=reason)


def test_onnx_runtime_gives_the_same_values(onnx):
    package, runtime = onnx

    def check(text, layer, x):
        done = translate(parse_layer(text), "onnx")
        node = eval(done.text[0], {"onnx": package})
        bias = None if layer.bias is None else layer.bias.detach().numpy()
        return in_onnx(runtime, package, node, adapted(layer, done), bias, x.numpy())

    compared(check, most_axes=3)


@pytest.mark.parametrize(
    "words",
    [
        "pads=[0, 1]",
        "pads=[1, 0]",
        "pads=[1, 1], output_padding=[1]",
        "pads=[0, 2], output_padding=[1]",
        "auto_pad='SAME_UPPER'",
        "auto_pad='SAME_LOWER'",
        "auto_pad='VALID'",
    ],
)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_layers_from_onnx_have_the_same_values(onnx, kernel, words):
    package, runtime = onnx
    restored = translate_back(f"ConvTranspose(kernel_shape=[{kernel}], strides=[2], {words})", "onnx")
    weights = torch.randint(-3, 4, (2, 4, kernel), generator=torch.Generator().manual_seed(5)).float()
    space = {"nn": nn, "x": signal("ConvTranspose1d")}
    exec(restored.text[0].replace("IN", "2").replace("OUT", "4"), space)
    space["up"].weight.data, space["up"].bias.data = weights, torch.zeros(4)
    exec(restored.text[1], space)
    node = eval(
        f"onnx.helper.make_node('ConvTranspose', ['x', 'w'], ['y'], kernel_shape=[{kernel}], strides=[2], {words})",
        {"onnx": package},
    )
    expected = in_onnx(runtime, package, node, weights.numpy(), None, space["x"].numpy())
    got = space["y"].detach().numpy()
    assert got.shape == expected.shape
    assert (got == expected).all()


def test_translations_to_caffe_paddle_and_mxnet_follow_their_formulas():
    """These frameworks are not installed; torch runs their documented formulas, without output_padding in Caffe."""

    def check(framework):
        def run(text, layer, x):
            done = translate(parse_layer(text), framework)
            extra = [0 if framework == "caffe" else max(0, axis.before - axis.after) for axis in done.axes]
            if framework == "mxnet":
                assert all(count < axis.stride for count, axis in zip(extra, done.axes, strict=True))
            y = getattr(nn.functional, f"conv_transpose{len(done.axes)}d")(
                x,
                torch.from_numpy(adapted(layer, done)),
                layer.bias,
                [axis.stride for axis in done.axes],
                [axis.before for axis in done.axes],
                extra,
                layer.groups,
                [axis.dilation for axis in done.axes],
            )
            cuts = tuple(slice(0, size - after) for size, (_, after) in zip(y.shape[2:], done.crop, strict=True))
            return y[(..., *cuts)].detach().numpy()

        return run

    for framework in ("caffe", "paddle", "mxnet"):
        compared(check(framework), most_axes=3, examples=40)


def test_bilinear_in_caffe_follows_caffes_rule():
    """kernel_size 2f - f%2, stride f, pad ceil((f-1)/2), group C."""
    lines = translate(parse_layer("ConvTranspose2d(21, 21, 5, 3, 1, groups=21, bias=False)"), "caffe").text
    assert "num_output: 21 group: 21 bias_term: false kernel_size: 5 stride: 3 pad: 1" in lines[1]


@pytest.mark.parametrize("framework", ["caffe", "paddle", "mxnet", "onnx"])
def test_translating_back_gives_the_same_layer(framework):
    text = "ConvTranspose2d(4, 6, kernel_size=(3, 5), stride=(2, 3), padding=(1, 2), groups=2)"
    done = translate(parse_layer(text), framework)
    restored = translate_back("\n".join(done.text), framework)
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation", "groups")
    assert [getattr(restored.layer, name) for name in names] == [getattr(parse_layer(text), name) for name in names]
    assert restored.crop == (0, 0)


def call_translate(capsys, monkeypatch, *arguments):
    return call(capsys, monkeypatch, "translate", *arguments)


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "pixelshuffle"])
def test_the_command_prints_the_result_of_the_function(framework, capsys, monkeypatch):
    text = "ConvTranspose1d(16, 8, 3, stride=2, padding=1, output_padding=1)"
    status, out, err = call_translate(capsys, monkeypatch, text, "--to", framework)
    done = translate(parse_layer(text), framework)
    assert (status, err) == (0, "")
    assert out.splitlines() == [*done.text, *(f"note: {note}" for note in done.notes)]
    document = json.loads(call_translate(capsys, monkeypatch, text, "--to", framework, "--json")[1])
    assert document["text"] == list(done.text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Conv2d(1, 1, 3)", "--to", "keras"), "Conv2d is not a transposed convolution"),
        (("ConvTranspose2d(1, 1, 3)", "--to", "tinygrad"), "the framework 'tinygrad' is unknown; use one of keras"),
        (("ConvTranspose2d(1, 1, 3)",), "one of --to and --from must be given"),
        (("ConvTranspose2d(1, 1, 3, 2, 1, 2)", "--to", "onnx"), "output_padding 2 must be smaller than stride 2"),
        (("os.system('true')", "--from", "keras"), "the layer system is unknown; known are Conv1DTranspose"),
        (("Conv2DTranspose(8, exit())", "--from", "keras"), "this is not a layer of that framework"),
        (("Conv2DTranspose(8, 3, padding='full')", "--from", "keras"), "padding 'full' is unknown"),
        (("Conv2DTranspose(8)", "--from", "paddle"), "kernel_size is missing"),
        (("Conv2DTranspose(8, 3.5)", "--from", "keras"), "kernel_size 3.5 is not a whole number"),
        (("Conv2DTranspose(8, 'x')", "--from", "keras"), "a setting is a word"),
        (('ConvTranspose(kernel_shape=[3], output_padding="x")', "--from", "onnx"), "a setting is a word where"),
        (("nonsense", "--from", "onnx"), "this is not a ConvTranspose of ONNX"),
        (("nonsense", "--from", "caffe"), "kernel_size is missing"),
        (("(" * 5000, "--from", "keras"), "the text has 5000 characters"),
    ],
)
def test_layers_that_cannot_be_translated_exit_with_2_and_one_line(arguments, message, capsys, monkeypatch):
    status, out, err = call_translate(capsys, monkeypatch, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_refusals_share_the_base_class_of_errors():
    with pytest.raises(UpsampleError):
        translate_back("Conv2DTranspose(8, 0)", "keras")


@pytest.mark.parametrize(
    ("text", "framework"),
    [(r"Conv2DTranspose(8, 3, padding='\d')", "keras"), (r"ConvTranspose(kernel_shape=[3], auto_pad='\d')", "onnx")],
)
def test_a_text_is_parsed_without_pythons_warnings_about_its_style(text, framework):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.suppress(UsageError):
            translate_back(text, framework)
        assert not caught
        compile(text, "text", "eval")
        assert len(caught) == 1  # the control: Python itself warns about this text
