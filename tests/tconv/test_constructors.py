"""Layers parsed from PyTorch's text, compared with torch evaluating the same text. Hostile text is one error."""

import importlib
import inspect
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.kinds import KINDS
from upsample_cli.tconv.shape import shape


def by_torch(text, channels, sizes):
    """The oracle: channels and sizes by torch, or None if torch refuses; evaluates only texts from this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # for weights without elements, and for the cost of padding="same"
        try:
            layer = eval(text, {"nn": nn, "torch": torch})
            got = tuple(layer(torch.empty(1, channels, *sizes)).shape[1:])
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, ZeroDivisionError):
            return None
    return got if min(got) > 0 else None  # an output of 0 samples: some torch routes refuse it, some return it


def by_us(text, channels, sizes):
    """The same from the package."""
    try:
        layer = parse_layer(text)
        (step,) = shape(sizes, [layer])
        layer.output_channels(channels)
        return (step.channels, *step.output)
    except GeometryError:
        return None


def numbers(least, most, axes):
    """One number, or a tuple or list: usually with the right length, sometimes with one number or too many."""
    number = st.integers(least, most)
    lengths = st.sampled_from([axes] * 6 + [1, 1, axes + 1])
    sequence = lengths.flatmap(lambda length: st.lists(number, min_size=length, max_size=length))
    return st.one_of(number, number, sequence.map(tuple), sequence)


@st.composite
def constructors(draw):
    """The text of a constructor, the number of channels it is given, and a size."""
    transposed, axes = draw(st.booleans()), draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    values = {
        "in_channels": draw(st.integers(1, 3)) * draw(st.sampled_from([1, groups])),
        "out_channels": draw(st.integers(1, 3)) * draw(st.sampled_from([1, groups])),
        "kernel_size": draw(numbers(1, 4, axes)),
    }
    options = {
        "stride": numbers(1, 4, axes),
        "padding": numbers(-1, 3, axes),
        "output_padding": numbers(-1, 3, axes),
        "dilation": numbers(1, 3, axes),
        "groups": st.just(groups),
        "bias": st.booleans(),
        "padding_mode": st.sampled_from(["zeros", "zeros", "reflect", "circular", "replicate", "mirror"]),
        "device": st.sampled_from(["cpu", None]),
    }
    if not transposed:
        del options["output_padding"]
        options["padding"] |= st.sampled_from(["same", "valid", "full"])
    for name in draw(st.lists(st.sampled_from(sorted(options)), unique=True)):
        values[name] = draw(options[name])
    name = f"{'ConvTranspose' if transposed else 'Conv'}{axes}d"
    order = [parameter for parameter in inspect.signature(getattr(nn, name)).parameters if parameter in values]
    in_order = list(inspect.signature(getattr(nn, name)).parameters)
    positional = draw(st.integers(0, next((i for i, n in enumerate(in_order) if n not in values), len(order))))
    arguments = [repr(values[n]) for n in in_order[:positional]]
    arguments += [f"{n}={values[n]!r}" for n in draw(st.permutations(order)) if n not in in_order[:positional]]
    given_channels = draw(st.sampled_from([values["in_channels"]] * 5 + [2]))
    sizes = draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes).map(tuple))
    return f"{draw(st.sampled_from(['nn.', 'torch.nn.']))}{name}({', '.join(arguments)})", given_channels, sizes


def padded_by_torch_along_one_axis_only(text):
    """The only setting that torch accepts and the package refuses on purpose: see the test below."""
    return "'same'" in text and ("padding_mode" in text and "'zeros'" not in text) and "dilation" in text


def test_constructors_are_parsed_as_by_torch():
    seen = Counter()

    @settings(deadline=None, max_examples=1200, derandomize=True)
    @given(constructors())
    def compare(case):
        if not padded_by_torch_along_one_axis_only(case[0]):
            expected = by_torch(*case)
            seen["refused" if expected is None else "accepted"] += 1
            assert by_us(*case) == expected

    compare()
    assert min(seen["accepted"], seen["refused"]) > 150


def test_control_the_comparison_detects_swapped_parameters():
    """Conv has dilation where ConvTranspose has output_padding: with the wrong order, a text gives another size."""
    text = "nn.ConvTranspose1d(1, 1, 4, 3, 1, 2)"
    assert by_us(text, 1, (9,)) == by_torch(text, 1, (9,))
    assert by_us("nn.ConvTranspose1d(1, 1, 4, 3, 1, dilation=2)", 1, (9,)) != by_torch(text, 1, (9,))


ELSEWHERE = {
    "LayerNorm2d": lambda: importlib.import_module("torchvision.models.convnext").LayerNorm2d,
    "FrozenBatchNorm2d": lambda: importlib.import_module("torchvision.ops").FrozenBatchNorm2d,
    "StochasticDepth": lambda: importlib.import_module("torchvision.ops").StochasticDepth,
    "QuantStub": lambda: importlib.import_module("torch.ao.quantization").QuantStub,
    "DeQuantStub": lambda: importlib.import_module("torch.ao.quantization").DeQuantStub,
}
"""Classes that printed models contain and torch.nn does not."""
PRINTED_ONLY = {"UpsamplingNearest2d": {"mode"}, "UpsamplingBilinear2d": {"mode"}}
"""Parameters that torch prints and the constructor does not have."""


@pytest.mark.parametrize("name", KINDS)
def test_parameters_have_the_order_and_defaults_of_torch(name):
    signature = inspect.signature((ELSEWHERE[name]() if name in ELSEWHERE else getattr(nn, name)).__init__).parameters
    named = [p for p in list(signature.values())[1:] if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    # older versions of torch have no `bias` at the end of the normalizations
    assert KINDS[name].parameters[: len(named)] == tuple(p.name for p in named)
    assert set(KINDS[name].parameters[len(named) :]) <= {"bias", "device", "dtype", *PRINTED_ONLY.get(name, ())}
    assert KINDS[name].required == sum(p.default is inspect.Parameter.empty for p in named)
    if name.startswith("Conv"):
        layer = parse_layer(f"{name}(2, 4, 3)")
        options = [p for p in named[3:] if p.name not in ("device", "dtype")]
        assert {p.name: getattr(layer, p.name) for p in options} == {p.name: p.default for p in options}


def test_layers_printed_by_torch_are_parsed():
    """torch prints words without quotes, and a comma may follow if the text comes from a list."""
    printed = repr(nn.Conv2d(3, 8, (3, 5), padding="same", padding_mode="reflect", bias=False)) + ","
    assert parse_layer(printed) == Convolution(
        2,
        in_channels=3,
        out_channels=8,
        kernel_size=(3, 5),
        stride=(1, 1),
        padding="same",
        bias=False,
        padding_mode="reflect",
    )
    transposed = nn.ConvTranspose3d(4, 6, 3, stride=2, padding=(1, 0, 1), output_padding=1, groups=2, dilation=2)
    read = parse_layer(repr(transposed))
    assert shape((5, 6, 7), [read])[0].output == tuple(transposed(torch.zeros(1, 4, 5, 6, 7)).shape[2:])


def test_the_text_of_a_layer_is_parsed_to_the_same_layer():
    layers = (
        TransposedConvolution(2, in_channels=4, out_channels=6, kernel_size=(3, 4), stride=2, groups=2, bias=False),
        Convolution(1, in_channels=3, out_channels=8, kernel_size=3, padding="same", dilation=2),
    )
    assert [parse_layer(str(layer)) for layer in layers] == list(layers)
    assert str(layers[1]) == "Conv1d(3, 8, kernel_size=3, padding='same', dilation=2)"


def test_a_setting_that_torch_pads_along_one_axis_only_is_refused():
    """padding="same" promises the same size; with a dilation of one number in brackets, torch breaks that promise."""
    text = "nn.Conv2d(1, 1, 3, padding='same', dilation=(2,), padding_mode='reflect')"
    assert by_torch(text, 1, (9, 9)) == (1, 9, 5)
    with pytest.raises(GeometryError, match="dilation has 1 number for 2 axes; give one number without brackets, or 2"):
        parse_layer(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "the layer here is unknown; known are Conv1d"),
        ("os.system('true')", "the layer os.system is unknown"),
        ("Conv2d(3, 8, __import__('os').getpid())", "kernel_size is not a whole number"),
        ("Conv2d(3, 8, 3, bias=exit())", "bias is neither True nor False"),
        ("Conv2d(3, 8, 3, padding_mode=f'{exit()}')", "padding_mode is not a word"),
        ("Conv2d(3, 8, 3, device=exit())", "device is not a name"),
        ("Conv2d(3, 8, (3, exit()))", "a number in kernel_size is not a whole number"),
        ("(lambda: Conv2d)()(3, 8, 3)", "the layer here is unknown"),
        ("Conv2d(3, 8, 3)(4)", "the layer here is unknown"),
        ("Conv2d(*[3, 8, 3])", r"\* and \*\* are not supported; write the values themselves"),
        ("Conv2d(**{})", r"\* and \*\* are not supported"),
        ("Conv2d(3, 8, 3) if 1else 2", "this is not a layer as PyTorch writes it"),
        ("Conv2d(3, 8, 3, padding_mode='\\d')", None),
        ("Conv2d(3, 8", "this is not a layer as PyTorch writes it; write for example"),
        ("", "this is not a layer as PyTorch writes it"),
        ("\0", "this is not a layer as PyTorch writes it"),
        ("(" * 1000, "this is not a layer as PyTorch writes it"),
        ("-" * 1900 + "1", "this is not a layer as PyTorch writes it"),
        ("Conv2d(3, 8, " + "-" * 1900 + "1)", "kernel_size is not a whole number"),
        ("Conv2d" + "(3)" * 600, "the layer here is unknown"),
        ("a" + ".a" * 900 + "()", "is unknown"),
        ("1" * 1999, "this is not a layer as PyTorch writes it"),
        ("Conv2d(3, 8, 3)" + " " * 2000, "this is not a layer as PyTorch writes it"),
        ("Conv4d(3, 8, 3)", "the layer Conv4d is unknown; known are Conv3d, Conv2d, Conv1d and the others of"),
        ("Conv2d(3, 8)", "kernel_size missing; the parameters are in_channels, out_channels, kernel_size, stride"),
        ("Conv2d()", "in_channels and out_channels and kernel_size missing"),
        ("Conv2d(3, 8, 3, strides=2)", "there is no parameter strides; the parameters are"),
        ("Conv2d(3, 8, 3, kernel_size=3)", "kernel_size is given twice"),
        ("Conv2d(3, 8, 3, stride=1, stride=2)", "stride is given twice; the parameters are"),
        ("Conv2d(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)", "12 values for 11 parameters"),
        ("Conv2d(3, 8, 3.0)", "kernel_size is not a whole number; write it in digits"),
        ("Conv2d(3, 8, True)", "kernel_size is not a whole number"),
        ("Conv2d(3, 8, 'same')", "kernel_size is not a whole number"),
        ("Conv2d(0, 8, 3)", "in_channels 0 is too small; use 1 or more"),
        ("Conv2d(3, 8, 3, groups=0)", "groups 0 is too small; use 1 or more"),
        ("Conv2d(3, 8, 3, groups=3)", "out_channels 8 is not divisible by groups 3; groups must divide"),
        ("Conv2d(3, 8, (3,))", "kernel_size has 1 number for 2 axes; give one number without brackets, or 2"),
        ("Conv1d(3, 8, (3, 3))", "kernel_size has 2 numbers for 1 axis; give one number"),
        ("ConvTranspose2d(3, 8, 3, padding_mode='reflect')", "ConvTranspose2d has no padding_mode 'reflect'; leave it"),
    ],
)
def test_hostile_and_mistaken_texts_are_one_error_that_lists_valid_input(text, message):
    if message is None:  # it is parsed, without Python's warning about the backslash; the word is checked with the size
        assert parse_layer(text).padding_mode == "\\d"
        return
    with pytest.raises(GeometryError, match=message) as refusal:
        parse_layer(text)
    assert len(str(refusal.value)) < 350


def test_texts_are_not_evaluated(tmp_path):
    """A text that writes a file when evaluated does not write it here; the control evaluates it."""
    flag = tmp_path / "evaluated"
    text = f"Conv2d(3, 8, 3, device=open({str(flag)!r}, 'w').close())"
    with pytest.raises(GeometryError, match="device is not a name"):
        parse_layer(text)
    assert not flag.exists()
    eval(text, {"Conv2d": nn.Conv2d})
    assert flag.exists()
