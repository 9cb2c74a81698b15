"""`tconv explain`: textbook cases, thousands of settings compared with torch, and detection of mismatches."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.commands import call, imported_by
from typer.testing import CliRunner

from upsample_cli.cli.tconv import app
from upsample_cli.errors import GeometryError, OutputExistsError, UpsampleError, UsageError
from upsample_cli.tconv.explain.animation import write_animation
from upsample_cli.tconv.explain.example import MOST_INPUTS, MOST_OUTPUTS, MOST_TAPS, example
from upsample_cli.tconv.explain.explain import WAYS, compare, explain
from upsample_cli.tconv.explain.forward import FORWARD_WAYS, explain_forward
from upsample_cli.tconv.explain.grids import parse_grid
from upsample_cli.tconv.explain.image import kept_cells, write_image

X = np.array([[0.0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("keywords", "output"),
    [
        # textbook cases
        ({}, [[0, 0, 1], [0, 4, 6], [4, 12, 9]]),
        ({"padding": 1}, [[4]]),
        ({"stride": 2}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]),
    ],
)
def test_every_method_gives_the_textbook_result(keywords, output):
    explanation = explain(example(X, X, **keywords))
    assert set(explanation.outputs) == set(WAYS)
    for name in WAYS:
        assert explanation.outputs[name].tolist() == [output], name
    assert explanation.largest_difference == 0


def test_the_textbook_matrix_convolves_and_its_transpose_is_the_transposed_convolution():
    """arange(9) as 3x3 with [[1,2],[3,4]] is [[27,37],[57,67]], also as a 4x9 matrix times a vector."""
    kernel = np.array([[1.0, 2], [3, 4]])
    explanation = explain(example(X, kernel))
    assert explanation.matrix.shape == (4, 9)
    assert (explanation.matrix @ np.arange(9)).tolist() == [27, 37, 57, 67]
    assert explanation.matrix[0].tolist() == [1, 2, 0, 3, 4, 0, 0, 0, 0]
    assert (explanation.matrix.T @ X.reshape(-1)).reshape(3, 3).tolist() == explanation.output[0].tolist()
    # The control: the matrix of the flipped kernel differs.
    flipped = explain(example(X, kernel[::-1, ::-1])).matrix
    assert (flipped @ np.arange(9)).tolist() != [27, 37, 57, 67]


def integer_arrays(seed, sizes, kernel_size, channels):
    generator = np.random.default_rng(seed)
    x = generator.integers(-5, 6, (channels[0], *sizes)).astype(float)
    return x, generator.integers(-5, 6, (*channels, *kernel_size)).astype(float)


@st.composite
def cases(draw):
    axes = draw(st.integers(1, 2))
    each = {
        name: tuple(draw(st.lists(st.integers(*span), min_size=axes, max_size=axes)))
        for name, span in {
            "sizes": (1, 4), "kernel_size": (1, 4), "stride": (1, 4), "padding": (0, 3), "output_padding": (0, 3),
            "dilation": (1, 3),
        }.items()
    }  # fmt: skip
    return each, (draw(st.integers(1, 2)), draw(st.integers(1, 3))), draw(st.integers(0, 99))


@given(case=cases())
@settings(deadline=None, max_examples=400)
def test_small_layers_give_torchs_values_and_refusals(case):
    each, channels, seed = case
    sizes, kernel_size = each.pop("sizes"), each.pop("kernel_size")
    x, kernel = integer_arrays(seed, sizes, kernel_size, channels)
    transposed = torch.nn.functional.conv_transpose1d if len(sizes) == 1 else torch.nn.functional.conv_transpose2d
    try:
        expected = transposed(torch.from_numpy(x)[None], torch.from_numpy(kernel), **each)[0].numpy()
    except RuntimeError:
        expected = np.zeros(0)
    if expected.size == 0:
        with pytest.raises(GeometryError):
            example(x, kernel, **each)
        return
    explanation = explain(example(x, kernel, **each))
    for name in WAYS:
        assert np.array_equal(explanation.outputs[name], expected), name  # integers: identical to the last bit
    assert np.array_equal(sum(canvas for _, _, canvas in explanation.contributions), explanation.canvas)


@st.composite
def forward_cases(draw):
    axes = draw(st.integers(1, 3))
    spans = {"sizes": (1, 4), "kernel_size": (1, 3), "stride": (1, 3), "padding": (0, 2), "dilation": (1, 2)}
    each = {name: tuple(draw(st.integers(*span)) for _ in range(axes)) for name, span in spans.items()}
    return each, (draw(st.integers(1, 2)), draw(st.integers(1, 2))), draw(st.integers(0, 99))


@given(case=forward_cases())
@settings(deadline=None, max_examples=200)
def test_small_convolutions_give_torchs_values_and_refusals(case):
    each, channels, seed = case
    sizes, kernel_size = each.pop("sizes"), each.pop("kernel_size")
    generator = np.random.default_rng(seed)
    x = generator.integers(-5, 6, (channels[0], *sizes)).astype(float)
    kernel = generator.integers(-5, 6, (channels[1], channels[0], *kernel_size)).astype(float)
    convolve = getattr(torch.nn.functional, f"conv{len(sizes)}d")
    try:
        expected = convolve(torch.from_numpy(x)[None], torch.from_numpy(kernel), **each)[0].numpy()
    except RuntimeError:
        with pytest.raises(GeometryError):
            explain_forward(x, kernel, **each, axes=len(sizes))
        return
    if max(x.size / MOST_INPUTS, kernel.size / MOST_TAPS, expected.size / MOST_OUTPUTS) > 1:
        with pytest.raises(UsageError, match="are not a small example"):
            explain_forward(x, kernel, **each, axes=len(sizes))
        return
    forward = explain_forward(x, kernel, **each, axes=len(sizes))
    assert set(forward.outputs) == set(FORWARD_WAYS)
    for name in FORWARD_WAYS:
        assert np.array_equal(forward.outputs[name], expected), name
    spans = [dilation * (taps - 1) + 1 for dilation, taps in zip(each["dilation"], kernel_size, strict=True)]
    rests = zip(sizes, each["padding"], spans, each["stride"], strict=True)
    if expected.size <= MOST_INPUTS and all((n + 2 * p - span) % step == 0 for n, p, span, step in rests):
        back = explain(example(expected, kernel, **each, axes=len(sizes)))
        assert np.array_equal(forward.matrix, back.matrix)  # so one is the transpose of the other


@pytest.mark.parametrize("channels", [(1, 1), (2, 2)])
def test_three_axes_give_torchs_values_and_are_drawn_by_depth(tmp_path, channels):
    x, kernel = integer_arrays(3, (2, 2, 2), (2, 1, 2), channels)
    explanation = explain(example(x, kernel, stride=2, padding=(1, 0, 0), axes=3))
    right = torch.nn.functional.conv_transpose3d(
        torch.from_numpy(x)[None], torch.from_numpy(kernel), stride=2, padding=(1, 0, 0)
    )
    for name in WAYS:
        assert np.array_equal(explanation.outputs[name], right[0].numpy()), name
    kept = kept_cells(explanation)
    depth = explanation.canvas.shape[1]
    assert [cells is not None for cells in kept] == [False, True, True, False] * (len(kept) // depth)
    assert depth == 4
    write_image(explanation, tmp_path / "steps.png")
    write_animation(explanation, tmp_path / "steps.gif")
    assert len(list(frames_of(tmp_path / "steps.gif"))) == 8 * channels[0] + 1


def test_the_textbook_convolution_is_printed(capsys, monkeypatch):
    arguments = ["explain", "--conv", "--input", "[[0,1,2],[3,4,5],[6,7,8]]", "--kernel", "[[1,2],[3,4]]"]
    status, output, _ = call(capsys, monkeypatch, *arguments)
    assert status == 0
    assert output.count("  27 37\n  57 67\n") == 3
    assert "  1 2 0 3 4 0 0 0 0     0\n" in output
    _, document, _ = call(capsys, monkeypatch, *arguments, "--json")
    assert json.loads(document)["output"] == [[[27, 37], [57, 67]]]
    status, _, errors = call(capsys, monkeypatch, *arguments, "--picture", "never.png")
    assert (status, errors.count("\n")) == (2, 1)
    assert "drawings show the transposed convolution" in errors
    status, _, errors = call(capsys, monkeypatch, "explain", "--conv", "--output-padding", "1")
    assert (status, errors.count("\n")) == (2, 1)


def test_a_mismatch_is_an_error():
    """The control of the command's own comparison: off by one, off by a little, and a result of another shape."""
    shown = example(X, X, stride=2)
    outputs = explain(shown).outputs
    assert compare(outputs, X, X) == 0
    for spoilt in (outputs["layer"] + 1, outputs["layer"] + 1e-9, outputs["layer"][:, :-1]):
        with pytest.raises(UpsampleError, match="the ways disagree"):
            compare(outputs | {"layer": spoilt}, X, X)
    broken = explain(example(X / 3, X / 7, stride=2))
    assert broken.largest_difference < 1e-12
    with pytest.raises(UpsampleError, match="the ways disagree"):
        compare(broken.outputs | {"matrix": broken.outputs["matrix"] + 1e-9}, X / 3, X / 7)


def test_default_channels_follow_the_help_text():
    shown = example(X, X, channels=(2, 3))
    assert shown.input.tolist() == [X.tolist(), (X + 1).tolist()]
    assert [[shown.kernel[i, o, 0, 0] for o in range(3)] for i in range(2)] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("[1]", (1,)), ("[[1, 2.5]]", (1, 2)), (" ((1,2),(-3,4e2)) ", (2, 2)), ("[[[[1]]]]", (1, 1, 1, 1))],
)
def test_arrays_are_parsed(text, shape):
    assert parse_grid(text, "--input").shape == shape


@pytest.mark.parametrize(
    "text",
    ["", "1", "[]", "[[1,2],[3]]", "[a]", "__import__('os').system('x')", "[True]", "['1']", "[1+1]",
     "[1e999]", "[nan]",
     "[" * 4000, "[" * 90 + "1" + "]" * 90, "[*[1]]", "[1" + "0" * 4900 + "]", "x" * 9999, "\0", "[[1,2],\n[3"],
)  # fmt: skip
def test_hostile_arrays_are_one_line(text):
    with pytest.raises(UsageError, match="is not an array of numbers") as caught:
        parse_grid(text, "--input")
    assert len(str(caught.value)) < 250


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "explain", *arguments)


def test_the_steps_are_printed(tconv_here):
    status, out, err = tconv_here("--stride", "2")
    assert (status, err) == (0, "")
    for words in ("(a) every", "(b) zeros", "(c) the transpose", "(d) the gradient", "(e) the torch", "agree exactly"):
        assert words in out
    assert "X[1,0] = 2" in out
    assert "\n  0 0 0 1\n  0 0 2 3\n  0 2 0 3\n  4 6 6 9\n" in out
    assert "flipped kernel" in out


def test_json_has_every_step(tconv_here):
    line = ("--input", "[1, 2, 3]", "--kernel", "[0.25, 0.75, 0.75, 0.25]", "--stride", "2", "--padding", "1")
    status, out, _ = tconv_here(*line, "--json")
    document = json.loads(out)
    assert status == 0
    assert document["output"] == [[0.75, 1.25, 1.75, 2.25, 2.75, 2.25]]
    assert document["inserted"] == [[0, 0, 1, 0, 2, 0, 3, 0, 0]]
    assert document["flipped"] == [[[0.25, 0.75, 0.75, 0.25]]]
    assert len(document["contributions"]) == 3
    assert set(document["outputs"]) == set(WAYS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--padding", "2"), "height: nothing remains: padding 2 crops 4 of 3 samples; use padding 0 to 1"),
        (("--output-padding", "1"), "height: output_padding 1 must be smaller than stride 1 or dilation 1; use 0"),
        (("--stride", "0"), "stride 0 is too small"),
        (("--stride", "x"), "--stride x is not a whole number"),
        (("--stride", "1,2,3"), "stride has 3 numbers for 2 axes"),
        (("--input", "[1, 2]", "--kernel", "[[1]]"), "an input of shape"),
        (("--kernel", "[[[[[[1]]]]]]"), "a kernel with 6 levels of brackets"),
        (("--channels", "1,2,3"), "--channels 1,2,3 are not two numbers"),
        (("--channels", "0"), "channels 0,0 are too few"),
        (("--channels", "999999,999999"), "999999 to 999999 channels are not a small example"),
        (("--input", str([[0] * 9] * 9)), "81 numbers in the input are not a small example"),
        (("--stride", "500"), "numbers in the output are not a small example; use 1024 or fewer, or tconv run"),
        (("--kernel", "[[[[1]]],[[[1]]]]"), "the input has 1 channels, the kernel takes 2"),
        (("--picture", "steps.jpg"), "steps.jpg: the image is a PNG"),
    ],
)
def test_invalid_arguments_exit_with_2_and_one_line(arguments, message, tconv_here):
    status, out, err = tconv_here(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_image_is_drawn_and_an_existing_one_is_not_overwritten(tconv_here, tmp_path):
    path = tmp_path / "steps [1].png"
    status, out, err = tconv_here("--stride", "2", "--padding", "1", "--picture", path)
    assert (status, err) == (0, "")
    assert out.endswith(f"drawn: {path}\n")
    with Image.open(path) as image:
        width, height = image.size
        colours = image.convert("RGB").getcolors(1 << 20)
    assert width > 400
    assert height > 800
    # The strongest cell of a panel has the full colour, and most of the image is background.
    assert (37, 99, 180) in {colour for _, colour in colours}
    assert max(colours)[1] == (255, 255, 255)
    before = path.read_bytes()
    status, _, err = tconv_here("--picture", path)
    assert (status, err.count("\n")) == (1, 1)
    assert path.read_bytes() == before
    assert tconv_here("--picture", path, "--overwrite")[0] == 0
    assert path.read_bytes() != before


def test_a_page_does_not_replace_the_picture_of_the_same_call(tconv_here, tmp_path):
    path = tmp_path / "steps.png"
    status, out, err = tconv_here("--picture", path, "--html", path, "--overwrite")
    assert (status, out, path.exists()) == (2, "", False)
    assert err == f"tconv: two outputs would be the same file, {path}; give each of them its own name\n"


def test_help_imports_nothing_heavy():
    assert imported_by(("explain", "-h")) == []
    assert "torch" in imported_by(("explain", "--json"))  # the control


def test_without_arguments_it_explains_the_textbook_example():
    shown = CliRunner().invoke(app, ["explain"])
    assert shown.exit_code == 0
    assert "Usage" not in shown.output
    assert CliRunner().invoke(app, ["shape"]).exit_code == 2  # a command that needs arguments says so


def frames_of(path):
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            yield np.array(image.convert("RGB")), image.info["duration"]


def test_an_animation_has_a_frame_for_each_input_and_one_for_the_output(tmp_path):
    explanation = explain(example(X, X, stride=2, padding=1))
    write_animation(explanation, tmp_path / "steps.gif")
    shown = list(frames_of(tmp_path / "steps.gif"))
    assert [duration for _, duration in shown] == [1000] * 4 + [3000]
    assert len({frame.shape for frame, _ in shown}) == 1
    assert len({frame.tobytes() for frame, _ in shown}) == 5
    with pytest.raises(OutputExistsError):
        write_animation(explanation, tmp_path / "steps.gif")


def test_an_svg_shows_one_frame_at_a_time_and_all_numbers_as_text(tmp_path):
    explanation = explain(example(X, X, stride=2, padding=1))
    write_animation(explanation, tmp_path / "steps.svg")
    root = ElementTree.parse(tmp_path / "steps.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    groups = root.findall(f"{space}g")
    assert len(groups) == 5
    sums = np.zeros((4, 4))
    for group, (_, _, canvas) in zip(groups, explanation.contributions, strict=False):
        sums += canvas[0]
        words = [text.text for text in group.findall(f"{space}text")]
        at = words.index("output, the sum so far")
        assert [float(word) for word in words[at + 1 :]] == sums.reshape(-1).tolist()
    assert visible_at(groups, space, 0.0) == [0]
    assert visible_at(groups, space, 0.5) == [3]
    assert visible_at(groups, space, 0.99) == [4]


def visible_at(groups, space, time):
    """The groups that are visible at a share of the period, by the rules of discrete animation."""
    found = []
    for number, group in enumerate(groups):
        animate = group.find(f"{space}animate")
        times = [float(word) for word in animate.get("keyTimes").split(";")]
        values = animate.get("values").split(";")
        assert times[0] == 0
        assert len(times) == len(values)
        if values[sum(start <= time for start in times) - 1] == "visible":
            found.append(number)
    return found


def test_the_frame_of_an_animation_is_the_output_that_padding_leaves(tmp_path):
    """The negative control has no padding: its frame is the whole sum."""
    for padding, wide in ((1, 2), (0, 4)):
        path = tmp_path / f"{padding}.svg"
        write_animation(explain(example(X, X, stride=2, padding=padding)), path)
        boxes = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}rect")
        assert {int(box.get("width")) // 36 for box in boxes if box.get("stroke-width") == "3"} == {1, wide}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--animate", "a.png"], "an animation is a GIF or an SVG"),
        (["--animate", "missing/a.gif"], "missing"),
        (["--animate", "a.gif", "--input", str([[1] * 8] * 8), "--kernel", str([[1] * 9] * 9)], "too many to look at"),
    ],
)
def test_an_animation_that_cannot_be_drawn_is_one_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    status, _, errors = call(capsys, monkeypatch, "explain", *arguments)
    assert status
    assert line in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())
