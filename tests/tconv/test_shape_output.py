"""What `tconv shape` prints: the size first, nothing broken on a narrow terminal, and sizes and formulas of torch."""

import json
import math
import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch import nn
from typer.main import get_command

from upsample_cli.cli.tconv import COMMANDS, app, printing
from upsample_cli.errors import GeometryError
from upsample_cli.tconv.formula import INPUT, chain_formula
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.shape import least_letter, shape, size_text, with_output_size
from upsample_cli.tconv.shape_text import Form, short_text

BLOCK = "nn.ConvTranspose2d({}, {}, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d({}), nn.ReLU(True)"
GENERATOR = (
    "nn.Sequential(nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(True), "
    + ", ".join(BLOCK.format(2 * channels, channels, channels) for channels in (256, 128, 64))
    + ", nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())"
)
VGG = "nn.Sequential({})".format(
    ", ".join(
        "nn.MaxPool2d(2, 2)" if after is None else f"nn.Conv2d({before}, {after}, 3, padding=1), nn.ReLU(inplace=True)"
        for before, after in [
            (3, 64), (64, 64), (64, None), (64, 128), (128, 128), (128, None), (128, 256), (256, 256), (256, 256),
            (256, None), (256, 512), (512, 512), (512, 512), (512, None), (512, 512), (512, 512), (512, 512),
            (512, None),
        ]
    )
)  # fmt: skip
OUTPUTS = {
    "options": ("50x100", "-k", "3", "-s", "2", "-p", "1", "--output-padding", "1"),
    "axes differ": ("10x50x100", "-k", "3,5,3", "-s", "2", "-p", "1", "--output-padding", "0,1,1", "-d", "1,1,2"),
    "full shape": ("20x16x50", "nn.ConvTranspose1d(16, 33, 3, stride=2, padding=1)"),
    "letters": ("nxm", "Conv2d(3, 16, 3, stride=2, padding=1)", "ConvTranspose2d(16, 3, (3, 5), stride=(2, 3))"),
    "generator": ("64x100x1x1", GENERATOR),
    "VGG": ("8x3x224x224", VGG),
    "formulas": ("64x100x1x1", GENERATOR, "--formula"),
    "formulas of axes": ("50x100", "-k", "4,3", "-s", "2", "-p", "1", "--formula"),
}
SCREEN = 22  # of 24 lines, without the command and the next prompt


@pytest.fixture
def printed(capsys, monkeypatch):
    """What `tconv shape` prints, on a terminal with so many columns."""

    def run(*arguments, columns=10_000):
        monkeypatch.setattr(printing, "_AMPLE_WIDTH", columns)
        status, out, message = call(capsys, monkeypatch, "shape", *arguments)
        assert (status, message) == (0, "")
        return out

    return run


@pytest.fixture
def refused(capsys, monkeypatch):
    """The message with which `tconv shape` refuses arguments."""

    def run(*arguments):
        status, out, message = call(capsys, monkeypatch, "shape", *arguments)
        assert (status, out, message.count("\n")) == (2, "", 1)
        return message.removeprefix("tconv: ").rstrip()

    return run


def words(text):
    """The words of an output. A line may break between the parameters of a layer, and after its name."""
    return {part.rstrip(",") for word in text.split() for part in re.split(r"(?<=\w\()", word) if part}


# On a terminal


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("columns", [80, 60])
def test_no_word_is_broken_on_a_narrow_terminal(name, columns, printed):
    wide, narrow = printed(*OUTPUTS[name]), printed(*OUTPUTS[name], columns=columns)
    assert max(map(len, narrow.splitlines())) <= columns
    assert {word for word in words(narrow) - words(wide) if set(word) != {"─"}} == set()


def test_control_a_broken_word_is_detected(printed):
    wide, narrow = (printed(*OUTPUTS["options"], columns=columns) for columns in (10_000, 12))
    assert words(narrow) - words(wide)


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize(
    "line",
    [
        ["solve", "--from", "112", "--to", "224"],
        ["invert", "MaxPool2d(3, stride=2, padding=1)", "Conv2d(16, 8, (3, 5), 2, dilation=2)", "--size", "224"],
    ],
)
def test_no_word_is_cut_in_other_tables_of_layers(line, columns, capsys, monkeypatch):
    wide = call(capsys, monkeypatch, *line)[1]
    monkeypatch.setattr(printing, "_AMPLE_WIDTH", columns)
    narrow = call(capsys, monkeypatch, *line)[1]
    assert max(map(len, narrow.splitlines())) <= columns
    assert {word for word in words(narrow) - words(wide) if word.isascii() or "…" in word} == set()


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("name", [name for name in OUTPUTS if not name.startswith("formulas")])
def test_the_size_is_on_the_screen(name, columns, printed):
    lines = printed(*OUTPUTS[name], columns=columns).splitlines()
    assert " -> " in lines[0]
    assert (lines[-1] == lines[0]) == (len(lines) > SCREEN)
    assert lines[0] in lines[-SCREEN:]


def test_a_row_of_a_chain_is_one_line_on_a_terminal_of_80_columns(printed):
    lines = printed(*OUTPUTS["generator"], columns=80).splitlines()
    rows = [line for line in lines if re.match(r"\d+ ", line) and "(" in line]
    assert len(rows) == 14
    assert len(lines) <= SCREEN
    assert lines[0] == "64x100x1x1 -> 64x3x64x64, torch.Size([64, 3, 64, 64])"
    assert "ConvTranspose2d(512, 256, 4, 2, 1)  64x256x8x8 " in rows[3]


def test_columns_without_numbers_are_left_out(printed):
    for columns in (80, 10_000):
        lines = printed("5x5", "ReLU()", columns=columns).splitlines()
        assert lines == ["5x5 -> 5x5", "", "layer   output  shift  sees", "─" * 27, "ReLU()  5x5     0      1"]


def test_columns_without_room_are_replaced_by_their_sums(printed):
    narrow, wide = (printed(*OUTPUTS["generator"], columns=columns) for columns in (80, 120))
    assert "multiply-adds  " in wide
    assert re.search(r"^[\d ]+ multiply-adds, 96.00 MiB memory$", narrow, re.MULTILINE)
    assert "MiB memory\n" not in wide


# The full shape, with batch and channels


def test_the_complete_shape_of_a_batch(printed):
    layer = nn.ConvTranspose1d(16, 33, 3, stride=2, padding=1)
    expected = list(layer(torch.zeros(20, 16, 50)).shape)
    assert expected == [20, 33, 99]
    for size in ("20x16x50", "[20, 16, 50]", "torch.Size([20, 16, 50])", "(20, 16, 50)", "20,16,50"):
        for layer in (["ConvTranspose1d(16, 33, 3, 2, 1)"], ["-k", "3", "-s", "2", "-p", "1", "--channels", "16,33"]):
            assert printed(size, *layer).splitlines()[0] == "20x16x50 -> 20x33x99, torch.Size([20, 33, 99])"
            assert json.loads(printed(size, *layer, "--json"))["output_shape"] == expected
            assert printed(size, *layer, "--terse") == "20x33x99\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((2, 3, 9, 8), "ConvTranspose2d(3, 4, 3, 2)"),
        ((3, 9, 8), "ConvTranspose2d(3, 4, 3, 2)"),
        ((2, 6, 5, 4, 3), "Conv3d(6, 4, 2, groups=2)"),
        ((2, 8, 5, 6), "PixelShuffle(2)"),
        ((2, 3, 4, 4), "Flatten()"),
        ((2, 48), "Unflatten(1, (3, 4, 4))"),
        ((5, 7), "Linear(7, 2)"),
    ],
)
def test_the_terse_answer_is_the_shape_in_torch(size, text, printed):
    expected = size_text(eval(f"nn.{text}", {"nn": nn})(torch.zeros(size)).shape)
    assert printed(size_text(size), text, "--terse") == f"{expected}\n"


def test_the_stated_dimensions_are_printed(printed):
    layer = "Conv2d(3, 8, 3)"
    assert printed("9x8", layer).splitlines()[0] == "9x8 -> 7x6, 8 channels"
    assert printed("3x9x8", layer).splitlines()[0] == "3x9x8 -> 8x7x6"
    assert printed("9x8", "Conv2d(3, 1, 3)").splitlines()[0] == "9x8 -> 7x6, 1 channel"
    assert printed("9x8", layer, "--terse") == "7x6\n"
    assert printed("n", "-k", "4", "-s", "2", "-p", "1", "--terse") == "2n\n"


def test_wrong_channels_are_one_line(refused):
    setting = ("-k", "3", "--channels", "16,33")
    assert refused("20x15x50", "ConvTranspose1d(16, 33, 3)") == (
        "ConvTranspose1d: in_channels is 16, but 15 channels come in; write ConvTranspose1d(15, ...)"
    )
    assert refused("20x15x50", *setting).startswith("the size 20x15x50 does not begin with 16 channels, or with a ")
    assert refused("16x16x50", *setting).startswith("the size 16x16x50 has 16 channels both first and after a batch")
    assert refused("50", "-k", "3", "--channels", "16") == (
        "--channels 16 is not a pair of numbers; write for example --channels 16,33"
    )
    assert refused("50", "-k", "3", "--channels", "0,3") == "--channels 0,3 is too small; use 1 or more"
    assert refused("50", "Conv1d(1, 1, 3)", "--channels", "1,1") == (
        "the layers state their channels; leave out --channels"
    )


def test_formulas_need_axes_and_a_layer(refused):
    no_axes = "the input has no axes, so there is no size formula; leave out --formula"
    assert refused("100", "Linear(100, 50)", "--formula") == no_axes
    assert refused("--formula", "Linear(100, 50)") == no_axes
    assert refused("50", "--formula", "-s", "2").startswith("no layer is described; add --kernel-size N")
    assert refused("--formula", "--conv", "--output-padding", "1").startswith("an ordinary convolution has no output")
    assert refused("-k", "3").startswith("SIZE is missing; write 50, 50x100")


def test_terse_and_json_exclude_each_other(refused):
    assert refused("50", "-f", "2", "--terse", "--json") == "--terse and --json cannot be combined; leave one out"


# output_size


@pytest.mark.parametrize("output_size", [(101, 201), (102, 202), (33, 101, 202), (5, 33, 102, 201), (100, 201)])
@pytest.mark.parametrize("size", [(16, 50, 100), (5, 16, 50, 100)])
def test_an_output_size_per_axis_is_that_of_torch(size, output_size, printed, refused):
    layer = nn.ConvTranspose2d(16, 33, 3, stride=2)
    command = (size_text(size), "ConvTranspose2d(16, 33, 3, stride=2)", "--output-size", size_text(output_size))
    try:
        expected = size_text(layer(torch.zeros(size), output_size=output_size).shape)
    except ValueError as error:
        torchs = str(error)
    else:
        assert printed(*command, "--terse") == f"{expected}\n"
        return
    causes = {
        "requested": "ConvTranspose2d: height: output_size 100 cannot come from an input of 50 with these settings; "
        "use 101x201 to 102x202",
        "must have": f"output_size has {len(output_size)} numbers for 2 axes; give one number, or 2",
    }
    assert refused(*command) == next(message for word, message in causes.items() if word in torchs)


def test_an_output_size_sets_the_last_layer_that_changes_a_size(printed, refused):
    chain = ("Conv2d(3, 8, 3, 2, 1)", "ConvTranspose2d(8, 3, 3, 2, 1)", "Tanh()")
    assert printed("224x225", *chain, "--output-size", "224x225", "--terse") == "224x225\n"
    message = refused("3x9x9", *chain, "--output-size", "4x9x9")
    assert message == "output_size 4x9x9 begins with channels 4; use 3"


# Formulas


LAYERS = st.one_of(
    st.builds(
        lambda k, s, p, d, op: f"ConvTranspose1d(1, 1, {k}, {s}, {p}, {op % max(s, d)}, dilation={d})",
        *(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(0, 3)),
    ),
    st.builds(
        lambda k, s, p, d: f"Conv1d(1, 1, {k}, {s}, {p}, {d})",
        *(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3)),
    ),
    st.builds(lambda k, s: f"MaxPool1d({k}, {s}, {k // 2})", st.integers(1, 4), st.integers(1, 4)),
    st.builds(lambda s: f"Upsample(scale_factor={s})", st.integers(1, 4)),
    st.sampled_from(["ReLU()", "BatchNorm1d(1)", "ReflectionPad1d(1)", "AvgPool1d(3, 2, ceil_mode=True)"]),
)


def value(formula, **letters):
    return eval(formula, {"floor": math.floor, "__builtins__": {}} | letters)


@settings(max_examples=60, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=3), st.integers(0, 9))
def test_the_formula_of_a_chain_gives_torchs_size_and_its_inverse_the_input(texts, more):
    layers = [parse_layer(text) for text in texts]
    try:
        formula = chain_formula(layers, 1)
        least = least_letter((INPUT,), layers)
    except GeometryError:
        return
    if formula.end is not None or least is None:
        return
    size = least + more
    chain = nn.Sequential(*(eval(f"nn.{text}", {"nn": nn}) for text in texts)).eval()
    with torch.no_grad():
        after = chain(torch.zeros(1, 1, size)).shape[-1]
    assert value(str(formula.after[0]).replace("in", "size"), size=size) == after
    (before,) = formula.before
    if before is not None:
        ends = [value(end, out=after) for end in before.split(" to ")]
        same = [n for n in range(least, 2 * size + 40) if shape((n,), layers)[-1].output == (after,)]
        assert same == list(range(max(least, math.ceil(ends[0])), math.floor(ends[-1]) + 1))


def test_control_a_wrong_formula_is_detected():
    after = nn.ConvTranspose1d(1, 1, 4, 2, 1)(torch.zeros(1, 1, 9)).shape[-1]
    assert value("2*size", size=9) == after != value("2*size-1", size=9)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ((), ["out = (in-1)*s - 2*p + d*(k-1) + op + 1"]),
        (("-s", "2", "-p", "1"), ["out = (in-1)*2 - 2*1 + d*(k-1) + op + 1"]),
        (("--conv",), ["out = floor((in + 2*p - d*(k-1) - 1)/s) + 1"]),
        (("-k", "4", "-s", "2", "-p", "1", "--terse"), ["out = 2*in"]),
        (("--conv", "-k", "3", "-s", "2", "-p", "1", "--terse"), ["out = floor((in-1)/2)+1"]),
        (("9x9", "-k", "4,3", "-s", "2", "-p", "1", "--terse"), ["height: out = 2*in", "width: out = 2*in-1"]),
        (("Conv2d(3, 8, 3)", "ConvTranspose2d(8, 3, 3)", "--terse"), ["out = in"]),
        (("3x9x9", "AdaptiveAvgPool2d(7)", "Upsample(scale_factor=1.1)", "--terse"), ["out = 7"]),
        (("3x8x8", "Conv2d(3, 8, 3)", "Flatten()", "--terse"), ["out = in-2"]),
    ],
)
def test_formulas_in_letters(arguments, lines, printed):
    assert printed(*arguments, "--formula").splitlines() == lines


def test_the_formulas_of_a_layer_are_general_filled_in_and_inverse(printed):
    lines = printed("50", "--formula", "--conv", "-k", "3", "-s", "2", "-p", "1").splitlines()
    assert lines[0] == "50 -> 25"
    assert "out = floor((in + 2*p - d*(k-1) - 1)/s) + 1" in lines
    assert re.search(r"^Conv1d\(.*\)  3  2  1  1  -   floor\(\(in-1\)/2\)\+1$", "\n".join(lines), re.MULTILINE)
    assert lines[-3:] == ["out = floor((in-1)/2)+1", "in = 2*out-1 to 2*out", "note: for every in of 1 or more"]
    document = json.loads(printed("50", "--formula", "-k", "4", "-s", "2", "-p", "1", "--json"))["formula"]
    assert (document["out"], document["in"]) == (["2*in"], ["out/2"])
    assert document["layers"][0]["letters"] == {"k": "4", "s": "2", "p": "1", "d": "1", "op": "0"}


def test_the_formula_ends_where_numbers_are_needed(printed):
    out = printed("1x28x28", "Conv2d(1, 8, 3)", "Flatten()", "Linear(5408, 10)", "--formula")
    assert out.startswith("1x28x28 -> 10 features\n")
    assert "note: the formula ends before layer 2, Flatten, for which the size is needed in numbers" in out


# Texts


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("ConvTranspose2d(512, 256, (4, 4), stride=(2, 2), padding=(1, 1), bias=False)", "512, 256, 4, 2, 1"),
        ("ConvTranspose2d(16, 33, 3, stride=2, output_padding=1, groups=1)", "16, 33, 3, 2, 0, 1"),
        ("ConvTranspose2d(16, 32, (3, 5), dilation=2, groups=4)", "16, 32, (3, 5), groups=4, dilation=2"),
        ("Conv2d(3, 8, 3, padding='same')", "3, 8, 3, 1, 'same'"),
        ("Conv2d(3, 8, 3, padding=1, padding_mode='reflect')", "3, 8, 3, 1, 1, padding_mode='reflect'"),
        ("MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)", "2, 2"),
        ("MaxPool2d(3, padding=1)", "3, padding=1"),
        ("AvgPool2d((3, 2), ceil_mode=True)", "(3, 2), ceil_mode=True"),
    ],
)
def test_the_short_text_of_a_layer_is_that_layer_in_torch(text, short, printed):
    name = text.partition("(")[0]
    assert short_text(parse_layer(text)) == f"{name}({short})"
    layers = [eval(f"nn.{one}", {"nn": nn}) for one in (text, f"{name}({short})")]
    sizes = [tuple(layer(torch.zeros(1, layer.__dict__.get("in_channels", 3), 20, 20)).shape) for layer in layers]
    assert sizes[0] == sizes[1]
    assert f"{name}({short})" in printed("20x20", text)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("shape 50 -k 3 -s 2 -p 1 -d 2", "shape 50 --kernel-size 3 --stride 2 --padding 1 --dilation 2"),
        ("shape 50 -f 3", "shape 50 --factor 3"),
        ("solve --from 9 --to 18 -k 4,3 -s 2 -p 1 -d 1",
         "solve --from 9 --to 18 --kernel-size 4,3 --stride 2 --padding 1 --dilation 1"),
        ("checkerboard -k 3 -s 2 -p 1 -d 2", "checkerboard --kernel-size 3 --stride 2 --padding 1 --dilation 2"),
        ("kernel -f 2 -k 3", "kernel --factor 2 --kernel-size 3"),
        ("explain -s 2 -p 1 -d 2", "explain --stride 2 --padding 1 --dilation 2"),
    ],
)  # fmt: skip
def test_short_options_are_the_same_in_all_commands(short, long, capsys, monkeypatch):
    run = partial(call, capsys, monkeypatch)
    status, out, message = run(*short.split(), "--json")
    assert (status, message) == (0, "")
    assert run(*long.split(), "--json") == (0, out, "")


def test_every_command_has_the_short_options():
    short = {"kernel-size": "-k", "stride": "-s", "padding": "-p", "dilation": "-d", "factor": "-f", "output": "-o"}
    commands = get_command(app)
    found = 0
    for name in COMMANDS:
        options = [parameter.opts for parameter in commands.get_command(None, name).params]
        named = [(one, long) for one in options for long in short if f"--{long}" in one]
        assert all(short[long] in one for one, long in named), name
        found += len(named)
    assert found >= 30


def test_a_form_states_what_the_size_states():
    assert Form.of((8, 3, 9, 9), 8, 2).text(5, (7, 7)) == "8x5x7x7"
    assert Form.of((3, 9, 9), 1, 2).text(5, (7, 7)) == "5x7x7"
    assert Form.of((9, 9), 1, 2).text(5, (7, 7)) == "7x7"
    with pytest.raises(GeometryError, match="begins with batch 9; use 8"):
        with_output_size((9,), [parse_layer("ConvTranspose1d(1, 2, 3)")], (9, 2, 11), batch=8)
