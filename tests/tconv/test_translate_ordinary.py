"""Ordinary convolutions of Paddle and MXNet in `tconv translate`. torch is the oracle for their documented formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch import nn

from upsample_cli.errors import UpsampleError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.translate.translate import ORDINARY, translate, translate_back, translate_between


@st.composite
def convolutions(draw):
    axes = draw(st.integers(1, 3))
    each = lambda least, most: tuple(draw(st.integers(least, most)) for _ in range(axes))  # noqa: E731
    kernel, stride, padding, dilation = each(1, 4), each(1, 3), each(0, 2), each(1, 2)
    words = f"groups={draw(st.sampled_from([1, 2]))}, bias={draw(st.booleans())}"
    return f"Conv{axes}d(2, 4, {kernel}, stride={stride}, padding={padding}, dilation={dilation}, {words})"


@pytest.mark.parametrize("framework", ORDINARY)
def test_a_translation_is_read_back_as_the_same_layer(framework):
    """Both frameworks document PyTorch's formula, so equal settings are equal layers."""

    @settings(deadline=None, max_examples=80, derandomize=True)
    @given(convolutions())
    def check(text):
        layer, x = eval(f"nn.{text}"), torch.rand(1, 2, *(9, 8, 10)[: int(text[4])])
        done = translate(parse_layer(text), framework)
        (code,) = done.text
        space = {"nn": nn, "x": x}
        lines = translate_back(code, framework).text
        exec(lines[0], space)
        space["conv"].load_state_dict(layer.state_dict())
        exec(lines[1], space)
        assert torch.equal(space["y"], layer(x))

    check()


@pytest.mark.parametrize(
    ("framework", "text", "code"),
    [
        ("paddle", "paddle.nn.Conv2D(3, 8, 3, 2, 1)", "conv = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)"),
        (
            "paddle",
            "Conv2D(4, 8, (3, 5), padding=[1, 1, 2, 2], groups=2, padding_mode='reflect', bias_attr=False)",
            "conv = nn.Conv2d(4, 8, kernel_size=(3, 5), padding=(1, 2), bias=False, padding_mode='reflect', groups=2)",
        ),
        ("mxnet", "mx.gluon.nn.Conv2D(8, 3, 2, 1)", "conv = nn.Conv2d(IN, 8, kernel_size=3, stride=2, padding=1)"),
        (
            "mxnet",
            "gluon.nn.Conv3D(channels=8, kernel_size=(1, 2, 3), dilation=2, in_channels=4, use_bias=False)",
            "conv = nn.Conv3d(4, 8, kernel_size=(1, 2, 3), dilation=2, bias=False)",
        ),
    ],
)
def test_layers_as_the_frameworks_write_them_are_read(framework, text, code):
    """The order of their positional parameters, from the documentation."""
    assert translate_back(text, framework).text == (code, "y = conv(x)")


def test_one_framework_becomes_the_other():
    _, done = translate_between("Conv2D(8, 3, strides=2, padding=1, in_channels=3)", "mxnet", "paddle")
    assert done.text == ("paddle.nn.Conv2D(3, 8, 3, stride=2, padding=1)",)


def test_padding_same_is_written_in_numbers_and_an_activation_follows():
    assert "padding=(1, 2)" in translate(parse_layer("Conv2d(3, 8, (3, 5), padding='same')"), "paddle").text[0]
    assert translate_back("Conv2D(8, 3, activation='relu')", "mxnet").text[-1] == "y = nn.ReLU()(y)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Conv2d(3, 8, 4, padding='same')", "--to", "paddle"), "padding='same' pads more at the end"),
        (("Conv2d(3, 8, 3, padding_mode='reflect')", "--to", "mxnet"), "MXNet's convolution has no padding_mode"),
        (("Conv2d(3, 8, 3)", "--to", "onnx"), "Conv2d is not a transposed convolution; give a ConvTranspose1d"),
        (("Conv2D(8, 3)", "--from", "mxnet", "--to", "keras"), "Conv2d is not a transposed convolution"),
        (("MaxPool2d(3)", "--to", "paddle"), "MaxPool2d is not a transposed convolution"),
        (("Conv2D(3, 8, 3, padding='SAME')", "--from", "paddle"), "a setting is a word"),
        (("Conv2D(3, 8, 3, padding=[0, 1, 0, 1])", "--from", "paddle"), "PyTorch's Conv pads both ends alike"),
        (("Conv2D(3, 8, 3, padding_mode='edge')", "--from", "paddle"), "padding_mode 'edge' is unknown"),
        (("Conv2D(3, 8, 3, output_padding=1)", "--from", "paddle"), "there is no parameter output_padding"),
        (("Conv2D(3, 8)", "--from", "paddle"), "kernel_size is missing"),
        (("Conv2D(3, 8, 0)", "--from", "paddle"), "kernel_size 0 is too small"),
        (("Conv2D(8, 3, padding=1.5)", "--from", "mxnet"), "padding 1.5 is not a whole number"),
    ],
)
def test_what_cannot_be_translated_is_one_line(arguments, message, capsys, monkeypatch):
    status, out, err = call(capsys, monkeypatch, "translate", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_refusals_share_the_base_class_of_errors():
    with pytest.raises(UpsampleError):
        translate_back("Conv2D(3, 8, 3, stride=0)", "paddle")
