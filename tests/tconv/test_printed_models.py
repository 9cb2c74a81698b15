"""Printed models: torch builds and prints them, and its sizes are the oracle."""

import json
import time
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch import nn
from torch.nn.utils import parametrizations

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.chain_input import with_flattens
from upsample_cli.tconv.layers.chosen import Choice
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.model_text import choose, parse_model
from upsample_cli.tconv.layers.model_tree import MOST_LAYERS
from upsample_cli.tconv.shape import shape
from upsample_cli.tconv.shape_report import total

models = pytest.importorskip("torchvision.models")


def by_torch(module, shape_in):
    with torch.device("meta"), torch.no_grad():
        return tuple(module.to("meta").eval()(torch.empty(2, *shape_in)).shape[1:])


def steps_of(text, shape_in, **choice):
    channels, *sizes = shape_in
    layers = choose(text, Choice(**choice)).layers
    if choice.get("in_order"):
        layers, _ = with_flattens(sizes, layers, channels=channels)
    return shape(sizes, layers, channels=channels)


def by_us(text, shape_in, **choice):
    last = steps_of(text, shape_in, **choice)[-1]
    return (last.channels, *last.output)


def built(name):
    with torch.device("meta"):
        return getattr(models, name)(weights=None)


# torchvision's models


@pytest.mark.parametrize(
    ("name", "part", "in_order"),
    [
        ("alexnet", "features", False),
        ("alexnet", "features.2:7", False),
        ("alexnet", None, True),
        ("vgg11_bn", "features", False),
        ("vgg11_bn", None, True),
        ("resnet18", "layer2.0.downsample", False),
        ("resnet18", None, True),
        ("resnet50", None, True),
        ("mobilenet_v2", "features", False),
        ("mobilenet_v3_small", None, True),
        ("efficientnet_b0", None, True),
        ("mnasnet0_5", "layers", False),
    ],
)
def test_torchvisions_models_have_torchs_sizes(name, part, in_order):
    model, module, shape_in = built(name), None, (3, 224, 224)
    module = model
    if part == "features.2:7":
        module, shape_in = model.features[2:7], (64, 55, 55)
    elif part:
        module = model.get_submodule(part)
        shape_in = shape_in if "." not in part else (64, 56, 56)
    assert by_us(str(model), shape_in, part=part, in_order=in_order) == by_torch(module, shape_in)


def test_control_a_skip_connection_taken_in_order_is_refused_by_its_channels():
    text = str(built("resnet18")).replace("(downsample)", "(another)")
    with pytest.raises(GeometryError, match="in_channels is 64, but 128 channels come in"):
        by_us(text, (3, 224, 224), in_order=True)


def test_costs_of_a_whole_printed_model_are_torchs():
    model = built("alexnet")
    steps = steps_of(str(model), (3, 224, 224), in_order=True)
    assert total(steps, "parameters") == sum(weights.numel() for weights in model.parameters())
    assert total(steps, "multiply_adds") == 714_188_480  # torchvision documents 0.71 GFLOPS


@pytest.mark.parametrize(
    "name", ["densenet121", "googlenet", "squeezenet1_0", "swin_t", "vit_b_16", "shufflenet_v2_x0_5"]
)
@pytest.mark.parametrize("in_order", [False, True])
def test_models_whose_text_does_not_show_their_graph_are_one_line(name, in_order):
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        text = str(getattr(models, name)(weights=None, **options))
    with pytest.raises(GeometryError) as refusal:
        by_us(text, (3, 224, 224), in_order=in_order)
    assert "\n" not in str(refusal.value)
    assert ("in_order=True" in str(refusal.value)) is not in_order


# Any nesting of containers


class FCNHead(nn.Sequential):
    """A subclass, as torchvision has many."""


class Generator(nn.Module):
    """A class with one part."""

    def __init__(self, main):
        super().__init__()
        self.main = main

    def forward(self, x):
        return self.main(x)


def leaf(number, channels):
    return [
        lambda: nn.Conv2d(channels, channels, 3, stride=2, padding=2),
        lambda: nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1),
        lambda: parametrizations.weight_norm(nn.Conv2d(channels, channels, 3, padding=1)),
        lambda: nn.utils.spectral_norm(nn.Conv2d(channels, channels, (1, 3), padding="same", padding_mode="reflect")),
        lambda: parametrizations.spectral_norm(nn.ConvTranspose2d(channels, channels, 2)),
        lambda: nn.ReLU(inplace=True),
        lambda: nn.MaxPool2d(2, ceil_mode=True),
        lambda: nn.UpsamplingBilinear2d(scale_factor=2),
        lambda: nn.UpsamplingNearest2d(size=(9, 7)),
        lambda: nn.GLU(dim=1),
        lambda: nn.ChannelShuffle(2),
        lambda: nn.LayerNorm([9, 7]),
        lambda: nn.Linear(7, 9),
    ][number]()


@st.composite
def modules(draw, depth=3):
    kind = draw(st.integers(0, 5 if depth else 0))
    if kind < 2:
        return leaf(draw(st.integers(0, 12)), draw(st.sampled_from([4, 4, 4, 2])))
    children = draw(st.lists(modules(depth=depth - 1), min_size=1, max_size=3))
    if kind == 2:
        return nn.Sequential(OrderedDict((f"part_{number}", child) for number, child in enumerate(children)))
    if kind == 3:
        return FCNHead(*children)
    if kind == 4:
        return Generator(nn.Sequential(*children))
    return nn.DataParallel(nn.Sequential(*children, *[nn.ReLU() for _ in range(3)]))


def leaves(module):
    inside = list(module.children())
    is_layer = type(module).__module__.startswith("torch.nn.modules") and not isinstance(module, nn.Sequential)
    if is_layer or type(module).__name__.startswith("Parametrized"):
        return [module]
    return [one for child in inside for one in leaves(child)]


def test_nested_containers_have_torchs_layers_sizes_and_refusals():
    seen = {"accepted": 0, "refused": 0}

    @settings(deadline=None, max_examples=150, derandomize=True)
    @given(modules())
    def compare(model):
        layers = parse_model(str(model))
        names = [type(module).__name__.removeprefix("Parametrized") for module in leaves(model)]
        assert len(layers) == len(names)
        try:
            wanted = tuple(nn.Sequential(*leaves(model)).eval()(torch.zeros(1, 4, 18, 14)).shape[1:])
        except (RuntimeError, ValueError):
            wanted = None
        try:
            got = by_us(str(model), (4, 18, 14))
        except GeometryError:
            got = None
        seen["refused" if wanted is None else "accepted"] += 1
        assert got == wanted

    compare()
    assert min(seen.values()) > 20


def test_control_a_list_of_modules_is_not_a_sequence():
    text = str(Generator(nn.ModuleList([nn.ReLU(), nn.Tanh()])))
    with pytest.raises(
        GeometryError, match=r"line 2: the text of ModuleList does not say in which order .* part=main\.0"
    ):
        parse_model(text)
    assert [layer.name for layer in choose(text, Choice(in_order=True)).layers] == ["ReLU", "Tanh"]


@pytest.mark.parametrize(
    "module",
    [
        nn.ModuleList([nn.ReLU()]),
        nn.ModuleDict({"0": nn.ReLU()}),
        nn.MultiheadAttention(8, 2),
        type("Upsample", (Generator,), {})(nn.Conv2d(3, 3, 3, padding=1)),  # such a class interpolates in forward()
    ],
    ids=str,
)
def test_a_class_that_can_run_its_only_child_otherwise_is_refused(module):
    with pytest.raises(GeometryError, match="does not say in which order its layers run"):
        parse_model(str(module))


def test_parameters_in_a_text_are_not_modules():
    model = Generator(nn.Sequential(nn.ReLU(), nn.Tanh()))
    model.extra = nn.ParameterList([torch.zeros(2, 3), torch.zeros(1)])
    assert [layer.name for layer in choose(str(model), Choice(part="main")).layers] == ["ReLU", "Tanh"]


def test_a_wrapper_of_a_compiled_model_is_accepted():
    text = "OptimizedModule(\n  (_orig_mod): Sequential(\n    (0): ReLU()\n    (1): Tanh()\n  )\n)"
    assert [layer.name for layer in parse_model(text)] == ["ReLU", "Tanh"]


# Notations


@pytest.mark.parametrize(
    "text",
    [
        ">>> model = nn.Sequential(\n...     nn.Conv2d(3, 8, 3),\n...     nn.ReLU(),\n... )\n>>> print(model)\n",
        "\ufeffSequential(\n  (0): Conv2d(3, 8, kernel_size=(3, 3))\n  (1): ReLU()\n)",
        ">>> m\nSequential((0): Conv2d(3, 8, kernel_size=(3, 3)) (1): ReLU())",
        "net = Net((conv): Conv2d(3, 8, 3)\n (act): ReLU())",
        "self.conv = nn.Conv2d(nc, ngf * 2 // 4 + 6, kernel - 1)\nself.act = nn.ReLU()",
    ],
)
def test_prompts_marks_names_and_arithmetic_are_read(text):
    layers = choose(text, Choice(in_order=True, values={"nc": 3, "ngf": 4, "kernel": 4})).layers
    assert [str(layer).replace("(3, 3)", "3") for layer in layers] == ["Conv2d(3, 8, kernel_size=3)", "ReLU()"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ngf", r"in_channels is not a whole number; write it in digits, or give let=ngf=NUMBER"),
        ("ngf * 8", "ngf has no value; write a number, or give let=ngf=NUMBER"),
        ("2 ** 99", "in_channels is not a whole number"),
        ("3 / 1", "in_channels is not a whole number"),
        ("8 // 0", "a number is divided by 0"),
        ("9 * (2 ** 9)", "this arithmetic is not supported"),
        ("2 * exit()", "this arithmetic is not supported"),
        ("2 * 1.5", "this arithmetic is not supported"),
        ("True * 8", "this arithmetic is not supported"),
        ("9999999999 * 9999999999", "a number is too large"),
        ("*".join(["99"] * 300), "this arithmetic is not supported"),
        ("1 - 9", "in_channels -8 is too small"),
    ],
)
def test_arithmetic_beyond_whole_numbers_is_one_error(setting, message):
    with pytest.raises(GeometryError, match=message):
        parse_layer(f"Conv2d({setting}, 8, 3)")


TEXT = "Net(\n (a): Sequential(\n (0): ReLU()\n (1-3): 3 x Tanh()\n (4): ELU()\n )\n (b): SELU()\n)"


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("a", "ReLU Tanh Tanh Tanh ELU"),
        ("a.2", "Tanh"),
        ("a.1:", "Tanh Tanh Tanh ELU"),
        ("a.:2", "ReLU Tanh"),
        ("a.3:9", "Tanh ELU"),
        ("b", "SELU"),
        ("0:1", "ReLU Tanh Tanh Tanh ELU"),
    ],
)
def test_a_part_is_a_path_of_labels(part, names):
    assert " ".join(layer.name for layer in choose(TEXT, Choice(part=part)).layers) == names


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("a.1-3", "there is no '1-3': Sequential has 0, 1, 2, 3, 4;"),
        ("a.5:", "there is nothing at 'a.5:': Sequential has 5 children"),
        ("c", "'c': there is no 'c': Net has a, b; name one of them in part"),
        ("b.0", "SELU has no labelled children"),
        ("", "there is no '': Net has a, b"),
        (":", "the text of Net does not say"),
        ("a" * 9999, "there is no 'a"),
    ],
)
def test_a_wrong_part_lists_the_labels_that_exist(part, message):
    with pytest.raises(GeometryError, match=message) as refusal:
        choose(TEXT, Choice(part=part))
    assert len(str(refusal.value)) < 350


# Layers that change the number of axes


@pytest.mark.parametrize("shape_in", [(12,), (4, 6), (4, 6, 8), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(
    "text",
    [
        *[
            "Flatten()",
            "Flatten(2)",
            "Flatten(1, 2)",
            "Flatten(-2)",
            "Flatten(2, 1)",
            "Flatten(start_dim=3, end_dim=3)",
        ],
        *["Unflatten(1, (2, -1))", "Unflatten(1, (3, 4))", "Unflatten(-1, (2, 2, 2))", "Unflatten(9, (1, 2))"],
        *["Linear(12, 5)", "Linear(6, 5, bias=False)", "Linear(8, 3)", "GLU()", "GLU(1)", "GLU(dim=2)", "GLU(7)"],
        *[
            "LayerNorm(12)",
            "LayerNorm((6, 8))",
            "LayerNorm([4, 6], elementwise_affine=False)",
            "LayerNorm(8, bias=False)",
        ],
        *["BatchNorm1d(12)", "BatchNorm1d(4)", "ChannelShuffle(2)", "ChannelShuffle(5)", "Conv1d(12, 3, 1)"],
    ],
)
def test_layers_on_channels_and_axes_have_torchs_sizes_and_refusals(text, shape_in):
    module = eval(f"nn.{text}", {"nn": nn})
    try:
        wanted = tuple(module.eval()(torch.zeros(2, *shape_in)).shape)
        wanted = wanted[1:] if wanted[0] == 2 else None  # nothing may mix the batch
    except (RuntimeError, ValueError, IndexError):
        wanted = None
    channels, *sizes = shape_in
    for layer in [parse_layer(text), parse_layer(repr(module)), parse_layer(str(parse_layer(text)))]:
        try:
            (step,) = shape(sizes, [layer], channels=channels)
        except GeometryError:
            got = None
        else:
            got = (step.channels, *step.output)
            assert (
                "bias=False" in text
                or step.parameters == sum(one.numel() for one in module.parameters())
                or ("elementwise_affine" in text)
            )
            assert len(step.formulas) == len(step.along) == len(step.receptive_field) == len(step.output)
        assert got == wanted


def test_receptive_fields_and_shifts_are_unknown_after_a_flatten():
    layers = [parse_layer(text) for text in ("Conv2d(3, 8, 3)", "Flatten()", "Unflatten(1, (8, 6, 6))", "ReLU()")]
    steps = shape((8, 8), layers, channels=3)
    assert [step.receptive_field for step in steps] == [(3, 3), (), (None, None), (None, None)]
    assert [step.output for step in steps] == [(6, 6), (), (6, 6), (6, 6)]


def test_multiply_adds_of_a_linear_count_every_row():
    assert shape((7, 6), [parse_layer("Linear(6, 5)")], channels=4)[0].multiply_adds == 4 * 7 * 6 * 5
    assert shape((), [parse_layer("Linear(6, 5)")], channels=6, batch=3)[0].multiply_adds == 3 * 6 * 5


# The commands


@pytest.fixture
def alexnet(tmp_path):
    path = tmp_path / "model.txt"
    path.write_text(str(built("alexnet")), encoding="utf-8")
    return str(path)


def test_the_command_notes_what_it_assumed(alexnet, capsys, monkeypatch):
    shaped = ("shape", "8x3x224x224", "--file", alexnet)
    status, printed, message = call(capsys, monkeypatch, *shaped)
    assert (status, printed) == (2, "")
    assert "it has features, avgpool, classifier; choose --part features, or give --in-order" in message
    status, printed, _ = call(capsys, monkeypatch, *shaped, "--in-order")
    assert status == 0
    assert "printed model does not show its graph" in printed.replace("\n", " ")
    assert printed.splitlines()[0] == printed.splitlines()[-1] == "8x3x224x224 -> 8x1000, torch.Size([8, 1000])"
    status, printed, _ = call(capsys, monkeypatch, *shaped, "--in-order", "--json")
    document = json.loads(printed)
    assert (document["output"], document["channels"]) == ([], 1000)
    assert any("does not show its graph" in remark for remark in document["remarks"])
    assert any("Flatten was added" in remark for remark in document["remarks"])
    status, printed, _ = call(capsys, monkeypatch, *shaped, "--part", "features", "--json")
    assert json.loads(printed)["remarks"] == []


def test_features_become_an_image(capsys, monkeypatch):
    generator = "nn.Sequential(nn.Linear(nz, 8 * 4 * 4), nn.Unflatten(1, (8, 4, 4)), nn.ConvTranspose2d(8, 3, 4, 2, 1))"
    shapes = {"100": "100 features -> 3x8x8", "64x100": "64x100 -> 64x3x8x8, torch.Size([64, 3, 8, 8])"}
    for size, answer in shapes.items():
        status, printed, _ = call(capsys, monkeypatch, "shape", size, generator, "--let", "nz=100")
        assert (status, printed.splitlines()[0]) == (0, answer)
    status, printed, message = call(capsys, monkeypatch, "shape", "28x28", "nn.Flatten()", "nn.Linear(784, 10)")
    assert (status, "the number of channels is unknown; give it before the size" in message) == (2, True)
    status, printed, _ = call(capsys, monkeypatch, "shape", "1x28x28", "nn.Flatten()", "nn.Linear(28*28, 10)")
    assert (status, printed.splitlines()[0]) == (0, "1x28x28 -> 10 features")
    status, printed, _ = call(
        capsys, monkeypatch, "shape", "n", "Conv2d(3, 8, 3)", "AdaptiveAvgPool2d(1)", "Flatten()", "Linear(8, 10)"
    )
    assert status == 2  # one letter is one axis
    status, printed, _ = call(
        capsys, monkeypatch, "shape", "nxn", "Conv2d(3, 8, 3)", "AdaptiveAvgPool2d(1)", "Flatten()", "Linear(8, 10)"
    )
    assert (status, printed.splitlines()[0]) == (0, "nxn -> 10 features")
    assert "for every size of 3 or more" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shape", "9", "--kernel-size", "3", "--part", "a"), "--part without layers; add --file"),
        (("shape", "9", "ReLU()", "--let", "a=b"), "--let a=b is not a name with a whole number"),
        (("shape", "9", "Conv1d(a * 2, 1, 1)"), "a has no value; write a number, or give --let a=NUMBER"),
        (("invert", "--size", "9"), "no layer is described; add --file PATH"),
        (("overlap",), "no layer is described; add --file PATH"),
        (("invert", "MaxPool2d(3)", "Flatten()", "--size", "9"), "the number of channels is unknown"),
        (("invert", "Conv2d(3, 8, 3)", "Conv2d(8, 8, 3)", "Flatten(2)", "--size", "9"), "Flatten cannot be inverted"),
        (("overlap", "Conv2d(3, 8, 3)", "Flatten()"), "layer 2, Flatten(): it can mix all samples of an axis"),
        (("overlap", "Conv1d(3, 8, 3)", "Linear(8, 8)"), "layer 2, Linear(8, 8): it can mix all samples"),
        (("translate", "Flatten()", "--to", "keras"), "Flatten"),
        (("checkerboard", "ConvTranspose2d(a * 2, 1, 1)"), "a has no value; write a number\n"),
        (
            ("shape", "6x6", "nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(16, 2))", "--in-order"),
            "in_features is 16, but",
        ),
        (("checkerboard", "Linear(2, 2)"), "is not a transposed convolution"),
    ],
)
def test_what_does_not_apply_is_one_line(arguments, message, capsys, monkeypatch):
    status, printed, line = call(capsys, monkeypatch, *arguments)
    assert (status, printed) == (2, "")
    assert message in line
    assert line.count("\n") == 1


def test_invert_and_overlap_take_parts_of_a_file(alexnet, capsys, monkeypatch):
    part = ("--file", alexnet, "--part", "features.0:3", "--json")
    status, printed, _ = call(capsys, monkeypatch, "invert", "--size", "224", *part)
    assert status == 0
    assert [one["layer"].partition("(")[0] for one in json.loads(printed)["sizes"][0]["decoder"]] == [
        "ConvTranspose2d"
    ] * 2
    status, printed, _ = call(capsys, monkeypatch, "overlap", *part)
    assert (status, json.loads(printed)["axes"][0]["step"]) == (0, 8)


def test_overlap_checks_layers_of_torchvision_and_glu(capsys, monkeypatch):
    chain = (
        "Conv1d(2, 8, 5, 2, 2)",
        "GLU(dim=1)",
        "StochasticDepth(p=0.1, mode=row)",
        "ConvTranspose1d(4, 1, 4, 2, 1)",
    )
    status, printed, _ = call(capsys, monkeypatch, "overlap", *chain, "--chunk", "32", "--check")
    assert (status, "check: equal" in printed) == (0, True)


@pytest.mark.parametrize(
    "text",
    [
        "Net(\n" + "(downsample): ReLU()\n" * 8000 + ")",
        "Net(\n" + "(a): ReLU()\n" * 4000 + "(downsample): Conv2d(3, 3, 3)\n" * 4000 + ")",
        "Net((a): " * 90 + "ReLU()" + ")" * 90,
        "Net((a): " * 9000 + "ReLU()" + ")" * 9000,
        "Net(\n" + "(0-9999999): 9999999 x Net(\n(a): ReLU()\n(b): ReLU()\n" * 30 + ")" * 31,
        f"Conv2d({'8*' * 90000}8, 8, 3)",
        f"Net({'3, ' * 60000}3\n(a): ReLU())",
        "Sequential(" + "ReLU()," * 25000 + ")",
        "Conv2d(3, 3, 3\n(parametrizations): X((a): Net((b): exit())))",
    ],
    ids=lambda text: text[:30],
)
def test_hostile_models_end_quickly(text, tmp_path, capsys, monkeypatch):
    path = tmp_path / "model.txt"
    path.write_text(text, encoding="utf-8")
    for more in ((), ("--part", "a.a.a"), ("--part", "0:99999")):
        begun = time.process_time()
        status, printed, message = call(capsys, monkeypatch, "shape", "99x99", "--file", str(path), "--in-order", *more)
        assert (status, message) == (0, "") if printed else (status == 2 and message.count("\n") == 1)
        assert len(message) < 700
        assert time.process_time() - begun < 8  # of the processor: several times what the slowest takes


def test_a_part_of_endless_repetitions_is_refused():
    with pytest.raises(GeometryError, match=f"more than {MOST_LAYERS} layers"):
        choose("(0-999999998): 999999999 x ReLU()", Choice(part="5"))
