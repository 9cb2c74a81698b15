"""The printed decoder, run by torch on the output of torch's encoder, restores the size of the encoder's input."""

import itertools
import json
import sys
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from tconv.onnx_models import UNet, export
from torch import nn

from upsample_cli.cli import tconv
from upsample_cli.errors import GeometryError
from upsample_cli.tconv.given_back import sizes_given_back
from upsample_cli.tconv.invert import code, invert, padding_multiple, same_settings_reverse
from upsample_cli.tconv.layers.constructors import parse_layer


def run_code(lines, tensor):
    """Run the printed lines on a tensor."""
    names = {"nn": nn, "x": tensor, "C": tensor.shape[1]}
    exec("\n".join(lines), names)
    return names["y"]


layers = st.one_of(
    st.builds(
        "Conv2d(4, 4, {}, {}, {}, {})".format,
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
    st.builds("Conv2d(4, 4, ({}, 3), padding='same', dilation={})".format, st.integers(1, 4), st.integers(1, 2)),
    st.builds("MaxPool2d({}, {}, ceil_mode={})".format, st.integers(2, 3), st.integers(1, 3), st.booleans()),
    st.sampled_from(["ReLU()", "BatchNorm2d(4)", "PixelUnshuffle(1)", "Conv2d(4, 4, 3, 2, 1, groups=2, bias=False)"]),
)


def test_the_printed_decoder_restores_the_size_in_torch():
    seen = Counter()

    @settings(deadline=None, max_examples=200, derandomize=True)
    @given(st.lists(layers, min_size=1, max_size=3), st.integers(9, 40), st.integers(9, 40))
    def compare(texts, height, width):
        try:
            inversion = invert([parse_layer(text) for text in texts], (height, width))
        except GeometryError:
            seen["refused"] += 1
            return
        with torch.no_grad():
            tensor = torch.zeros(1, 4, height, width)
            for text in texts:
                tensor = eval(f"nn.{text}", {"nn": nn})(tensor)
            assert tuple(tensor.shape[2:]) == inversion.smallest
            back = run_code(code(inversion), tensor)
        assert tuple(back.shape) == (1, 4, height, width)
        seen["inverted"] += 1

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same'")  # a message of torch, once per process
        compare()
    assert seen["inverted"] > 100


def test_every_small_convolution_that_torch_runs_is_inverted():
    """Its decoder may leave nothing without output_padding: padding 4 crops more than the input of 1 gives."""
    tight = 0
    for kernel, stride, padding, dilation, size in itertools.product(
        (1, 2, 3), (1, 3, 4), (0, 2, 4), (1, 2), (1, 2, 6)
    ):
        text = f"Conv1d(2, 3, {kernel}, {stride}, {padding}, {dilation})"
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        small = eval(f"nn.{text}", {"nn": nn})(torch.zeros(1, 2, size))
        back = run_code(code(invert([parse_layer(text)], (size,))), small)
        assert tuple(back.shape) == (1, 2, size)
        tight += (small.shape[2] - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 < 1
    assert tight > 10  # the control: such sizes are among them


def test_control_a_decoder_for_another_size_is_detected():
    encoder = nn.Conv2d(3, 16, 3, stride=2, padding=1)
    lines = code(invert([parse_layer("Conv2d(3, 16, 3, stride=2, padding=1)")], (224, 223)))
    assert tuple(run_code(lines, encoder(torch.zeros(1, 3, 224, 224))).shape[2:]) != (224, 224)


@pytest.mark.parametrize(("size", "needed"), [(16, 0), (17, 1), (18, 2)])
def test_textbook_kernel_5_stride_3_padding_2(size, needed):
    """16 is restored without it, 17 needs output_padding 1, 18 needs 2."""
    (mirrored,) = invert([parse_layer("Conv2d(10, 20, 5, padding=2, stride=3)")], (size, size)).decoder
    assert mirrored.layer.output_padding == needed
    assert (mirrored.layer.in_channels, mirrored.layer.out_channels) == (20, 10)


def test_the_same_settings_do_not_always_reverse_a_shape():
    """They do so only if (in + 2p - d(k-1) - 1) % s == 0; torch's own layers agree."""
    layer, down = parse_layer("Conv1d(1, 1, 3, 2, 1)"), nn.Conv1d(1, 1, 3, 2, 1)
    up, verdicts = nn.ConvTranspose1d(1, 1, 3, 2, 1), []
    for size in range(220, 230):
        truly = up(down(torch.zeros(1, 1, size))).shape[2] == size
        assert same_settings_reverse(layer, (size,)) == truly == ((size + 2 - 2 - 1) % 2 == 0)
        verdicts.append(truly)
    assert set(verdicts) == {True, False}


def test_one_decoder_restores_all_inputs_of_the_stated_multiple():
    chain = [parse_layer(text) for text in ("Conv2d(3, 8, 3, 2, 1)", "ReLU()", "MaxPool2d(2)", "Conv2d(8, 8, 3, 2, 1)")]
    assert padding_multiple(chain) == (8, 8)
    served = {invert(chain, (8 * count, 8 * count)).output_paddings for count in range(2, 12)}
    others = {invert(chain, (size, size)).output_paddings for size in range(16, 32)}
    assert len(served) == 1
    assert len(others) == 8
    assert padding_multiple([parse_layer("ConvTranspose2d(1, 1, 4, 2, 1)")]) is None


def test_the_inverse_of_a_transposed_convolution_is_the_convolution_with_its_settings():
    for text, size in (("ConvTranspose1d(2, 3, 3, 2, 1, 1)", 9), ("ConvTranspose1d(2, 3, 4, 3, 1, dilation=2)", 7)):
        (mirrored,) = invert([parse_layer(text)], (size,)).decoder
        up, down = eval(f"nn.{text}", {"nn": nn}), eval(f"nn.{mirrored.layer}", {"nn": nn})
        assert tuple(down(up(torch.zeros(1, 2, size))).shape) == (1, 2, size)
    with pytest.raises(GeometryError, match="use an output_padding below the stride"):
        invert([parse_layer("ConvTranspose1d(1, 1, 3, 2, 0, 3, dilation=4)")], (9,))


def call_invert(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["tconv", "invert", *arguments])
    with pytest.raises(SystemExit) as leaving:
        tconv.main()
    printed = capsys.readouterr()
    return leaving.value.code, printed.out, printed.err


def test_the_command_warns_if_one_layer_cannot_restore_all_sizes(capsys, monkeypatch):
    conv = "Conv2d(3, 16, 3, stride=2, padding=1)"
    status, out, err = call_invert(capsys, monkeypatch, conv, "--size", "224,225")
    assert (status, err) == (0, "")
    assert "no single output_padding serves all these sizes" in out
    assert "% stride == 0: 224x224 no, 225x225 yes" in out
    assert "y = up1(x, output_size=(224, 224))" in out
    assert "no single output_padding" not in call_invert(capsys, monkeypatch, conv, "--size", "224,226")[1]
    document = json.loads(call_invert(capsys, monkeypatch, conv, "--size", "224,225x224", "--json")[1])
    assert document["one_decoder_serves_all"] is False
    assert [one["decoder"][0]["output_padding"] for one in document["sizes"]] == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ReLU()", "--size", "3"), "no layer here changes a size"),
        (("Upsample(scale_factor=2)", "--size", "3"), "Upsample cannot be inverted by a transposed convolution"),
        (("Conv2d(3, 16, 3)", "--size", "2"), "the kernel spans 3"),
        (("Conv2d(3, 16, 3)", "--size", "n"), "--size n is not a size"),
        (("Conv2d(3, 16, 3)", "--size", "3,,4"), "--size 3,,4 is not a size"),
        (("Conv2d(3, 16, 3)", "--size", "3x4x5"), "has 3 axes, this layer works on 2"),
        (("os.system('true')", "--size", "3"), "the layer os.system is unknown"),
    ],
)
def test_layers_that_cannot_be_inverted_exit_with_2_and_one_line(arguments, message, capsys, monkeypatch):
    status, out, err = call_invert(capsys, monkeypatch, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_decoder_with_outputs_that_no_tap_reaches_has_a_note(capsys, monkeypatch):
    printed_text = call(capsys, monkeypatch, "invert", "MaxPool2d(2)", "--size", "225")[1]
    assert "no tap reaches the last output, so it holds the bias alone; kernel_size=3, stride=2 gives" in printed_text
    assert "no tap" not in call(capsys, monkeypatch, "invert", "MaxPool2d(2)", "--size", "224")[1]


ENCODERS = [
    ["Conv2d(3, 4, 3, 2, 1)", "ReLU()", "MaxPool2d(2)"],
    ["Conv2d(3, 4, 4, 2, 1)", "Conv2d(4, 4, 3, (1, 3))"],
    ["Conv2d(3, 4, 7, 4, 2, 2)"],
]


@pytest.mark.parametrize("texts", ENCODERS)
@pytest.mark.parametrize("size", [(32, 33), (47, 50)])
def test_one_decoder_gives_back_exactly_the_sizes_that_are_named(texts, size):
    """Torch runs the encoder and the decoder for one size on every size of an axis."""
    inversion = invert([parse_layer(text) for text in texts], size)
    fits = sizes_given_back([parse_layer(text) for text in texts], inversion)
    networks = nn.Sequential(*(eval(f"nn.{text}") for text in texts))
    decoder = nn.Sequential(*(eval(f"nn.{one.layer}") for one in inversion.decoder))
    assert not any(any(one.crop) for one in inversion.decoder)
    for place in (0, 1):
        named, back = [], []
        for one in range(20, 64):
            given = (*size[:place], one, *size[place + 1 :])
            with torch.no_grad():
                back += [one] if decoder(networks(torch.zeros(1, 3, *given))).shape[2:] == given else []
            named += [one] if fits[place].pattern.fits(one) else []
        assert named == back != []
        assert len(back) < 44


def test_the_command_names_the_sizes_and_the_padding_of_others(capsys, monkeypatch):
    printed = call(capsys, monkeypatch, "invert", "Conv2d(3, 8, 3, 2, 1)", "MaxPool2d(2)", "--size", "224,226")[1]
    assert "the decoder for 224x224 gives back its input's size: height and width fit if each is a multiple of 4: " in (
        printed
    )
    assert "for that decoder, pad 226x226 to 228x228: 1 at the top, 1 at the bottom, 1 at the left, 1 at" in printed


def test_an_onnx_file_without_branches_is_an_encoder(capsys, monkeypatch, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 5))
    path = export(encoder, tmp_path / "encoder.onnx", (1, 3, 32, 32), dynamic=False)
    document = json.loads(call(capsys, monkeypatch, "invert", str(path), "--size", "32", "--json")[1])
    texts = ["Conv2d(3, 4, 3, 2, 1)", "MaxPool2d(2)"]
    expected = json.loads(call(capsys, monkeypatch, "invert", *texts, "--size", "32", "--json")[1])
    assert [one["output_padding"] for one in document["sizes"][0]["decoder"]] == [
        one["output_padding"] for one in expected["sizes"][0]["decoder"]
    ]
    assert "left out, because no axes remain there: Flatten" in document["remarks"][0]


def test_an_onnx_file_with_branches_is_refused(capsys, monkeypatch, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = export(UNet(levels=1), tmp_path / "net.onnx", (1, 3, 16, 16))
    status, _, error = call(capsys, monkeypatch, "invert", str(path), "--size", "16")
    assert status == 2
    assert "Concat '/Concat' is on a branch; give a network without branches" in error
