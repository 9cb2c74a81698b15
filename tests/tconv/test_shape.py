"""Sizes through chains: compared with torch running the same layers; formulas that give the stated sizes; JSON."""

import json
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution, bilinear_layer
from upsample_cli.tconv.layers.symbolic import parse_size
from upsample_cli.tconv.shape import shape, size_text
from upsample_cli.tconv.shape_report import as_json

CHAIN = (
    "Conv2d(3, 16, 3, stride=2, padding=1)",
    "Conv2d(16, 32, (3, 5), dilation=2, padding='same')",
    "ConvTranspose2d(32, 16, 4, stride=2, padding=1)",
    "ConvTranspose2d(16, 3, 3, stride=(2, 3), padding=1, output_padding=(1, 2))",
)


def evaluated(formula):
    """The value of the left side of a formula, computed by Python, and the number on its right side."""
    left, right = formula.split(" = ")
    assert re.fullmatch(r"[0-9()+*/ -]+|floor\([0-9()+*/ -]+", left)
    return eval(left, {"floor": math.floor}), int(right)


def test_a_chain_has_torchs_sizes_and_channels_after_every_layer():
    layers = [eval(f"nn.{text}", {"nn": nn}) for text in CHAIN]
    tensor, expected = torch.zeros(1, 3, 17, 11), []
    for layer in layers:
        tensor = layer(tensor)
        expected.append(tuple(tensor.shape[1:]))
    steps = shape((17, 11), [parse_layer(text) for text in CHAIN])
    assert [(step.channels, *step.output) for step in steps] == expected
    assert [step.input for step in steps[1:]] == [step.output for step in steps[:-1]]


def test_a_chain_with_a_channel_mismatch_is_refused_at_that_layer():
    with pytest.raises(GeometryError) as refusal:
        shape((17, 11), [parse_layer(CHAIN[0]), parse_layer(CHAIN[2])])
    message = "layer 2, ConvTranspose2d: in_channels is 32, but 16 channels come in; write ConvTranspose2d(16, ...)"
    assert str(refusal.value) == message


def test_a_refusal_names_layer_and_axis():
    with pytest.raises(
        GeometryError, match=r"^layer 2, Conv2d: width: the kernel spans 7 .* the padded input only 6; "
    ):
        shape((17, 11), [parse_layer(CHAIN[0]), parse_layer("Conv2d(16, 3, 7)")])
    with pytest.raises(
        GeometryError,
        match=r"^Conv3d: the size 17x11 has 2 axes, this layer works on 3; write it as DEPTHxHEIGHTxWIDTH",
    ):
        shape((17, 11), [parse_layer("Conv3d(16, 3, 7)")])


axis_settings = {
    "kernel_size": st.integers(1, 5),
    "stride": st.integers(1, 4),
    "padding": st.integers(0, 4),
    "dilation": st.integers(1, 3),
}


@settings(max_examples=300)
@given(
    st.sampled_from([Convolution, TransposedConvolution]),
    st.lists(st.integers(8, 40), min_size=1, max_size=3).map(tuple),
    st.fixed_dictionaries(axis_settings),
    st.booleans(),
)
def test_every_formula_gives_its_stated_size(kind, sizes, setting, same):
    if kind is Convolution and same:
        setting = setting | {"padding": "same", "stride": 1}
    layer = kind(len(sizes), **setting)
    try:
        (step,) = shape(sizes, [layer])
    except GeometryError:
        return
    assert [evaluated(formula) for formula in step.formulas] == [(size, size) for size in step.output]


def test_the_formula_has_the_form_of_the_textbook():
    (step,) = shape((50,), [TransposedConvolution(1, kernel_size=3, stride=2, padding=1)])
    assert step.formulas == ("(50-1)*2 - 2*1 + 1*(3-1) + 0 + 1 = 99",)
    (step,) = shape((10,), [Convolution(1, kernel_size=4, padding="same")])
    assert step.formulas == ("floor((10 + 3 - 1*(4-1) - 1)/1) + 1 = 10",)


def test_control_a_formula_with_a_wrong_number_is_detected():
    value, claimed = evaluated("(50-1)*2 - 2*1 + 1*(3-1) + 1 + 1 = 99")
    assert value != claimed


def test_the_document_is_plain_json():
    document = as_json(shape((17, 11), [parse_layer(text) for text in CHAIN[:2]]))
    assert json.loads(json.dumps(document)) == document
    assert (document["input"], document["output"], document["channels"]) == ([17, 11], [9, 6], 32)
    assert [layer["layer"] for layer in document["layers"]] == [
        "Conv2d(3, 16, kernel_size=3, stride=2, padding=1)",
        "Conv2d(16, 32, kernel_size=(3, 5), padding='same', dilation=2)",
    ]


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
def test_the_bilinear_layer_multiplies_every_size(factor):
    assert shape((256, 17), [bilinear_layer(2, factor)])[0].output == (256 * factor, 17 * factor)
    assert shape((256, 17), [bilinear_layer(2, (factor, 2))])[0].output == (256 * factor, 34)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("50", (50,)),
        ("50x100", (50, 100)),
        ("10X50×100", (10, 50, 100)),
        ("50 x 100", (50, 100)),
        ("0", (0,)),
        ("2x3x4x5", (2, 3, 4, 5)),
        ("9" * 30, (int("9" * 30),)),
        ("9" * 5000, None),
        ("-5", None),
        ("5.5", None),
        ("50x", None),
        ("x50", None),
        ("50x100.png", None),
        ("٥٠", None),
        ("1_000", None),
        ("50\n", None),
        ("", None),
    ],
)
def test_a_size_consists_of_digits_and_x(text, sizes):
    assert parse_size(text) == sizes
    if sizes is not None:
        assert parse_size(size_text(sizes)) == sizes


def test_more_than_three_axes_are_refused():
    with pytest.raises(GeometryError, match="there is no ConvTranspose4d; a size has 1 to 3 axes: 50, 50x100 or"):
        TransposedConvolution(4, kernel_size=3)
