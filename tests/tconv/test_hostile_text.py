"""Any text given to a `tconv` command ends in a result or one line, within a second or two of CPU time."""

import contextlib
import io
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.commands import call
from support.environment import ENVIRONMENT

from upsample_cli.errors import GeometryError, UpsampleError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.geometry.chain import Chain
from upsample_cli.tconv.checkerboard import checkerboard
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.layers.kinds import KINDS
from upsample_cli.tconv.layers.model_text import parse_model
from upsample_cli.tconv.layers.model_tree import LONGEST_MODEL
from upsample_cli.tconv.layers.symbolic import Symbolic
from upsample_cli.tconv.shape import shape
from upsample_cli.tconv.solve import solve
from upsample_cli.tconv.translate.translate import FRAMEWORKS, translate, translate_back

LONG = LONGEST_MODEL - 1000
MOST_S = 8
"""Of the processor: several times what these take, and a small part of what they took."""

MODELS = {
    "spaces in a line": f"Conv2d(3, 3, 3{' ' * LONG})",
    "spaces after a line": f"ReLU(){' ' * LONG}x",
    "spaces alone": " " * LONG,
    "spaces before a label": f"Sequential((0): ReLU(),{' ' * LONG}(1",
    "labels": "(a): " * (LONG // 5) + "ReLU()",
    "a label without an end": "(" + "a" * LONG,
    "labels without an end": "(a" * (LONG // 2),
    "an assignment without an end": "a = B" + "b" * LONG,
    "brackets": "(" * LONG,
    "square brackets": "[" * LONG,
    "signs": f"Conv2d(3, {'-' * LONG}3, 3)",
    "names": "a" + ".a" * (LONG // 2),
    "calls": "a" + "()" * (LONG // 2),
    "repetitions": "2 @ (" * 80 + "ReLU()" + ")" * 80,
    "a number of many digits": "9" * LONG,
    "a hexadecimal number of many digits": f"Conv2d(3, 0x{'f' * LONG}, 3)",
    "a word of many letters": f"Conv2d(3, 3, 3, padding_mode='{'f' * LONG}')",
    "a name of many letters": "A" * LONG + "()",
    "strides beyond all numbers": "Conv1d(1, 1, 1, 999999999999)\n" * 5000,
    "an hourglass after the other": "ConvTranspose1d(1, 1, 9, 8)\nConv1d(1, 1, 9, 7)\n" * 400,
    "shuffles": "PixelUnshuffle(9223372036854775807)\n" * 3,
    "upsampling": "Upsample(scale_factor=9e18)\n" * 5,
    "a comment": "#" * LONG,
    "convolutions": "Conv1d(1, 1, 3, stride=2, padding=1)\n" * 500,
    "many layers": "Conv1d(1, 1, 3, padding=1)\n" * 4000,
    "layers that keep the size": "ReLU()\n" * 10_000,
}


@pytest.mark.parametrize("arguments", [("n", "--json"), ("9999999",)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model_ends_quickly(name, arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(MODELS[name]))
    begun = time.process_time()
    status, printed, message = call(capsys, monkeypatch, "shape", "--file", "-", *arguments)
    assert time.process_time() - begun < MOST_S
    assert (status, message) == (0, "") if printed else (status == 2 and message.count("\n") == 1)
    assert len(message) < 6000
    if name in ("convolutions", "many layers", "layers that keep the size"):
        assert status == 0


def test_an_endless_model_is_refused_after_its_first_part():
    code = "from upsample_cli.cli.start import tconv; tconv()"
    with subprocess.Popen(["yes", "ReLU()"], stdout=subprocess.PIPE) as endless:
        command = [sys.executable, "-c", code, "shape", "9", "--file", "-"]
        ran = subprocess.run(
            command, stdin=endless.stdout, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT
        )
        endless.kill()
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "the model's text has 200001 characters" in ran.stderr


def test_a_long_table_shows_both_ends_with_a_note(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Conv1d(1, 1, 3, padding=1)\n" * 2000))
    status, printed, _ = call(capsys, monkeypatch, "shape", "9", "--file", "-")
    assert status == 0
    assert "1500 layers in the middle are left out here; --json has them" in printed
    assert "250 Conv1d" in printed
    assert "1751 Conv1d" in printed
    assert "251 Conv1d" not in printed.replace("1751 Conv1d", "")
    assert "8 000" in printed  # the parameters of all layers
    monkeypatch.setattr(sys, "stdin", io.StringIO("Conv1d(1, 1, 3, padding=1)\n" * 2000))
    status, printed, _ = call(capsys, monkeypatch, "shape", "--formula", "--file", "-")
    assert (status, printed.count("Conv1d")) == (0, 500)
    assert "\n1500 layers in the middle are left out here; --json has them\n\nout = in\n" in printed


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("Upsample(scale_factor=1e999)", "scale_factor is too large"),
        (f"Upsample(scale_factor={'9' * 400})", "scale_factor is too large"),
        (f"Conv2d(3, 0x{'f' * 1900}, 3)", "out_channels is too large"),
        (f"Conv2d(3, 3, {'9' * 1900})", "kernel_size is too large"),
        ("ConvTranspose1d(1, 1, 2, stride=3, dilation=9999999999999)", "takes too long to compute"),
        ("AdaptiveAvgPool1d(9223372036854775808)", "output_size is too large"),
    ],
)
def test_numbers_too_large_for_tensors_are_one_line(layer, message, capsys, monkeypatch):
    status, printed, line = call(capsys, monkeypatch, "shape", "n", layer)
    assert (status, printed) == (2, "")
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "1", "--to", "1000"),
        ("--from", "1000", "--to", "1", "--conv"),
        ("--from", "1", "--to", "9" * 99),
        ("--from", "1", "--to", "9", "--kernel-size", "9" * 50, "--dilation", "9" * 50),
        ("--from", "1", "--to", "9" * 30, "--stride", "9" * 30),
        ("--from", "1", "--to", "9", "--padding", ",".join(["1"] * 100_000)),
    ],
)
def test_problems_that_take_too_long_to_solve_are_one_line(arguments, capsys, monkeypatch):
    begun = time.process_time()
    status, printed, message = call(capsys, monkeypatch, "solve", *arguments)
    assert time.process_time() - begun < MOST_S
    assert (status, printed, message.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("sizes", "settings_"),
    [
        ((2, 4_000_000_001), {"stride": (4_000_000_000,), "kernel_size": (1,)}),
        ((1, 4_000_000_000), {"kernel_size": (4_000_000_000,), "stride": (1,)}),
        ((4_000_000_001, 2), {"stride": (4_000_000_000,), "kernel_size": (1,), "conv": True}),
    ],
)
def test_the_memory_of_solving_does_not_grow_with_stride_and_kernel_size(sizes, settings_):
    """It was 80 bytes for each phase and each tap."""
    tracemalloc.start()
    try:
        solved = solve(sizes[:1], sizes[1:], **settings_)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert solved.found[0].layer.output_sizes(sizes[:1]) == sizes[1:]


def test_large_sides_with_a_small_difference_are_solved():
    assert str(solve((1000, 1000), (1000, 1000)).found[0].layer) == "ConvTranspose2d(kernel_size=1)"
    assert len(solve((1,), (64,), stride=(64,)).found) > 1000


@pytest.mark.parametrize("settings_", [(256, 255, 1), (255, 256, 255), (251, 256, 3)])
def test_the_largest_settings_are_cured_quickly(settings_):
    kernel_size, stride, dilation = settings_
    begun = time.process_time()
    verdict = checkerboard(TransposedConvolution(2, kernel_size=kernel_size, stride=stride, dilation=dilation))
    assert time.process_time() - begun < 3
    assert all(cure.output_sizes((9, 9)) == verdict.layer.output_sizes((9, 9)) for cure in verdict.cures)


def test_the_map_uses_an_input_that_is_not_cropped_to_nothing(capsys, monkeypatch, in_tmp_path):
    line = ("checkerboard", "--kernel-size", "3", "--padding", "4")
    status, printed, _ = call(capsys, monkeypatch, *line)
    assert (status, "of a 11-sample input" in printed) == (0, True)
    assert call(capsys, monkeypatch, *line, "--picture", "a.png")[0] == 0
    assert call(capsys, monkeypatch, *line, "--axes", "3")[0] == 0
    assert call(capsys, monkeypatch, *line[:-1], "256", "--axes", "3")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dilation", "1000000000", "--padding", "500000000"),
        ("--input", "[" * 2000),
        ("--kernel", "[" + "9" * 4900 + "]"),
        ("--stride", "9" * 99),
    ],
)
def test_an_example_that_is_too_large_is_one_line(arguments, capsys, monkeypatch):
    status, printed, message = call(capsys, monkeypatch, "explain", *arguments)
    assert (status, printed, message.count("\n")) == (2, "", 1)


def test_a_long_argument_in_a_message_is_shortened_in_the_middle(capsys, monkeypatch):
    _, _, message = call(capsys, monkeypatch, "shape", "9" + "x" * 100_000)
    assert message.startswith("tconv: '9xxx")
    assert message.endswith("or the path of an image\n")
    assert len(message) < 6000


def receptive_field_by_taps(windows, position):
    """The inputs that an output depends on, followed tap by tap, without code from the package."""
    seen = {position}
    for window in reversed(windows):
        distances = [tap * window.dilation - window.before for tap in range(window.kernel_size)]
        if window.transposed:
            sources = {(place - distance, window.stride) for place in seen for distance in distances}
            seen = {total // stride for total, stride in sources if total % stride == 0}
        else:
            seen = {place * window.stride + distance for place in seen for distance in distances}
    return max(seen) - min(seen) + 1 if seen else 0


WINDOWS = st.builds(
    LayerAxis,
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(-2, 4),
    st.integers(-2, 3),
    st.integers(1, 3),
    st.booleans(),
)


@given(st.lists(WINDOWS, min_size=1, max_size=5))
@example([LayerAxis(3, 2, 1), LayerAxis(4, 2, 1, transposed=True), LayerAxis(3), LayerAxis(2, 2, transposed=True)])
@settings(max_examples=300)
def test_a_chain_of_windows_has_their_combined_receptive_field(windows):
    phases = 1
    for window in windows:
        phases *= window.stride if window.transposed else 1
    chain = Chain()
    for window in windows:
        chain = chain.after(window)
    # Some inputs between the first and the last may be unused, and a later window includes all of them.
    if all(window.is_dense or not window.transposed for window in windows):
        gapless = all(window.transposed or window.dilation == 1 for window in windows)
        if gapless:
            assert chain.receptive_field == max(receptive_field_by_taps(windows, place) for place in range(phases))
    moved = Fraction(0)
    for window in windows:
        moved = moved * window.scale + window.shift
    assert chain.shift == moved


@given(st.lists(WINDOWS, min_size=2, max_size=6), st.integers(0, 30), st.integers(0, 9))
@settings(max_examples=300)
def test_two_joined_windows_depend_on_the_same_inputs(windows, first, more):
    earlier, later = windows[:2]
    joined = earlier.followed_by(later)
    if joined is None:
        return
    between = later.seen(first, first + more)
    assert joined.seen(first, first + more) == earlier.seen(*between)
    wrong = replace(joined, kernel_size=joined.kernel_size + 1)
    assert wrong.reach > joined.reach  # the control: one more tap gives another window
    sizes = range(40, 60)
    assert [joined.output_size(size) for size in sizes] == [later.output_size(earlier.output_size(n)) for n in sizes]
    assert [wrong.output_size(size) for size in sizes] != [joined.output_size(size) for size in sizes]


SMALL = st.sampled_from(["0", "1", "2", "3", "4", "-1", "7"])
ODD = st.sampled_from(
    [
        *(
            "9223372036854775807",
            "9223372036854775808",
            "9" * 30,
            "1e999",
            "1.5",
            "1e-320",
            "1j",
            "True",
            "None",
            "...",
        ),
        *("'same'", "same", "'zeros'", "'bilinear'", "'\x1b[31m'"),
        *("()", "(2, 2)", "(1, 2, 3)", "[[1]]", "{}", "(1,) * 3", "*a"),
    ]
)
VALUES = st.one_of(SMALL, SMALL, ODD)


@st.composite
def constructors(draw):
    """A layer of any kind with arbitrary settings."""
    name = draw(st.sampled_from(sorted(KINDS)))
    given_ = draw(st.lists(VALUES, max_size=5))
    named = draw(st.lists(st.tuples(st.sampled_from((*KINDS[name].parameters, "more")), VALUES), max_size=3))
    return f"{name}({', '.join([*given_, *(f'{key}={value}' for key, value in named)])})"


SIZES = st.lists(st.sampled_from([1, 2, 7, 224, 2**63 - 1, 2**63, 0, Symbolic("n")]), min_size=1, max_size=3)


@given(SIZES, st.lists(constructors(), min_size=1, max_size=3))
@example([0, 0], ["AdaptiveMaxPool2d(4)"])
@example([7], ["AvgPool1d(4, 2, same)"])
@example([9], ["Conv1d(1, 1, 3, None)"])
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_layers_give_a_result_or_one_of_our_errors(sizes, texts):
    begun = time.process_time()
    with contextlib.suppress(GeometryError):
        for step in shape(sizes, [parse_layer(text) for text in texts]):
            assert all(step.formulas)
    assert time.process_time() - begun < MOST_S


THEIRS = ["Conv2DTranspose", "Conv1DTranspose", "ConvTranspose"]
NAMES = ("filters", "kernel_size", "strides", "padding", "output_padding", "dilation_rate", "use_bias")
NAMES += ("in_channels", "groups", "group", "pads", "kernel_shape")


@given(
    st.sampled_from(sorted(FRAMEWORKS)),
    st.sampled_from(THEIRS),
    st.lists(VALUES, max_size=3),
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4),
)
@example("keras", "Conv2DTranspose", ["'a'", "3"], [])
@example("paddle", "Conv2DTranspose", ["1", "1", "2"], [("output_padding", "None")])
@example("mxnet", "Conv2DTranspose", ["1", "2", "None"], [])
@example("onnx", "ConvTranspose", [], [("kernel_shape", "[3, 3]"), ("group", "'a'")])
@settings(max_examples=400)
def test_any_layer_of_another_framework_gives_a_result_or_one_of_our_errors(framework, name, values, named):
    text = f"{name}({', '.join([*values, *(f'{key}={value}' for key, value in named)])})"
    with contextlib.suppress(UpsampleError):
        restored = translate_back(text, framework)
        assert restored.text
        for target in FRAMEWORKS:
            with contextlib.suppress(UpsampleError):
                assert translate(restored.whole, target).text


@given(st.text(alphabet="()[],:=.#@ \n\tab1R29x-", max_size=300))
@settings(max_examples=300)
def test_any_text_is_a_model_or_one_of_our_errors(text):
    with contextlib.suppress(GeometryError):
        assert parse_model(text)


def test_a_channel_count_of_three_hundred_digits_is_one_line(capsys, monkeypatch):
    status, printed, line = call(capsys, monkeypatch, "kernel", "--factor", "2", "--channels", "1" + "0" * 300)
    assert (status, printed, line.count("\n")) == (2, "", 1)
    assert "there are too many channels" in line


def test_a_pipe_as_a_file_of_layers_is_refused(capsys, monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    status, _, line = call(capsys, monkeypatch, "shape", "8x8", "--file", str(tmp_path / "pipe"))
    assert (status, "is not a regular file" in line) == (1, True)
