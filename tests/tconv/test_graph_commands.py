"""The commands that read ONNX files: what they print, and that they need no other package."""

import json
import re

import pytest
from support.commands import call, imported_by
from tconv.onnx_models import UNet, export
from torch import nn

from upsample_cli.tconv.checkerboard import FLAT_LEVEL

pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return export(UNet(levels=2), tmp_path_factory.mktemp("unet") / "net.onnx", (1, 3, 32, 32), dynamic=False)


class Decoder(nn.Module):
    """Transposed convolutions with and without groups, one of them after a branch."""

    def __init__(self):
        super().__init__()
        self.first = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.second = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, bias=False)

    def forward(self, x):
        return self.second(nn.functional.relu(self.first(x)))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    model = Decoder()
    return model, export(model, tmp_path_factory.mktemp("decoder") / "decoder.onnx", (1, 6, 8, 8))


def test_shape_prints_the_answer_first_and_every_node(unet, capsys, monkeypatch):
    status, out, error = call(capsys, monkeypatch, "shape", unet)
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "1x3x32x32 -> 1x4x32x32"
    assert len([line for line in lines if " Conv2d(" in line]) == 5
    assert any(re.fullmatch(r"/Concat +Concat\(axis=1, 1x4x16x16 \+ 1x4x16x16\) +1x8x16x16", line) for line in lines)
    assert lines[-1].endswith("; height and width fit if each is a multiple of 4: 4, 8, 12, ...")


@pytest.mark.parametrize("arguments", [("{}",), ("32x32", "{}"), ("3x32x32", "--file", "{}"), ("1x3x32x32", "{}")])
def test_the_file_can_be_in_three_places(arguments, unet, capsys, monkeypatch):
    given = [text.format(unet) for text in arguments]
    document = json.loads(call(capsys, monkeypatch, "shape", *given, "--json")[1])
    assert document["outputs"] == {"y": [1, 4, 32, 32]}
    assert document["fits"][1] == {
        "axis": "width", "period": 4, "remainders": [0], "from": 1, "smaller": [], "smallest": 4
    }  # fmt: skip
    assert [node["operator"] for node in document["nodes"]].count("Concat") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shape", "30x32", "{}"), "pad the input to 32x32: 1 at the top, 1 at the bottom"),
        (("shape", "{}", "--stride", "2"), "--stride cannot be combined with an ONNX file"),
        (("shape", "32x32", "{}", "Conv2d(3, 4, 3)"), "an ONNX file and other layers cannot be combined"),
        (("shape", "nx32", "{}"), "'nx32' is not a size in numbers"),
        (("shape", "32", "{}"), "the input 'x' has 4 dimensions, the size 1; write 1x3x224x224, or only the axes"),
        (("shape", "5x32x32", "{}"), "it takes 3 channels, but 5 come in"),
        (("shape", "none.onnx"), "none.onnx: there is no such file; check the name"),
        (("checkerboard", "{}", "--kernel-size", "3"), "--kernel-size cannot be combined with an ONNX file"),
        (("translate", "{}", "--to", "keras", "--size", "5"), "--size cannot be combined with an ONNX file"),
        (("translate", "{}", "--from", "keras"), "an ONNX file is not of keras"),
        (("translate", "{}"), "one of --to and --from must be given"),
        (("translate", "{}", "--to", "latin"), "the framework 'latin' is unknown"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, unet, capsys, monkeypatch):
    status, out, error = call(capsys, monkeypatch, *(text.format(unet) for text in arguments))
    assert (status, out) == (2 if "no such" not in message else 1, "")
    assert message in error
    assert error.count("\n") == 1


def test_checkerboard_measures_the_weights_in_the_file(decoder, capsys, monkeypatch):
    """The flat response of torch itself is the judge."""
    import torch

    model, path = decoder
    document = json.loads(call(capsys, monkeypatch, "checkerboard", path, "--json")[1])
    assert [node["even"] for node in document["nodes"]] == [False, True]
    for node, layer in zip(document["nodes"], [model.first, model.second], strict=True):
        with torch.no_grad():
            flat = nn.functional.conv_transpose2d(
                torch.ones(1, layer.in_channels, 9, 9), layer.weight, stride=2, padding=1, groups=layer.groups
            )[0, :, 6:8, 6:8].flatten(1)
        expected = FLAT_LEVEL * (flat.amax(1) - flat.amin(1)).max().item()
        assert node["weights_amplitude_levels"] == pytest.approx(expected, rel=1e-5)
    printed = call(capsys, monkeypatch, "checkerboard", path)[1]
    assert printed.startswith("2 of 2 transposed convolutions give checkerboards\n")
    assert "the overlap is even with ConvTranspose2d(6, 4, kernel_size=4, stride=2, padding=1, groups=2)" in printed


def test_control_even_weights_are_even(capsys, monkeypatch, tmp_path):
    layer = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
    nn.init.ones_(layer.weight)
    path = export(layer, tmp_path / "layer.onnx", (1, 2, 8, 8))
    (node,) = json.loads(call(capsys, monkeypatch, "checkerboard", path, "--json")[1])["nodes"]
    assert node["weights_even"]


@pytest.mark.parametrize("framework", ["keras", "tensorflow", "paddle", "onnx", "flax"])
def test_translate_gives_what_it_gives_for_the_same_layers(framework, decoder, capsys, monkeypatch):
    model, path = decoder
    nodes = json.loads(call(capsys, monkeypatch, "translate", path, "--to", framework, "--json")[1])["nodes"]
    expected = [
        json.loads(call(capsys, monkeypatch, "translate", str(layer), "--to", framework, "--json")[1])["text"]
        for layer in (model.first, model.second)
    ]
    assert [node["text"] for node in nodes] == expected


def test_translate_to_pytorch_gives_layers_with_the_sizes_of_the_file(decoder, capsys, monkeypatch):
    import torch

    model, path = decoder
    nodes = json.loads(call(capsys, monkeypatch, "translate", path, "--from", "onnx", "--json")[1])["nodes"]
    x = torch.zeros(1, 6, 5, 7)
    for node, layer in zip(nodes, [model.first, model.second], strict=True):
        names = {"nn": nn, "x": x}
        exec("\n".join(node["text"]), names)
        x = layer(x)
        assert names["y"].shape == x.shape


def test_pads_that_differ_become_a_crop(capsys, monkeypatch, tmp_path):
    import numpy as np
    import onnx

    node = onnx.helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", strides=[2], auto_pad="SAME_UPPER")
    given, result = (onnx.helper.make_tensor_value_info(name, 1, [1, 2, size]) for name, size in (("x", 5), ("y", 10)))
    weight = onnx.numpy_helper.from_array(np.zeros((2, 3, 3), "float32"), "w")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [given], [result], [weight]))
    (tmp_path / "up.onnx").write_bytes(model.SerializeToString())
    (one,) = json.loads(call(capsys, monkeypatch, "translate", tmp_path / "up.onnx", "--from", "onnx", "--json")[1])[
        "nodes"
    ]
    assert one["text"] == ["up = nn.ConvTranspose1d(2, 3, kernel_size=3, stride=2, bias=False)", "y = up(x)[:, :, :-1]"]


def test_names_in_a_file_cannot_move_the_cursor(capsys, monkeypatch, tmp_path):
    import onnx

    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="a\x1b[2Jb\nc")
    values = [onnx.helper.make_tensor_value_info(name, 1, [1, 2, 5]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    out = call(capsys, monkeypatch, "shape", tmp_path / "net.onnx")[1]
    assert "\x1b" not in out
    assert len(out.splitlines()) == 4


def test_sizes_of_a_file_need_no_heavy_library(unet):
    assert imported_by(["shape", unet], ["translate", unet, "--to", "keras"]) == []


def test_a_node_that_joins_many_values_stays_short(capsys, monkeypatch, tmp_path):
    import onnx

    node = onnx.helper.make_node("Concat", ["x"] * 40, ["y"], name="all", axis=1)
    given, result = (onnx.helper.make_tensor_value_info(name, 1, [1, size, 5]) for name, size in (("x", 2), ("y", 80)))
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [given], [result]))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    out = call(capsys, monkeypatch, "shape", tmp_path / "net.onnx")[1]
    assert "Concat(axis=1, 1x2x5 + 1x2x5 + 1x2x5 + 37 more)  1x80x5" in out
