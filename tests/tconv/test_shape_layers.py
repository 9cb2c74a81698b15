"""All kinds of layers, pasted models, letters for sizes, costs and receptive fields, compared with torch."""

import itertools
import re
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.chain import Chain
from upsample_cli.tconv.chain_input import split_size
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.model_text import parse_model
from upsample_cli.tconv.layers.model_tree import MOST_LAYERS
from upsample_cli.tconv.layers.symbolic import Symbolic, parse_symbolic_size
from upsample_cli.tconv.shape import least_letter, shape, with_output_size
from upsample_cli.tconv.shape_report import as_json, factor_remark, reach_remarks, remarks, total

REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AssertionError, ZeroDivisionError)


def by_torch(text, channels, sizes):
    """Channels and sizes by torch, or None if torch refuses; evaluates only texts from this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            got = tuple(eval(f"nn.{text}", {"nn": nn})(torch.zeros(2, channels, *sizes)).shape[1:])
        except REFUSALS:
            return None
    return got if min(got) > 0 else None


def by_us(text, channels, sizes):
    try:
        (step,) = shape(sizes, [parse_layer(text)], channels=channels)
    except GeometryError:
        return None
    return (step.channels, *step.output)


def per_axis(least, most, axes):
    number = st.integers(least, most)
    return st.one_of(number, st.lists(number, min_size=axes, max_size=axes).map(tuple))


@st.composite
def resizing_layers(draw):
    axes = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["MaxPool", "AvgPool", "Adaptive", "Upsample", "Shuffle", "Pad"]))
    sizes = draw(st.lists(st.integers(1, 11), min_size=axes, max_size=axes).map(tuple))
    if kind in ("MaxPool", "AvgPool"):
        options = {
            "stride": st.none() | per_axis(1, 4, axes),
            "padding": per_axis(0, 3, axes),
            "ceil_mode": st.booleans(),
        }
        if kind == "MaxPool":
            options["dilation"] = per_axis(1, 3, axes)
        chosen = {name: draw(options[name]) for name in draw(st.lists(st.sampled_from(sorted(options)), unique=True))}
        words = "".join(f", {name}={value!r}" for name, value in chosen.items())
        return f"{kind}{axes}d({draw(per_axis(1, 5, axes))!r}{words})", 1, sizes
    if kind == "Adaptive":
        wanted = draw(
            st.integers(1, 5) | st.lists(st.none() | st.integers(1, 5), min_size=axes, max_size=axes).map(tuple)
        )
        return f"AdaptiveAvgPool{axes}d({wanted!r})", 1, sizes
    if kind == "Upsample":
        mode = draw(st.sampled_from(["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"]))
        factor = st.sampled_from([1, 2, 3, 0.5, 1.5, 0.7, 2.25, 0.1])
        how = draw(
            st.one_of(
                st.tuples(st.just("scale_factor"), factor | st.lists(factor, min_size=axes, max_size=axes).map(tuple)),
                st.tuples(st.just("size"), per_axis(1, 9, axes)),
            )
        )
        corners = draw(st.sampled_from(["", "", ", align_corners=True", ", align_corners=False"]))
        return f"Upsample({how[0]}={how[1]!r}, mode={mode!r}{corners})", 1, sizes
    if kind == "Shuffle":
        name = draw(st.sampled_from(["PixelShuffle", "PixelUnshuffle"]))
        return f"{name}({draw(st.integers(1, 3))})", draw(st.sampled_from([4, 9, 5])), (sizes * 2)[:2]
    name = draw(st.sampled_from(["ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"]))
    ends = st.integers(-2 if name == "ZeroPad" else 0, 4)
    ends = draw(ends | st.lists(ends, min_size=2 * axes, max_size=2 * axes).map(tuple))
    return f"{name}{axes}d({ends!r})", 1, sizes


def test_pooling_upsampling_shuffling_and_padding_have_torchs_sizes_and_refusals():
    seen = Counter()

    @settings(deadline=None, max_examples=1500, derandomize=True)
    @given(resizing_layers())
    def compare(case):
        expected = by_torch(*case)
        seen["refused" if expected is None else "accepted"] += 1
        assert by_us(*case) == expected, case

    compare()
    assert min(seen.values()) > 150


def test_control_floor_instead_of_ceil_is_detected():
    assert by_us("MaxPool1d(3, 2)", 1, (8,)) != by_torch("MaxPool1d(3, 2, ceil_mode=True)", 1, (8,)) == (1, 4)


@pytest.mark.parametrize(
    ("text", "channels", "sizes", "is_accepted"),
    [
        ("InstanceNorm2d(4)", 4, (1, 1), False),
        ("InstanceNorm1d(4, affine=True, track_running_stats=False)", 4, (1,), False),
        ("InstanceNorm3d(4)", 4, (1, 1, 1), False),
        ("InstanceNorm2d(4)", 4, (1, 2), True),
        ("InstanceNorm2d(4, track_running_stats=True).eval()", 4, (1, 1), True),
        ("BatchNorm2d(4)", 4, (1, 1), True),
        ("Dropout1d()", 4, (3, 3), False),
        ("Dropout1d()", 4, (3,), True),
        ("Dropout1d()", 4, (), True),
        ("BatchNorm1d(4)", 4, (), True),
        ("Softmax2d()", 4, (3, 3, 3), False),
        ("Softmax2d()", 4, (3, 3), True),
        ("Softmax2d()", 4, (), False),
        ("Upsample(scale_factor=2)", 4, (), False),
        ("Upsample(size=5)", 4, (), False),
        ("Upsample(size=5)", 4, (3,), True),
        ("AdaptiveAvgPool2d(None)", 4, (3, 3), False),
        ("AdaptiveMaxPool1d((None,))", 4, (3,), False),
        ("AdaptiveMaxPool2d((None, None))", 4, (3, 3), True),
        ("GroupNorm(4, 6)", 6, (3,), False),
        ("GroupNorm(2, 6)", 4, (3,), False),
        ("GroupNorm(2, 6)", 6, (3,), True),
    ],
)
def test_layers_that_keep_the_size_are_refused_where_torch_refuses_them(text, channels, sizes, is_accepted):
    expected = by_torch(text, channels, sizes)
    assert (expected is not None) == is_accepted
    assert by_us(text.removesuffix(".eval()"), channels, sizes) == expected


def test_the_advice_for_other_channels_is_a_layer_of_torch():
    for groups, channels in itertools.product((1, 2, 3, 6), (4, 5, 12)):
        with pytest.raises(GeometryError, match="channels, but") as refused:
            shape((5,), [parse_layer(f"GroupNorm({groups}, 6)")], channels=channels)
        advice = str(refused.value).rpartition("write ")[2]
        assert by_torch(advice, channels, (5,)) == (channels, 5)


MODELS = [
    nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        nn.Sequential(*[nn.ReLU() for _ in range(3)]),
        nn.MaxPool2d(3, 2, 1),
        nn.Sequential(nn.Conv2d(8, 16, (3, 5), padding="same"), nn.LeakyReLU(0.2), nn.Dropout(0.1)),
        nn.ConvTranspose2d(16, 12, 4, stride=2, padding=1, groups=2),
        nn.PixelShuffle(2),
        nn.GroupNorm(3, 3),
        nn.PReLU(3),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ReflectionPad2d((1, 2, 0, 1)),
        nn.AvgPool2d(2),
        nn.Sigmoid(),
    ),
    nn.Sequential(nn.Conv1d(3, 4, 5), nn.InstanceNorm1d(4, affine=True), nn.Softmax(dim=1), nn.MaxPool1d(2)),
]


@pytest.mark.parametrize("model", MODELS)
def test_printed_models_have_torchs_sizes_channels_and_parameters(model):
    sizes = (37, 41) if isinstance(model[0], nn.Conv2d) else (37,)
    flat = [module for module in model.modules() if not isinstance(module, nn.Sequential)]
    layers = parse_model(repr(model))
    assert [layer.name for layer in layers] == [type(module).__name__ for module in flat]
    steps, tensor = shape(sizes, layers, channels=3, batch=2), torch.zeros(2, 3, *sizes)
    for module, step in zip(flat, steps, strict=True):
        tensor = module(tensor)
        assert (step.channels, *step.output) == tuple(tensor.shape[1:])
        assert step.parameters == sum(weights.numel() for weights in module.parameters())
        assert step.memory_bytes == tensor.numel() * tensor.element_size()
    assert total(steps, "parameters") == sum(weights.numel() for weights in model.parameters())


@pytest.mark.parametrize(
    "text",
    [
        "nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))",
        "torch.nn.Sequential(\n    torch.nn.Conv2d(3, 8, 3),  # first\n    torch.nn.ReLU(),\n    nn.MaxPool2d(2),\n)",
        "Conv2d(3, 8, 3)\n\nReLU()\nMaxPool2d(2)",
        "Conv2d(3, 8, 3),\nReLU(),\nMaxPool2d(2),",
        "self.conv = nn.Conv2d(3, 8,\n    kernel_size=3)\nself.act = nn.ReLU()\nself.pool = nn.MaxPool2d(2)",
        "Sequential(\n (conv): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))\n  (act): ReLU()\n (p): MaxPool2d(2)\n)",
        "Sequential((0): Conv2d(3, 8, 3) (1): ReLU() (2): MaxPool2d(2))",
        "nn.Sequential(OrderedDict([('a', nn.Conv2d(3, 8, 3)), ('b', nn.ReLU()), ('c', nn.MaxPool2d(2))]))",
        "[nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)]",
        "nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU())), nn.Sequential(nn.MaxPool2d(2)))",
    ],
)
def test_every_notation_of_a_model_gives_the_same_model(text):
    layers = parse_model(text)
    assert [layer.name for layer in layers] == ["Conv2d", "ReLU", "MaxPool2d"]
    assert shape((17, 12), layers)[-1].output == (7, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the model has no layers; give nn.Sequential"),
        ("Sequential(", "line 1, 'Sequential\\(': this is not a model"),
        (
            "UNet(\n (down): Conv2d(1, 1, 1)\n (up): ReLU()\n)",
            "line 1: the text of UNet does not say in which order its layers run: it has down, up; choose part=down,",
        ),
        ("ReLU()\nFold((2, 2), 2)", "line 2: the layer Fold is unknown"),
        ("ReLU()\nConv2D(3, 8, 3)", "line 2: the layer Conv2D is unknown; known are Conv2d"),
        ("ReLU()\n__import__('os').system('true')", "line 2: the layer here is unknown"),
        ("(0-99): 999999999 x ReLU()", f"the model has more than {MOST_LAYERS} layers"),
        ("(0-99): 999999999 x Sequential(\n(0-99): 999999999 x ReLU()\n)", "the model has more than"),
        ("9 @ 9", "this is not a layer"),
        ("(" * 9000, "this is not a model"),
        ("import os", "line 1, 'import os': this is not a model"),
        ("\0", "this is not a model"),
        ("x" * 300_000, "the model's text has 300000 characters"),
    ],
)
def test_a_text_that_is_not_a_model_is_one_error(text, message):
    with pytest.raises(GeometryError, match=message):
        parse_model(text)


# Letters


@pytest.mark.parametrize(
    ("layers", "formula"),
    [
        (["ConvTranspose1d(1, 1, 4, 2, 1)"], "2n"),
        (["ConvTranspose1d(1, 1, 3, 2, 1)"], "2n-1"),
        (["ConvTranspose1d(1, 1, 3, 2, 1, 1)"], "2n"),
        (["ConvTranspose1d(1, 1, 6, 3, 1)"], "3n+1"),  # kernel 2s, padding s//2, odd s
        (["Conv1d(1, 1, 3, 2, 1)"], "floor((n-1)/2)+1"),
        (["Conv1d(1, 1, 3, padding='same')"], "n"),
        (["Conv1d(1, 1, 3, 2, 1)", "ConvTranspose1d(1, 1, 3, 2, 1)"], "2*floor((n-1)/2)+1"),
        (["Conv1d(1, 1, 3, 2, 1)", "Conv1d(1, 1, 3, 2, 1)"], "floor((n-1)/4)+1"),
        (["MaxPool1d(2)", "MaxPool1d(2)"], "floor(n/4)"),
        (["ConvTranspose1d(1, 1, 4, 2, 1)", "MaxPool1d(2)"], "n"),
        (["Upsample(scale_factor=2)"], "2n"),
        (["Upsample(scale_factor=1.5)"], "floor(3n/2)"),
        (["AdaptiveAvgPool1d(7)"], "7"),
    ],
)
def test_a_letter_as_size_gives_a_formula(layers, formula):
    assert str(shape((Symbolic("n"),), [parse_layer(text) for text in layers])[-1].output[0]) == formula


chain_layers = st.one_of(
    st.builds("Conv1d(1, 1, {}, {}, {}, {})".format, *(st.integers(1, 3),) * 2, st.integers(0, 2), st.integers(1, 2)),
    st.builds(
        "ConvTranspose1d(1, 1, {}, {}, {}, dilation={})".format,
        *(st.integers(1, 4),) * 2,
        st.just(0),
        st.integers(1, 3),
    ),
    st.builds("MaxPool1d({}, {}, ceil_mode={})".format, st.integers(1, 4), st.integers(1, 4), st.booleans()),
    st.sampled_from(["Upsample(scale_factor=3)", "Upsample(scale_factor=0.5)", "ReLU()", "ZeroPad1d((2, 1))"]),
)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.lists(chain_layers, min_size=1, max_size=5), st.integers(30, 400))
def test_a_formula_is_correct_for_every_size(texts, size):
    """The smallest size for which a formula is said to hold is accepted, and one less is refused."""
    layers = [parse_layer(text) for text in texts]
    try:
        numbers = shape((size,), layers)[-1].output[0]
    except GeometryError:
        return
    formula = shape((Symbolic("n"),), layers)[-1].output[0]
    assert (formula.at(size) if isinstance(formula, Symbolic) else formula) == numbers
    least = least_letter((Symbolic("n"),), layers)
    shape((least,), layers)
    if least > 1:
        with pytest.raises(GeometryError):
            shape((least - 1,), layers)


def test_letters_and_numbers_can_be_mixed_in_a_size():
    assert parse_symbolic_size("3xHx224") == (3, Symbolic("H"), 224)
    assert [parse_symbolic_size(text) for text in ("x", "nn", "n.png", "nxx", "")] == [None] * 5


# Costs and receptive fields


def gradient_reach(layers, size):
    """The largest spread of inputs that one output depends on, by torch's gradients through kernels of ones."""
    tensor = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    output = tensor
    for text in layers:
        module = eval(f"nn.{text}", {"nn": nn}).double()
        for weights in module.parameters():
            nn.init.ones_(weights)
        output = module(output)
    widest = 0
    for position in range(output.shape[2]):
        (gradient,) = torch.autograd.grad(output[0, 0, position], tensor, retain_graph=True)
        (used,) = torch.nonzero(gradient[0, 0], as_tuple=True)
        widest = max(widest, int(used.max() - used.min()) + 1 if len(used) else 0)
    return widest


seeing_layers = st.one_of(
    st.builds(
        "Conv1d(1, 1, {}, {}, {}, {})".format,
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
    st.builds("ConvTranspose1d(1, 1, {}, {})".format, st.integers(2, 5), st.integers(1, 2)),
    st.sampled_from(["AvgPool1d(2)", "AvgPool1d(3, 2, 1)", "Upsample(scale_factor=2)"]),
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(seeing_layers, min_size=1, max_size=3))
def test_the_receptive_field_equals_the_reach_of_gradients(texts):
    assert shape((61,), [parse_layer(text) for text in texts])[-1].receptive_field == (gradient_reach(texts, 61),)


def test_control_a_receptive_field_without_strides_is_detected():
    reach = gradient_reach(["Conv1d(1,1,3,2,1)", "Conv1d(1,1,3)"], 61)
    assert Chain().after(LayerAxis(3, 2, 1)).after(LayerAxis(3)).receptive_field == reach
    assert Chain().after(LayerAxis(3)).after(LayerAxis(3)).receptive_field != reach


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), list(itertools.product((3, 4, 5, 6), (1, 2, 3), (0, 1))))
def test_the_shift_equals_that_of_the_centre_of_mass(kernel_size, stride, padding):
    """With half-pixel alignment, a single bright sample at i goes to (i + 1/2) * scale - 1/2 plus the shift."""
    for transposed in (True, False):
        text = f"Conv{'Transpose' * transposed}1d(1, 1, {kernel_size}, {stride}, {padding})"
        module = eval(f"nn.{text}", {"nn": nn}).double()
        nn.init.ones_(module.weight), nn.init.zeros_(module.bias)
        moments = []
        for position in range(30, 30 + stride):  # one of each phase: only their mean moves by the shift
            signal = torch.zeros(1, 1, 61, dtype=torch.float64)
            signal[0, 0, position] = 1
            response = module(signal)[0, 0].detach()
            mass, places = response.sum(), torch.arange(len(response), dtype=torch.float64)
            moments.append((float((response * places).sum()), float(mass), position))
        centre = sum(moment for moment, _, _ in moments) / sum(mass for _, mass, _ in moments)
        scale = stride if transposed else 1 / stride
        mean = sum(mass * position for _, mass, position in moments) / sum(mass for _, mass, _ in moments)
        (shift,) = shape((61,), [parse_layer(text)])[0].shift
        assert centre == pytest.approx((mean + 0.5) * scale - 0.5 + float(shift), abs=1e-9)  # sums of at most 18 ones


def test_multiply_adds_of_textbook_layers():
    (step,) = shape((112, 112), [parse_layer("Conv2d(3, 64, 7, stride=2, padding=3)")], batch=2)
    assert (step.parameters, step.multiply_adds) == (64 * 3 * 49 + 64, 2 * 56 * 56 * 64 * 3 * 49)
    (step,) = shape((7, 9), [parse_layer("ConvTranspose2d(6, 4, (2, 3), stride=2, groups=2, bias=False)")])
    assert (step.parameters, step.multiply_adds) == (6 * 2 * 6, 7 * 9 * 6 * 2 * 6)


def test_batch_and_channels_may_come_first():
    layers = [parse_layer("ReLU()"), parse_layer("Conv2d(3, 16, 3)")]
    assert split_size((8, 3, 20, 21), layers) == (8, 3, (20, 21))
    assert split_size((3, 20, 21), layers) == (1, 3, (20, 21))
    assert split_size((20, 21), layers) == (1, None, (20, 21))
    with pytest.raises(GeometryError, match="in_channels is 3, but 4 channels come in"):
        shape((20, 21), layers, channels=4)
    with pytest.raises(GeometryError, match="channels n is not a number"):
        split_size((Symbolic("n"), 20, 21), layers)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(1, 9), st.integers(1, 40))
def test_output_size_is_accepted_or_refused_as_by_torch(kernel_size, stride, padding, size, wanted):
    module = nn.ConvTranspose1d(1, 1, kernel_size, stride, padding)
    try:
        expected = module(torch.zeros(1, 1, size), output_size=(wanted,)).shape[2] or None
    except REFUSALS:
        expected = None
    layer = TransposedConvolution(1, kernel_size=kernel_size, stride=stride, padding=padding)
    try:
        got = shape((size,), with_output_size((size,), [layer], wanted))[0].output[0]
    except GeometryError:
        got = None
    assert got == expected


def test_an_output_size_out_of_range_is_an_error_with_the_range():
    layer = TransposedConvolution(2, kernel_size=3, stride=2, padding=1)
    with pytest.raises(
        GeometryError, match=r"width: output_size 226 cannot come from an input of 112 .*; use 223x223 to 224x224"
    ):
        with_output_size((112, 112), [layer], (224, 226))
    with pytest.raises(GeometryError, match="Conv1d takes no output_size"):
        with_output_size((112,), [parse_layer("Conv1d(1, 1, 3)")], 9)


# common but wrong claims


def test_a_remark_says_that_kernel_2s_padding_half_s_fails_for_odd_strides():
    for stride in (3, 5, 7):
        layer = TransposedConvolution(1, kernel_size=2 * stride, stride=stride, padding=stride // 2)
        (step,) = shape((50,), [layer])
        assert (step.output[0], abs(step.shift[0])) == (50 * stride + 1, 0.5)
        (remark,) = remarks([step])
        assert f"{stride}n+1 samples, half a sample off" in remark
        assert factor_remark(stride)[0].endswith("half a pixel off")
    assert factor_remark((2, 4)) == ()
    assert remarks(shape((50,), [TransposedConvolution(1, kernel_size=4, stride=2, padding=1)])) == ()


def test_output_padding_that_shifts_the_image_has_a_remark():
    (remark,) = remarks(shape((50, 100), [parse_layer("ConvTranspose2d(1, 1, 3, 2, 1, 1)")]))
    assert "1/2 pixel up and left; 2n and centred: kernel_size=4, stride=2, padding=1" in remark


def centroid(layers, size, position):
    """The mean position of a single sample after torch's layers with equal weights, and the size of the output."""
    x = torch.zeros(1, 1, size, dtype=torch.float64)
    x[0, 0, position] = 1
    for layer in layers:
        module = eval(f"nn.{layer}", {"nn": nn}).double().requires_grad_(False)
        module.weight.fill_(1)
        module.bias.zero_()
        x = module(x)
    return float((x[0, 0] * torch.arange(x.shape[2])).sum() / x.sum()), x.shape[2]


ENCODER = "Conv1d(1, 1, 3, stride=2, padding=1)"
DECODER = "ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1)"
CENTRED = "ConvTranspose1d(1, 1, 4, stride=2, padding=1)"


def moved(layers, size=64):
    """How far layers that keep the size move the samples in the middle, on average over all phases."""
    places = [centroid(layers, size, position) for position in range(24, 40)]
    assert {after for _, after in places} == {size}
    return sum(place - position for (place, _), position in zip(places, range(24, 40), strict=True)) / 16


@pytest.mark.parametrize(
    ("layers", "aligned"),
    [
        ([ENCODER, DECODER], True),
        ([ENCODER, ENCODER, DECODER, DECODER], True),
        ([ENCODER, CENTRED], False),
        ([ENCODER, ENCODER, DECODER, CENTRED], False),
        ([ENCODER, CENTRED, ENCODER, DECODER], False),
    ],
)
def test_a_shift_has_a_remark_only_if_the_whole_chain_shifts(layers, aligned):
    """An encoder moves the image, and the output_padding of the decoder moves it back."""
    steps = shape((64,), [parse_layer(layer) for layer in layers])
    assert (abs(moved(layers)) < 1e-9) == aligned == (steps[-1].total_shift == (0,))
    assert bool(remarks(steps)) != aligned


@pytest.mark.parametrize(
    "layers",
    [
        [ENCODER, CENTRED],
        [ENCODER, ENCODER, CENTRED, CENTRED],
        [ENCODER, ENCODER, DECODER, CENTRED],
        [ENCODER, "Conv1d(1, 1, 5, padding=2)", "ConvTranspose1d(1, 1, 6, stride=2, padding=2)"],
    ],
)
def test_the_settings_of_the_remark_keep_the_image_in_place(layers):
    """In torch, and for the sizes that the chain had before."""
    size = 48
    parsed = [parse_layer(layer) for layer in layers]
    remark = next(remark for remark in remarks(shape((size,), parsed)) if remark.startswith("the whole chain is"))
    wanted = re.search(r"stays in place with (.+) in the transposed layers?$", remark)[1].split(" and ")
    transposed = [at for at, layer in enumerate(layers) if layer.startswith("ConvTranspose1d")]
    if len(wanted) == 1:
        wanted *= len(transposed)
    better = list(layers)
    for at, given_ in zip(transposed, wanted, strict=True):
        better[at] = f"ConvTranspose1d(1, 1, {given_})"
    assert abs(moved(layers, size)) > 0.1
    assert abs(moved(better, size)) < 1e-9


def test_advice_never_leaves_an_output_without_a_tap():
    """A kernel as large as the stride cannot lose a tap; with an even dilation, no padding is exact."""
    encoder = "Conv1d(1, 1, 3, stride=4, padding=1)"
    (remark,) = remarks(shape((64,), [parse_layer(encoder), parse_layer("ConvTranspose1d(1, 1, 4, stride=4)")]))
    assert "kernel_size=5, stride=4, padding=2, output_padding=3 in the transposed layer" in remark
    dilated = "ConvTranspose1d(1, 1, 3, stride=3, padding=1, dilation=2)"
    found = remarks(shape((66,), [parse_layer("Conv1d(1, 1, 4, stride=3, padding=1)"), parse_layer(dilated)]))
    assert not any("stays in place" in remark for remark in found)


@pytest.mark.parametrize(
    ("layer", "settings_"),
    [
        ("ConvTranspose1d(1, 1, 9, 3, 4, 2)", "kernel_size=9, stride=3, padding=3"),
        ("ConvTranspose1d(1, 1, 3, 2, 1, 1)", "kernel_size=4, stride=2, padding=1"),
        ("ConvTranspose1d(1, 1, 3, 2, 2, 1, dilation=2)", "kernel_size=4, stride=2, padding=1"),
    ],
)
def test_advice_keeps_the_size_of_the_kernel_where_it_can_be_centred(layer, settings_):
    remark = remarks(shape((48,), [parse_layer(layer)]))[0]
    assert remark.endswith(f"centred: {settings_}")
    assert " sample early" in remark
    better = f"ConvTranspose1d(1, 1, {settings_})"
    factor = parse_layer(better).stride
    place, size = centroid([better], 48, 20)
    assert (place, size) == (pytest.approx(20 * factor + (factor - 1) / 2), 48 * factor)
    assert centroid([layer], 48, 20)[0] < place - 0.4


def test_an_unnecessary_shift_in_a_chain_has_a_remark():
    steps = shape((64,), [parse_layer(layer) for layer in (ENCODER, DECODER, DECODER)])
    assert steps[-1].total_shift[0] != 0
    (remark,) = remarks(steps)
    assert "1/2 sample early" in remark
    (remark,) = remarks(shape((64,), [parse_layer(layer) for layer in (CENTRED, DECODER, "ReLU()")]))
    assert "1/2 sample early" in remark


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 6), st.integers(0, 3), st.integers(1, 3))
def test_outputs_that_no_tap_reaches_equal_the_bias_in_torch(kernel, stride, padding, extra, dilation):
    try:
        module = nn.ConvTranspose1d(1, 1, kernel, stride, padding, extra, dilation=dilation).requires_grad_(False)
        module.weight.fill_(1)
        module.bias.fill_(0)
        reached = (module(torch.ones(1, 1, 40))[0, 0] != 0).tolist()
    except REFUSALS:
        return
    axis = LayerAxis(kernel, stride, padding, extra, dilation, transposed=True)
    assert axis.unreached == (reached.index(True), reached[::-1].index(True))
    for remark in reach_remarks(axis):
        cure = re.search(r"; (kernel_size=.*) gives the same size", remark)
        if cure:
            better = parse_layer(f"ConvTranspose1d(1, 1, {cure[1]})")
            assert better.output_sizes((40,)) == (len(reached),)
            assert better.each_axis[0].unreached == (0, 0) or 0 in axis.taps_per_phase


def test_outputs_that_no_tap_reaches_have_a_remark_and_huge_settings_are_quick():
    (remark,) = remarks(shape((7,), [parse_layer("ConvTranspose1d(1, 1, 2, 2, 0, 1)")]))
    assert remark.startswith(
        "no tap reaches the last output, so it holds the bias alone; kernel_size=3, stride=2 gives"
    )
    assert not remarks(shape((7,), [parse_layer("ConvTranspose1d(1, 1, 3, 2)")]))  # the control: the advised layer
    huge = LayerAxis(10**15, 10**15, 7, 10**15 - 1, 10**14, transposed=True)
    assert huge.unreached[1] >= 0


def test_the_rule_n_s_plus_s_minus_k_holds_only_if_padding_is_k_minus_s():
    for kernel_size, stride, padding in itertools.product(range(1, 7), range(1, 4), range(4)):
        layer = TransposedConvolution(3, kernel_size=kernel_size, stride=stride, padding=padding)
        try:
            output = shape((9, 9, 9), [layer])[0].output[0]
        except GeometryError:
            continue
        assert (output == 9 * stride + (stride - kernel_size)) == (padding == kernel_size - stride)


def test_the_document_with_letters_is_plain_json():
    document = as_json(shape((Symbolic("n"),), [parse_layer("ConvTranspose1d(1, 1, 3, 2, 1)")]))
    assert (document["input"], document["output"], document["multiply_adds"]) == (["n"], ["2n-1"], None)


def test_an_adaptive_pooling_that_keeps_a_size_does_not_shift():
    layer = parse_layer("AdaptiveAvgPool2d((None, 7))")
    for sizes in ((8, 14), (Symbolic("n"), 14)):
        kept, halved = layer.along_axes(sizes)
        assert (kept, halved) == (LayerAxis(), LayerAxis(2, 2))
    assert layer.along_axes((8, 15))[1] is None  # the control: an output does not cover a whole number of inputs
