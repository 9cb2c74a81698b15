"""`tconv translate --from`: every parameter is used or refused by name, and the output of `--to` is read back.

torch is the oracle: the restored layer, with the weights of the other framework, gives that framework's values. If
Keras and ONNX Runtime are installed, they are compared too.
"""

import contextlib
import json
import re
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from tconv.test_translate import adapted, in_onnx, keras, onnx, signal, torch_layer, transposed  # noqa: F401
from torch import nn
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import GeometryError, UpsampleError, UsageError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.translate import FRAMEWORKS, translate, translate_back

KERAS, PADDLE, MXNET = "Conv2DTranspose(8, 3{})", "Conv2DTranspose(2, 8, 3{})", "Conv2DTranspose(8, 3{})"
ONNX, MAKE = "ConvTranspose(kernel_shape=[3, 3]{})", "make_node('ConvTranspose', ['x', 'w'], ['y'], kernel_shape=[3]{})"
CAFFE = 'layer {{ type: "Deconvolution" convolution_param {{ kernel_size: 3 {} }} }}'
TF = "y = tf.nn.conv1d_transpose(x, w, (1, (x.shape[1] - 1)*2 + 3, 8){})"


def restored_values(restored, weights, bias, x):
    """The values of a restored layer."""
    space = {"nn": nn, "x": x}
    lines = [line.replace("IN", str(x.shape[1])).replace("OUT", str(weights.shape[1])) for line in restored.text]
    exec(lines[0], space)
    layer = space["up"]
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(weights))
    if layer.bias is not None:
        layer.bias.data = torch.zeros_like(layer.bias) if bias is None else bias
    else:
        assert bias is None
    for line in lines[1:]:
        exec(line, space)
    return space["y"].detach().numpy()


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "pixelshuffle"])
def test_a_translation_is_read_back_with_the_same_values(framework):
    equal = []

    @settings(deadline=None, max_examples=60, derandomize=True)
    # Its text does not state the number of axes.
    @given(transposed(3).filter(lambda text: framework != "caffe" or "1d" not in text))
    def check(text):
        layer, x = torch_layer(text), signal(text)
        try:
            expected = layer(x).detach().numpy()
        except RuntimeError:
            return
        done = translate(parse_layer(text), framework)
        restored = translate_back("\n".join(done.text), framework)
        weights = adapted(layer, done).transpose(np.argsort(done.order))
        assert restored.layer.bias == (layer.bias is not None)
        got = restored_values(restored, weights, layer.bias, x)
        assert got.shape == expected.shape
        assert (got == expected).all()
        equal.append(text)

    check()
    assert len(equal) > 30


@pytest.mark.parametrize(
    ("framework", "text", "name"),
    [
        ("keras", KERAS.format(", stride=2"), "stride"),
        ("keras", KERAS.format(", bogus=3"), "bogus"),
        ("keras", KERAS.format(", groups=2"), "groups"),
        ("keras", KERAS.format(", output_shape=(1, 9, 9, 8)"), "output_shape"),
        ("keras", KERAS.format(") + (1"), "not a layer"),
        ("keras", KERAS.format(", strides=2, strides=3"), "strides is given twice"),
        ("keras", KERAS.format(", filters=9"), "filters is given twice"),
        ("keras", KERAS.format(", activation='crelu'"), "activation 'crelu'"),
        ("keras", KERAS.format(", activation=keras.layers.LeakyReLU(0.1)"), "activation is neither"),
        ("keras", KERAS.format(", data_format='NHWC'"), "data_format 'NHWC'"),
        ("keras", KERAS.format(", use_bias='no'"), "use_bias 'no'"),
        ("keras", KERAS.format(", **more"), "**"),
        ("keras", KERAS.format("") + "\nReLU()", "ReLU follows the layer"),
        ("keras", KERAS.format("") + "\nCropping2D(-1)", "cropping -1"),
        ("keras", KERAS.format("") + "\nCropping2D(1, bogus=2)", "bogus"),
        ("tensorflow", KERAS.format(", bogus=3"), "bogus"),
        ("tensorflow", TF.format(", strides=2, bogus=3"), "bogus"),
        ("tensorflow", TF.format(", strides=2, padding='FULL'"), "padding 'FULL'"),
        ("tensorflow", TF.format(", strides=2, padding='VALID'") + "\ny = y*2", "does not end"),
        ("tensorflow", "z = 3\n" + TF.format(", strides=2, padding='VALID'"), "z is not an argument"),
        ("tensorflow", TF.format(", strides=3, padding='VALID'"), "grows by 2"),
        ("tensorflow", TF.format(", strides=2, padding='VALID'") + "\ny = tf.nn.relu(y)\ny = y + b", "added after"),
        ("onnx", ONNX.format(", bogus=3"), "bogus"),
        ("onnx", ONNX.format(", stride=2"), "stride"),
        ("onnx", ONNX.format(", auto_pad='SAME'"), "auto_pad 'SAME'"),
        ("onnx", ONNX.format(", auto_pad='VALID', pads=[1, 1, 1, 1]"), "auto_pad VALID and pads"),
        ("onnx", MAKE.format(", bogus=3"), "bogus"),
        ("onnx", MAKE.format("").replace("ConvTranspose", "Conv"), "'Conv'"),
        ("onnx", MAKE.format("").replace("['x', 'w']", "['x']"), "1 inputs"),
        ("caffe", CAFFE.format("bogus: 3"), "bogus"),
        ("caffe", CAFFE.format("strides: 2"), "strides"),
        ("caffe", CAFFE.format("filler { type: 3 }"), "filler"),
        ("caffe", CAFFE.format("group: 2 group: 3"), "group is given twice"),
        ("caffe", CAFFE.format("bias_term: no"), "bias_term 'no'"),
        ("caffe", CAFFE.format("axis: 2"), "axis"),
        ("caffe", CAFFE.format("").replace("Deconvolution", "Convolution"), "type 'Convolution'"),
        ("caffe", CAFFE.format("kernel_h: 3"), "kernel_h"),
        ("caffe", CAFFE.format("} }"), "closes nothing"),
        ("caffe", CAFFE.format("{ {"), "not a prototxt"),
        ("caffe", "convolution_param { kernel_size: 3 } convolution_param { kernel_size: 3 }", "param is given twice"),
        ("paddle", PADDLE.format(", strides=2"), "strides"),
        ("paddle", PADDLE.format(", bogus=3"), "bogus"),
        ("paddle", PADDLE.format(", padding='SAME'"), "padding 'SAME'"),
        ("paddle", PADDLE.format(", data_format='NHCW'"), "data_format 'NHCW'"),
        ("paddle", PADDLE.format(", output_size=9"), "output_size"),
        ("paddle", PADDLE.format(", 1, 0, 0, 1, 1, None, None, 'NCHW', 5"), "12 values"),
        ("mxnet", MXNET.format(", stride=2"), "stride"),
        ("mxnet", MXNET.format(", bogus=3"), "bogus"),
        ("mxnet", MXNET.format(", activation='swosh'"), "activation 'swosh'"),
        ("mxnet", MXNET.format(", layout='NHCW'"), "layout 'NHCW'"),
        ("mxnet", MXNET.format(", padding=None"), "padding"),
        ("paddle", PADDLE.format(", padding=None"), "padding"),
    ],
)
def test_unknown_settings_are_refused_by_name(framework, text, name):
    with pytest.raises(UsageError) as refused:
        translate_back(text, framework)
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("framework", "text", "left_out"),
    [
        (
            "keras",
            KERAS.format(", kernel_initializer=keras.initializers.Zeros(), name='up'"),
            "kernel_initializer, name",
        ),
        ("mxnet", MXNET.format(", bias_initializer='ones'"), "bias_initializer"),
        ("paddle", PADDLE.format(", weight_attr=paddle.ParamAttr(name='w'), bias_attr=a()"), "weight_attr, bias_attr"),
        ("onnx", MAKE.format(", name='up'"), "name"),
        ("caffe", CAFFE.format('engine: CAFFE weight_filler { type: "bilinear" }'), "engine, weight_filler"),
        ("tensorflow", TF.format(", strides=2, padding='VALID', name='up'"), "name"),
    ],
)
def test_parameters_that_pytorch_lacks_are_named(framework, text, left_out):
    assert f"left out, because PyTorch's layer does not take it: {left_out}" in translate_back(text, framework).notes


def test_control_a_layer_without_such_parameters_has_no_note():
    assert translate_back(KERAS.format(", name='up'"), "keras").notes
    assert not translate_back(KERAS.format(""), "keras").notes


@pytest.mark.parametrize(
    ("text", "bias"),
    [
        ("make_node('ConvTranspose', ['x', 'w'], ['y'], kernel_shape=[3])", False),
        ("make_node('ConvTranspose', ['x', 'w', ''], ['y'], kernel_shape=[3])", False),
        ("node = helper.make_node('ConvTranspose', ['x', 'w', 'b'], ['y'], kernel_shape=[3])", True),
        ("op.ConvTranspose(x, w, kernel_shape=[3])", False),
        ("op.ConvTranspose(x, w, None, kernel_shape=[3])", False),
        ("op.ConvTranspose(x, w, b, kernel_shape=[3])", True),
        ("op.ConvTranspose(X=x, W=w, B=b, kernel_shape=[3])", True),
    ],
)
def test_a_node_of_onnx_has_a_bias_if_it_has_three_inputs(text, bias):
    restored = translate_back(text, "onnx")
    assert restored.layer.bias is bias
    assert not restored.notes


def test_a_node_without_inputs_has_a_note():
    assert any("inputs" in note for note in translate_back("ConvTranspose(kernel_shape=[3])", "onnx").notes)


def onnx_by_formula(x, weights, stride, dilation, begin, end, extra):
    """The definition of the operator: the full product, cropped by pads, extended by output_padding."""
    full = F.conv_transpose1d(x, weights, stride=stride, dilation=dilation)
    longer = F.pad(full, (0, extra))
    return longer[:, :, begin : longer.shape[2] - end].numpy()


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("end", [0, 1, 2, 3])
@pytest.mark.parametrize("begin", [0, 1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (4, 2, 1), (5, 3, 1), (3, 2, 2), (3, 1, 3)])
def test_all_pads_of_onnx_give_the_values_of_the_formula(kernel, stride, dilation, begin, end, extra):
    if extra >= max(stride, dilation):
        return  # ONNX refuses it
    text = f"ConvTranspose(kernel_shape=[{kernel}], strides=[{stride}], dilations=[{dilation}], pads=[{begin}, {end}]"
    restored = translate_back(f"{text}, output_padding=[{extra}])", "onnx")
    weights, x = torch.randint(-3, 4, (2, 4, kernel)).float(), signal("ConvTranspose1d", size=5)
    got = restored_values(restored, weights.numpy(), None, x)
    expected = onnx_by_formula(x, weights, stride, dilation, begin, end, extra)
    assert got.shape == expected.shape
    assert (got == expected).all()


def test_pads_without_a_matching_output_padding_become_a_crop():
    restored = translate_back("ConvTranspose(kernel_shape=[3], strides=[2], pads=[2, 0])", "onnx")
    assert restored.text == ("up = nn.ConvTranspose1d(IN, OUT, kernel_size=3, stride=2)", "y = up(x)[:, :, 2:]")


SIZED = [
    "output_shape=[10]", "output_shape=[9]", "output_shape=[11]", "output_shape=[12]", "output_shape=[1, 4, 10]",
    "output_shape=[10], auto_pad='SAME_UPPER'", "output_shape=[9], auto_pad='SAME_LOWER'",
    "output_shape=[10], output_padding=[1]", "output_shape=[9], pads=[3, 3]",
]  # fmt: skip


@pytest.mark.parametrize(
    "words", [*SIZED, "auto_pad='SAME_UPPER'", "auto_pad='SAME_LOWER'", "pads=[2, 0]", "pads=[3, 1]"]
)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_layers_from_onnx_equal_onnx_runtime(onnx, kernel, words):  # noqa: F811
    package, runtime = onnx
    attributes = f"kernel_shape=[{kernel}], strides=[2], {words}"
    sizes = (5,) if words in SIZED else None
    weights, x = torch.randint(-3, 4, (2, 4, kernel)).float(), signal("ConvTranspose1d", size=5)
    try:
        node = eval(f"onnx.helper.make_node('ConvTranspose', ['x', 'w'], ['y'], {attributes})", {"onnx": package})
        expected = in_onnx(runtime, package, node, weights.numpy(), None, x.numpy())
    except Exception:  # nothing remains, or the sizes do not fit
        return
    text = f"make_node('ConvTranspose', ['x', 'w'], ['y'], {attributes})"
    if expected.shape[2] > 8 + kernel + ("output_padding" in words) or (kernel == 1 and words[:13] == "auto_pad='SAM"):
        with pytest.raises(GeometryError, match="longer than its taps reach"):
            translate_back(text, "onnx", sizes)
        return
    restored = translate_back(text, "onnx", sizes)
    assert restored.sizes == sizes
    got = restored_values(restored, weights.numpy(), None, x)
    assert got.shape == expected.shape
    assert (got == expected).all()


def call_translate(capsys, monkeypatch, *arguments):
    return call(capsys, monkeypatch, "translate", *arguments)


def test_an_output_shape_needs_the_size_of_the_input(capsys, monkeypatch):
    line = ("ConvTranspose(kernel_shape=[3, 3], strides=[2, 2], output_shape=[10, 12])", "--from", "onnx")
    status, _, err = call_translate(capsys, monkeypatch, *line)
    assert (status, err) == (2, "tconv: output_shape needs the size of the input; add --size 28x28\n")
    status, out, err = call_translate(capsys, monkeypatch, *line, "--size", "5x6", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["text"][0].startswith(
        "up = nn.ConvTranspose2d(IN, OUT, kernel_size=3, stride=2, padding=1, output_padding=1"
    )
    assert any("an input of 5x6 only" in note for note in document["notes"])
    assert (
        "nothing in this text needs a size"
        in call_translate(capsys, monkeypatch, KERAS.format(""), "--from", "keras", "--size", "5")[2]
    )
    assert "the size has 1 axes, the layer 2" in call_translate(capsys, monkeypatch, *line, "--size", "5")[2]
    assert "--size n is not a size" in call_translate(capsys, monkeypatch, *line, "--size", "n")[2]
    assert (
        "--size is for --from"
        in call_translate(capsys, monkeypatch, "ConvTranspose1d(1, 1, 3)", "--to", "keras", "--size", "5")[2]
    )


def tensorflow_by_definition(x, weights, size, stride, padding):
    """The gradient of the convolution of an input of `size`, padded as in tf.nn.convolution."""
    kernel = weights.shape[2]
    total = max((x.shape[2] - 1) * stride + kernel - size, 0) if padding == "SAME" else 0
    y = torch.zeros(1, weights.shape[1], size, requires_grad=True)
    convolved = F.conv1d(F.pad(y, (total // 2, total - total // 2)), weights, stride=stride)
    assert convolved.shape == x.shape
    return torch.autograd.grad(convolved, y, x)[0].numpy()


@pytest.mark.parametrize("shape", ["numbers", "formula"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (2, 3), (5, 3), (3, 3), (1, 2)])
def test_functions_of_tensorflow_give_the_values_of_their_definition(kernel, stride, extra, padding, shape):
    if extra >= stride:
        return  # TensorFlow refuses it
    x, weights = signal("ConvTranspose1d", size=5), torch.randint(-3, 4, (2, 4, kernel)).float()
    size = 5 * stride - extra if padding == "SAME" else 4 * stride + kernel + extra
    term = size if shape == "numbers" else f"x.shape[1]*{stride} + {size - 5 * stride}"
    text = (
        f"w = tf.Variable(tf.zeros(({kernel}, 4, 2)))\n"
        f"y = tf.nn.relu(tf.nn.conv1d_transpose(x, w, [1, {term}, 4], strides=[1, {stride}, 1], padding='{padding}'))"
    )
    restored = translate_back(text, "tensorflow", (5,) if shape == "numbers" else None)
    assert (restored.layer.in_channels, restored.layer.out_channels, restored.layer.bias) == (2, 4, False)
    got = restored_values(restored, weights.numpy(), None, x)
    expected = tensorflow_by_definition(x, weights, size, stride, padding).clip(0)
    assert got.shape == expected.shape
    assert (got == expected).all()


def test_a_function_of_tensorflow_with_a_numeric_shape_needs_the_size_of_the_input():
    text = "w = tf.zeros((3, 4, 2))\ny = tf.nn.conv1d_transpose(x, w, (1, 11, 4), 2, 'VALID')"
    with pytest.raises(UsageError, match="an output_shape in numbers needs the size of the input"):
        translate_back(text, "tensorflow")
    with pytest.raises(UsageError, match="the shape of the weight is not in the text"):
        translate_back(text.partition("\n")[2], "tensorflow", (5,))


@pytest.mark.parametrize(
    "name",
    ["relu", "relu6", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "gelu", "silu", "swish", "mish",
     "leaky_relu", "softmax", "linear"],
)  # fmt: skip
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_activations_from_keras_have_the_same_values(keras, name, data_format):  # noqa: F811
    restored = translate_back(
        f"Conv1DTranspose(4, 3, activation='{name}', data_format='{data_format}', input_shape=(9, 9))", "keras"
    )
    assert restored.layer.in_channels == 9
    y = torch.linspace(-4, 4, 4 * 7).reshape(1, 4, 7)
    space = {"nn": nn, "y": y}
    for line in restored.text[2:]:
        exec(line, space)
    data = y.numpy() if data_format == "channels_first" else np.moveaxis(y.numpy(), 1, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = keras.ops.convert_to_numpy(keras.activations.get(name)(keras.ops.convert_to_tensor(data)))
    expected = expected if data_format == "channels_first" else np.moveaxis(expected, -1, 1)
    np.testing.assert_allclose(space["y"].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert len(restored.text) == (2 if name == "linear" else 3)


def test_a_paddle_layer_with_one_axis_has_groups_before_dilation():
    """In this framework's constructors with two and three axes the order is reversed."""
    one = translate_back("paddle.nn.Conv1DTranspose(4, 6, 3, 2, 1, 0, 2, 1)", "paddle").layer
    two = translate_back("paddle.nn.Conv2DTranspose(4, 6, 3, 2, 1, 0, 1, 2)", "paddle").layer
    assert (one.groups, one.dilation, two.groups, two.dilation) == (2, 1, 2, 1)


def test_different_padding_at_both_ends_is_read_from_paddle():
    restored = translate_back("Conv1DTranspose(2, 4, 5, stride=2, padding=[3, 1], bias_attr=False)", "paddle")
    weights, x = torch.randint(-3, 4, (2, 4, 5)).float(), signal("ConvTranspose1d", size=5)
    assert (restored_values(restored, weights.numpy(), None, x) == onnx_by_formula(x, weights, 2, 1, 3, 1, 0)).all()


def test_output_padding_of_a_stride_or_more_is_not_written_for_paddle():
    """Paddle raises an error for it, as MXNet does, and ONNX forbids it; PyTorch accepts it below the dilation."""
    layer = parse_layer("ConvTranspose2d(2, 4, 3, stride=2, dilation=3, padding=2, output_padding=2)")
    for framework in ("paddle", "mxnet", "onnx"):
        done = translate(layer, framework)
        found = re.search(r"output_padding=\[?(\d)", done.text[0])
        assert found is None or int(found[1]) < 2
        assert any(done.zeros_after)


def test_caffe_settings_for_height_and_width_are_read():
    text = "convolution_param { kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2 num_output: 6 }"
    assert str(translate_back(text, "caffe").layer) == (
        "ConvTranspose2d(kernel_size=(3, 5), stride=(2, 3), padding=(1, 2))".replace("(kernel", "(6, kernel")
    )


@settings(deadline=None, max_examples=300, derandomize=True)
@given(
    st.sampled_from(sorted(FRAMEWORKS)),
    st.lists(
        st.sampled_from(
            [
                "Conv2DTranspose",
                "ConvTranspose",
                "make_node",
                "tf.nn.conv2d_transpose",
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                ",",
                "=",
                ":",
                "3",
                "-1",
                "1e9",
                "'x'",
                '"',
                "y",
                "+",
                "*",
                "kernel_shape",
                "pads",
                "strides",
                "output_shape",
                "padding",
                "layer",
                "convolution_param",
                "kernel_size",
                "\n",
                "8",
                "None",
                "x.shape[1]",
            ]
        ),
        max_size=25,
    ).map(" ".join),
)
def test_any_text_is_a_layer_or_one_of_our_errors(framework, text):
    with contextlib.suppress(UpsampleError):
        translate_back(text, framework)


@pytest.mark.parametrize("nested", ["1" + "+1" * 900, "x" + "+b" * 900, "-" * 1500 + "1", "f(" * 190 + ")" * 190])
def test_a_deeply_nested_text_is_one_error(nested):
    for text in (
        f"y = tf.nn.conv1d_transpose(x, w, (1, {nested}, 8), 2)",
        f"y = conv1d_transpose(x)\ny = y + {nested}",
    ):
        with pytest.raises(UsageError):
            translate_back(text, "tensorflow")
    for framework in FRAMEWORKS:
        with pytest.raises(UsageError):
            translate_back(nested, framework)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_output_of_the_command_can_be_read_back(framework, capsys, monkeypatch):
    layer = "ConvTranspose2d(2, 4, 3, stride=2, dilation=3, padding=2, output_padding=2)"
    printed = call_translate(capsys, monkeypatch, layer, "--to", framework)[1]
    assert "note: " in printed
    status, out, err = call_translate(capsys, monkeypatch, printed, "--from", framework)
    assert (status, err) == (0, "")
    assert out.startswith("up = nn.ConvTranspose2d(")


def test_a_prototxt_of_comments_is_parsed_quickly():
    begun = time.process_time()
    with pytest.raises(UsageError):
        translate_back(CAFFE.format("#" * 1900), "caffe")
    assert translate_back(f"# {'#' * 999}\n{CAFFE.format('')} # {'#' * 900}", "caffe").layer.kernel_size == 3
    assert time.process_time() - begun < 1


def test_parameters_left_out_for_another_framework_are_named(capsys, monkeypatch):
    layer = "ConvTranspose1d(1, 1, 3, device=None, dtype=torch.float64)"
    assert "note: left out: dtype\n" in call_translate(capsys, monkeypatch, layer, "--to", "keras")[1]
    assert (
        "left out"
        not in call_translate(capsys, monkeypatch, "ConvTranspose1d(1, 1, 3, device=None)", "--to", "keras")[1]
    )
