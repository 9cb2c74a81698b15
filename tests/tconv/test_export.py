"""The exports of `tconv kernel` interpolate like F.interpolate when loaded by the libraries they are for."""

import json
import re
import runpy
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import GeometryError, OutputExistsError, UsageError
from upsample_cli.tconv.export import WRITERS, export, weight
from upsample_cli.tconv.interpolation import interpolation
from upsample_cli.tconv.layers.constructors import parse_layer

LAYERS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
SIZES = {1: (13,), 2: (7, 11), 3: (5, 3, 7)}
CASES = [(axes, factor, depthwise) for axes in LAYERS for factor in (2, 3) for depthwise in (False, True)]
CASES += [(2, (2, 5), False), (3, (2, 1, 3), True), (2, 8, True)]
# Sums of at most 8 products of numbers in 0..1, in float32 on both sides: a few units of 2**-24.
TOLERANCE = 1e-6


def pixels(axes, channels=3):
    return torch.rand(2, channels, *SIZES[axes], generator=torch.Generator().manual_seed(axes))


def interpolated(x, factor, axes):
    return F.interpolate(x, scale_factor=factor, mode=MODES[axes], align_corners=False)


def inside(y, factor, axes):
    """Without the samples that the bare layer darkens: half a factor at each end of each axis."""
    factors = factor if isinstance(factor, tuple) else (factor,) * axes
    return y[(..., *(slice(f // 2, y.shape[2 + axis] - f // 2) for axis, f in enumerate(factors)))]


def torch_layer(exported, state):
    """A torch layer with the exported settings; its weight must load strictly."""
    shown = exported.layer
    layer = LAYERS[exported.axes](
        shown.in_channels, shown.out_channels, shown.kernel_size, shown.stride, shown.padding,
        groups=shown.groups, bias=False,
    )  # fmt: skip
    layer.load_state_dict(state)
    return layer


def load_npy(path):
    return {"weight": torch.from_numpy(np.load(path))}


def load_pt(path):
    return torch.load(path, weights_only=True)


def load_safetensors(path):
    return pytest.importorskip("safetensors.torch").load_file(path)


def load_json(path):
    document = json.loads(path.read_text())
    result = torch.zeros(document["weight_shape"])
    kernel = torch.tensor(document["kernel"]).reshape(document["kernel_size"])
    for c in range(document["channels"]):
        result[c, 0 if document["kernel_stands_at"] == "weight[c, 0]" else c] = kernel
    return {"weight": result}


LOADERS = {".npy": load_npy, ".pt": load_pt, ".safetensors": load_safetensors, ".json": load_json}


@pytest.mark.parametrize("suffix", LOADERS)
@pytest.mark.parametrize(("axes", "factor", "depthwise"), CASES)
def test_a_loaded_weight_interpolates(suffix, axes, factor, depthwise, tmp_path):
    exported = interpolation(factor, axes=axes, channels=3, depthwise=depthwise)
    path = tmp_path / f"layer{suffix}"
    pytest.importorskip("safetensors") if suffix == ".safetensors" else None
    export(exported, path)
    layer = torch_layer(exported, LOADERS[suffix](path))
    x = pixels(axes)
    found, expected = (inside(y, factor, axes) for y in (layer(x), interpolated(x, factor, axes)))
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=TOLERANCE)
    # The controls: one tap off by a hundredth, and the taps shifted by one.
    for wrong in (lambda w: w + 0.01 * (w == w.amax()), lambda w: torch.roll(w, 1, dims=-1)):
        with torch.no_grad():
            layer.weight.copy_(wrong(exported_weight := torch.from_numpy(weight(exported))))
        assert not torch.allclose(inside(layer(x), factor, axes), expected, rtol=0, atol=TOLERANCE)
        assert exported_weight.shape == layer.weight.shape


@pytest.mark.parametrize(("axes", "factor", "depthwise"), CASES)
def test_the_python_snippet_builds_the_layer_and_its_comment_on_the_border_is_true(axes, factor, depthwise, tmp_path):
    exported = interpolation(factor, axes=axes, channels=3, depthwise=depthwise)
    export(exported, tmp_path / "layer.py")
    layer = runpy.run_path(str(tmp_path / "layer.py"))["layer"]
    x = pixels(axes)
    expected = interpolated(x, factor, axes)
    assert torch.allclose(inside(layer(x), factor, axes), inside(expected, factor, axes), rtol=0, atol=TOLERANCE)
    remark = re.search(r"nn\.Sequential\(.*\) with the same weight", (tmp_path / "layer.py").read_text())
    bordered = eval(remark[0].removesuffix(" with the same weight"), {"nn": nn})  # evaluates the text of the snippet
    bordered[1].load_state_dict(layer.state_dict())
    assert bordered(x).shape == expected.shape
    assert torch.allclose(bordered(x), expected, rtol=0, atol=TOLERANCE)
    # The control: the bare layer differs at the border.
    assert not torch.allclose(layer(x), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("axes", "factor", "depthwise"), CASES)
def test_the_remark_on_seamless_textures_in_the_python_snippet_is_true(axes, factor, depthwise, tmp_path):
    exported = interpolation(factor, axes=axes, channels=3, depthwise=depthwise)
    export(exported, tmp_path / "layer.py")
    text = (tmp_path / "layer.py").read_text()
    layer = runpy.run_path(str(tmp_path / "layer.py"))["layer"]
    padding = eval(re.search(r"nn\.CircularPad\dd\(\d\)", text)[0], {"nn": nn})  # evaluates the text of the snippet
    cropping = eval(re.search(r"nn\.\w*Pad\dd\(\d\), (nn\..*)\) with the same weight", text)[1], {"nn": nn})
    cropping.load_state_dict(layer.state_dict())
    x = pixels(axes)
    found = cropping(padding(x))
    copies = interpolated(x.double().tile((3,) * axes), factor, axes).float()
    for axis, length in enumerate(found.shape[2:], start=2):
        copies = copies.narrow(axis, length, length)
    assert torch.allclose(found, copies, rtol=0, atol=TOLERANCE)
    # The control: the edge repeated instead differs at the border.
    assert not torch.allclose(interpolated(x, factor, axes), copies, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("axes", "factor", "depthwise"), CASES)
def test_onnxruntime_runs_the_model(axes, factor, depthwise, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    export(interpolation(factor, axes=axes, channels=3, depthwise=depthwise), tmp_path / "layer.onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(tmp_path / "layer.onnx", options, providers=["CPUExecutionProvider"])
    x = pixels(axes)
    found = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
    expected = interpolated(x, factor, axes)
    assert found.shape == expected.shape
    assert torch.allclose(inside(found, factor, axes), inside(expected, factor, axes), rtol=0, atol=TOLERANCE)
    assert not torch.allclose(found, expected, rtol=0, atol=TOLERANCE)  # it is the bare layer, so the border differs


def caffe_bilinear_filler(kernel_size):
    """What Caffe's filler writes to each kernel. Source: the formula in Caffe's filler.hpp."""
    half = -(-kernel_size // 2)
    centre = (2 * half - 1 - half % 2) / (2 * half)
    line = np.array([1 - abs(x / half - centre) for x in range(kernel_size)])
    return np.outer(line, line)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 6, 7, 16])
def test_caffes_bilinear_filler_gives_the_same_weights(factor, tmp_path):
    exported = interpolation(factor, channels=21, depthwise=True)
    export(exported, tmp_path / "layer.prototxt")
    text = (tmp_path / "layer.prototxt").read_text()
    settings_found = {name: int(value) for name, value in re.findall(r"(\w+): (\d+)$", text, flags=re.MULTILINE)}
    kernel_size = 2 * factor - factor % 2
    assert settings_found == {
        "num_output": 21, "group": 21, "kernel_size": kernel_size, "stride": factor, "pad": factor // 2,
    }  # fmt: skip
    assert text.count("{") == text.count("}")
    filled = caffe_bilinear_filler(settings_found["kernel_size"])
    assert np.allclose(weight(exported)[20, 0], filled, rtol=0, atol=1e-6)  # float32 compared with float64
    if factor > 1:  # the control
        assert not np.allclose(weight(exported)[20, 0], np.roll(filled, 1, axis=0), rtol=0, atol=1e-6)


def test_nearest_equals_interpolate_everywhere(tmp_path):
    exported = interpolation((2, 3), channels=2, kernel="nearest")
    export(exported, tmp_path / "layer.pt")
    x = pixels(2, channels=2)
    layer = torch_layer(exported, load_pt(tmp_path / "layer.pt"))
    assert torch.equal(layer(x), F.interpolate(x, scale_factor=(2, 3), mode="nearest"))


@given(factor=st.integers(1, 64), axes=st.integers(1, 3), channels=st.integers(1, 9), depthwise=st.booleans())
@settings(deadline=None, max_examples=200)
def test_phases_sum_to_one_and_the_constructor_can_be_parsed(factor, axes, channels, depthwise):
    layer = interpolation(factor, axes=axes, channels=channels, depthwise=depthwise)
    assert all(total == 1 for sums in layer.phase_sums for total in sums)
    assert all(len(sums) == factor for sums in layer.phase_sums)
    assert parse_layer(str(layer.layer)) == layer.layer
    assert layer.layer.output_sizes((7,) * axes) == (7 * factor,) * axes


def test_kernel_2s_and_padding_half_s_is_wrong_for_odd_s():
    """For odd s: one sample too many, and half a pixel off. For even s it is right."""
    for factor in (2, 3, 4, 5):
        layer = nn.ConvTranspose1d(1, 1, 2 * factor, stride=factor, padding=factor // 2, bias=False)
        triangle = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        layer.weight.data.copy_(triangle)
        ramp = torch.arange(9.0).reshape(1, 1, 9)
        size = layer(ramp).shape[-1]
        assert size == 9 * factor + factor % 2
        shift = (layer(ramp) - interpolated(ramp, factor, 1)[..., : 9 * factor] if factor % 2 == 0 else
                 layer(ramp)[..., : 9 * factor] - interpolated(ramp, factor, 1))  # fmt: skip
        middle = shift[0, 0, 2 * factor : 7 * factor]
        # On a ramp of 1 per input sample, half an output sample is 1 / (2 * factor).
        wanted = torch.full_like(middle, -1 / (2 * factor) if factor % 2 else 0.0)
        assert torch.allclose(middle, wanted, rtol=0, atol=1e-5)
    assert interpolation(3).layer.kernel_size == 5


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_existing_file_is_not_overwritten(suffix, tmp_path):
    if suffix in (".onnx", ".safetensors"):
        pytest.importorskip(suffix[1:])
    path = tmp_path / f"layer{suffix.upper()}"
    path.write_bytes(b"precious")
    layer = interpolation(2, depthwise=True)
    with pytest.raises(OutputExistsError, match="add overwrite=True"):
        export(layer, path)
    assert path.read_bytes() == b"precious"
    export(layer, path, overwrite=True)
    assert path.read_bytes() != b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_missing_library_is_an_error_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"onnx is not installed; .*upsample-cli\[export\]"):
        export(interpolation(2), tmp_path / "layer.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interpolation(0), "factor 0"),
        (lambda: interpolation(65), "factor 65"),
        (lambda: interpolation((2, 3), axes=3), "factor has 2 numbers for 3 axes"),
        (lambda: interpolation(2, axes=4), "no ConvTranspose4d"),
        (lambda: interpolation((2, 2, 2, 2)), "no ConvTranspose4d"),
        (lambda: interpolation(2, channels=0), "channels 0 is too small"),
        (lambda: interpolation(2, kernel="cubic"), "no kernel named 'cubic'"),
        (lambda: interpolation(64, channels=1000), "65.5 GB; add depthwise=True"),
        (lambda: export(interpolation(2), "layer.zip"), "no form of export ends in '.zip'; use one of .safetensors"),
        (lambda: export(interpolation(2), "layer"), "no form of export ends in ''"),
        (lambda: export(interpolation(2, channels=3), "layer.prototxt"), "would mix the channels"),
        (lambda: export(interpolation(2, axes=3, depthwise=True), "layer.prototxt"), "2 axes of one factor"),
        (lambda: export(interpolation((2, 3), depthwise=True), "layer.prototxt"), "2 axes of one factor"),
    ],
)
def test_impossible_exports_are_one_line(make, message):
    with pytest.raises((UsageError, GeometryError)) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_uncentred_kernel_is_exported_with_its_output_padding(tmp_path):
    layer, x = interpolation(2, channels=3, depthwise=True, kernel_size=3), pixels(2)
    expected = F.conv_transpose2d(x, torch.from_numpy(weight(layer)), None, 2, 1, 1, groups=3)
    export(layer, tmp_path / "up.py")
    assert torch.equal(runpy.run_path(str(tmp_path / "up.py"))["layer"](x), expected)
    assert "F.interpolate" not in (tmp_path / "up.py").read_text()
    with pytest.raises(UsageError, match="Caffe's filler has other taps for this kernel_size"):
        export(layer, tmp_path / "up.prototxt")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    export(layer, tmp_path / "up.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "up.onnx", providers=["CPUExecutionProvider"])
    got = session.run(None, {"input": x.numpy()})[0]
    np.testing.assert_allclose(got, expected.numpy(), atol=TOLERANCE)
