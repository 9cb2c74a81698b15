"""`tconv kernel` used by people and scripts."""

import contextlib
import json
import re

import numpy as np
import pytest
import torch
from support.commands import call, imported_by
from torch import nn

from upsample_cli.kernels.profiles import PROFILES, axis_kernel
from upsample_cli.tconv.interpolation import interpolation
from upsample_cli.tconv.interpolation_report import equalities


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, *arguments)


def test_taps_phase_sums_and_equivalent_modes_are_printed(tconv_here):
    status, out, err = tconv_here("kernel", "--factor", "3", "--channels", "21")
    assert (status, err) == (0, "")
    assert "ConvTranspose2d(21, 21, kernel_size=5, stride=3, padding=1, bias=False)" in out
    assert "1/3 2/3 1 2/3 1/3" in out
    assert "0.333333 0.666667 1 0.666667 0.333333" in out
    assert 'F.interpolate(x, scale_factor=3, mode="bilinear", align_corners=False)' in out
    assert "nn.ReplicationPad2d(1)" in out


def test_json_agrees_with_the_textbook(tconv_here):
    """bilinear 4x4 is the outer product of (1 3 3 1)/4 with itself: 0.0625, 0.1875, 0.5625."""
    status, out, _ = tconv_here("kernel", "-f", "2", "--json")
    document = json.loads(out)
    assert status == 0
    assert document["taps"] == [["1/4", "3/4", "3/4", "1/4"]] * 2
    a, b, c = 0.0625, 0.1875, 0.5625
    assert document["kernel"] == [a, b, b, a, b, c, c, b, b, c, c, b, a, b, b, a]
    assert document["phase_sums"] == [["1", "1"]] * 2


def test_all_files_are_checked_before_the_first_is_written(tconv_here, tmp_path):
    good, other = tmp_path / "a [b].json", tmp_path / "ü.prototxt"
    status, out, err = tconv_here("kernel", "-f", "2", "-o", good, "-o", tmp_path / "x.zip")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    status, out, err = tconv_here("kernel", "-f", "2", "--channels", "3", "--depthwise", "-o", good, "-o", other)
    assert (status, err) == (0, "")
    assert f"written: {good}\nwritten: {other}\n" in out
    status, out, err = tconv_here("kernel", "-f", "2", "-o", good)
    assert (status, out) == (1, "")
    assert err.endswith("exists already; add --overwrite to replace it\n")


def test_outputs_that_are_the_same_file_are_refused_before_the_first_is_written(tconv_here, tmp_path):
    first, second = tmp_path / "a.npy", tmp_path / "b.npy"
    second.symlink_to(first)
    for other in (first, f"{tmp_path}/../{tmp_path.name}/a.npy", second):
        status, out, err = tconv_here("kernel", "-f", "2", "--overwrite", "-o", first, "-o", other)
        assert (status, out) == (2, "")
        assert err == f"tconv: two outputs would be the same file, {other}; give each of them its own name\n"
        assert not first.exists()
    second.unlink()
    assert tconv_here("kernel", "-f", "2", "-o", first, "-o", second)[0] == 0  # control


def test_caffe_exports_are_depthwise_unless_dense_is_given(tconv_here, tmp_path):
    status, out, _ = tconv_here("kernel", "-f", "2", "--channels", "3", "-o", tmp_path / "a.prototxt")
    assert status == 0
    assert "groups=3" in out
    status, _, err = tconv_here("kernel", "-f", "2", "--channels", "3", "--dense", "-o", tmp_path / "b.prototxt")
    assert (status, err.count("\n")) == (2, 1)
    assert "groups" not in tconv_here("kernel", "-f", "2", "--channels", "3")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-f", "1.5"), "--factor 1.5 is not a whole number"),
        (
            ("-f", "2", "--kernel", "fitted"),
            "kernel 'fitted' is not an outer product of taps, so there are none to print; enlarge with it by "
            "upsample --kernel fitted, or make a file of such weights: tconv fit",
        ),
        (("-f", "0"), "factor 0 is not a whole number from 1 to 64"),
        (("-f", "2", "--axes", "5"), "there is no ConvTranspose5d; use 1, 2 or 3 axes"),
        (("-f", "2", "--kernel-size", "1"), "kernel_size 1 is smaller than factor 2"),
        (("-f", "2", "--kernel-size", "129"), "kernel_size 129 is too large"),
        (("-f", "1", "--kernel-size", "2"), "kernel_size 2 with factor 1 needs output_padding 1"),
        (("-f", "2", "--kernel-size", "3", "--kernel", "nearest"), "kernel_size is for the bilinear kernel"),
        (("-f", "2", "--kernel-size", "3,4,5"), "kernel_size has 3 numbers for 2 axes"),
        (("-f", "2,3", "--axes", "3"), "factor has 2 numbers for 3 axes"),
        (("-f", "2", "--kernel", "[red]"), "there is no kernel named '[red]'"),
        (("-f", "64", "--channels", "999999999"), "takes"),
    ],
)
def test_invalid_arguments_exit_with_2_and_one_line(arguments, message, tconv_here):
    status, out, err = tconv_here("kernel", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("tconv: ")
    assert err.count("\n") == 1


def test_printing_and_text_exports_import_neither_torch_nor_numpy(tmp_path):
    lines = [("kernel", "-f", "3"), ("kernel", "-f", "2", "--json"), ("kernel", "-h")]
    lines += [("kernel", "-f", "2", "-o", tmp_path / f"layer.{suffix}") for suffix in ("json", "prototxt", "py")]
    assert imported_by(*lines) == []
    # The control: an array needs numpy, a state_dict needs torch, and the same check detects both.
    assert imported_by(("kernel", "-f", "2", "-o", tmp_path / "layer.npy")) == ["numpy"]
    assert "torch" in imported_by(("kernel", "-f", "2", "-o", tmp_path / "layer.pt"))


@pytest.mark.parametrize("name", ["bicubic", "bicubic-0.75", "mitchell", "lanczos3", "bspline", "gaussian"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_every_profile_is_printed_and_exported(name, factor, tconv_here, tmp_path):
    paths = [tmp_path / f"{name}{factor}.{suffix}" for suffix in ("npy", "py", "json")]
    status, out, err = tconv_here(
        "kernel", "-f", factor, "--kernel", name, *(x for path in paths for x in ("-o", path))
    )
    assert (status, err) == (0, "")
    assert "every phase sums to 1" in out
    assert ('mode="bicubic"' in out) == (name == "bicubic-0.75" or (name == "bicubic" and factor > 1))
    taps = np.array(axis_kernel(name, factor).taps, dtype=float)
    np.testing.assert_allclose(np.load(paths[0])[0, 0], np.outer(taps, taps), rtol=2**-23, atol=0)
    there = {}
    exec(compile(paths[1].read_text(), str(paths[1]), "exec"), there)
    np.testing.assert_allclose(there["layer"].weight[0, 0].detach(), np.outer(taps, taps), rtol=2**-22, atol=1e-9)
    status, _, err = tconv_here("kernel", "-f", factor, "--kernel", name, "-o", tmp_path / "layer.prototxt")
    assert (status, err.split("; ")[1]) == (2, "write .onnx, .json or .py\n")


def test_padding_and_cropping_give_torchs_bicubic_everywhere(tconv_here):
    _, out, _ = tconv_here("kernel", "-f", "3", "--kernel", "bicubic-0.75")
    pad, padding = re.search(r"nn\.ReplicationPad2d\((\d+)\) before it and padding=(\d+) instead", out).groups()
    taps = torch.tensor([float(tap) for tap in axis_kernel("bicubic-0.75", 3).taps], dtype=torch.float64)
    image = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    padded = nn.functional.pad(image, (int(pad),) * 4, mode="replicate")
    found = nn.functional.conv_transpose2d(padded, torch.outer(taps, taps)[None, None], stride=3, padding=int(padding))
    theirs = nn.functional.interpolate(image, scale_factor=3, mode="bicubic", align_corners=False)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-13)  # thirty products of doubles below one


def modes_by_torch(image, factor):
    """The results of all modes of torch's interpolate for an image."""
    sizes = {1: ("linear",), 2: ("bilinear", "bicubic", "lanczos"), 3: ("trilinear",)}[image.ndim - 2]
    found = {}
    for mode, antialias in ((mode, antialias) for mode in sizes for antialias in (False, True)):
        with contextlib.suppress(NotImplementedError, ValueError):  # missing in this version, or without antialias
            found[mode, antialias] = nn.functional.interpolate(
                image, scale_factor=factor, mode=mode, align_corners=False, antialias=antialias
            )
    found["nearest", False] = nn.functional.interpolate(image, scale_factor=factor, mode="nearest")
    return found


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", PROFILES)
def test_stated_equalities_with_torch_modes_are_true(name, axes):
    """Every sentence is tested; if none names a mode, no mode of torch equals the kernel."""
    layer = interpolation(3, axes=axes, kernel=name)
    up = getattr(nn, f"ConvTranspose{axes}d")(1, 1, layer.weight_shape[2], 3, layer.kernels[0].padding, bias=False)
    up = up.double().requires_grad_(False)
    up.weight.copy_(torch.tensor(layer.kernel_floats, dtype=torch.float64).reshape(layer.weight_shape))
    x = torch.rand(1, 1, *[9] * axes, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    inside = (..., *[slice(9, -9)] * axes)
    modes = modes_by_torch(x, 3)
    close = {key for key, theirs in modes.items() if torch.allclose(up(x)[inside], theirs[inside], rtol=0, atol=1e-9)}
    sentence, *others = equalities(layer)
    if "F.interpolate(" not in sentence:
        assert not close
        assert ("has no such mode" in sentence) == (name in ("mitchell", "lanczos2", "bspline", "gaussian"))
        return
    key = (re.search(r'mode="([\w-]+)"', sentence)[1], "antialias=True" in sentence)
    assert key in close or key not in modes
    if "up(x) / up(torch.ones_like(x)) is the same as F.interpolate everywhere" in others and key in modes:
        assert torch.allclose(up(x) / up(torch.ones_like(x)), modes[key], rtol=0, atol=1e-9)
        assert not torch.allclose(up(x), modes[key], rtol=0, atol=1e-9)  # the control


@pytest.mark.parametrize(
    ("name", "mode"), [("bicubic", "bicubic"), ("catmull-rom", "bicubic"), ("lanczos3", "lanczos")]
)
def test_modes_with_antialias_are_named(name, mode, tconv_here):
    out = tconv_here("kernel", "-f", "2", "--kernel", name)[1]
    assert f'mode="{mode}", align_corners=False, antialias=True)' in out
    assert "no such mode" not in out
    assert "on 2 axes only" in tconv_here("kernel", "-f", "2", "--axes", "3", "--kernel", name)[1]


@pytest.mark.parametrize(("kernel_size", "factor"), [(3, 2), (4, 2), (5, 2), (7, 4), (5, 3), (4, 3), (64, 32), (2, 2)])
def test_any_size_has_the_textbooks_bilinear_taps(kernel_size, factor, tmp_path, tconv_here):
    """The weights of the tutorials of FCN, written here in their own words."""
    path = tmp_path / "up.npy"
    status, _, err = tconv_here(
        "kernel", "-f", factor, "--kernel-size", kernel_size, "--channels", "2", "-o", path, "--axes", "2"
    )
    assert (status, err) == (0, "")
    half = (kernel_size + 1) // 2
    centre = half - 1 if kernel_size % 2 == 1 else half - 0.5
    rows, columns = np.ogrid[:kernel_size, :kernel_size]
    expected = (1 - abs(rows - centre) / half) * (1 - abs(columns - centre) / half)
    weight = np.load(path)
    np.testing.assert_allclose(weight[0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(weight[1, 1], expected, rtol=1e-6)
    assert not weight[0, 1].any()
    layer = eval(f"nn.{interpolation(factor, kernel_size=kernel_size).layer}")
    assert layer(torch.zeros(1, 1, 5, 7)).shape == (1, 1, 5 * factor, 7 * factor)


def sized_layer(kernel_size, factor, axes):
    shown = interpolation(factor, axes=axes, kernel_size=kernel_size)
    layer = eval(f"nn.{shown.layer}")
    layer.weight.data = torch.tensor(shown.kernel_floats).reshape(layer.weight.shape)
    return shown, layer


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 4])
def test_an_uncentred_kernel_is_what_its_sentences_say(factor, axes):
    shown, layer = sized_layer(2 * factor - 1, factor, axes)
    moved, equal = equalities(shown)
    x = torch.rand(1, 1, *(5, 6, 4)[:axes])
    setting, call = equal.removeprefix("with ").split(" and no output_padding, everywhere: ")
    layer.padding, layer.output_padding = (int(setting.removeprefix("padding=")),) * axes, (0,) * axes
    sizes = dict(zip("dhw"[-axes:], x.shape[2:], strict=True))
    expected = eval(call, {"F": nn.functional, "x": x, **sizes})
    torch.testing.assert_close(layer(x), expected)
    assert moved.startswith("not centred: the image moves by half an output sample towards the start")
    assert f"kernel_size={2 * factor} is centred" in moved


def test_the_image_moves_by_half_an_output_sample_and_a_centred_kernel_does_not():
    """The centre of mass of a single bright sample, which half-pixel alignment puts at (i + 1/2)*s - 1/2."""

    def centre_of(kernel_size):
        _, layer = sized_layer(kernel_size, 2, 1)
        x = torch.zeros(1, 1, 9)
        x[0, 0, 4] = 1
        y = layer(x)[0, 0].detach()
        return float((y * torch.arange(18)).sum() / y.sum()) - 8.5

    assert (centre_of(3), centre_of(5), centre_of(4)) == (-0.5, -0.5, 0)


def test_phase_sums_are_judged_for_each_kernel_size(tconv_here):
    assert "every phase sums to 1" in tconv_here("kernel", "-f", "2", "--kernel-size", "3")[1]
    assert "has the same sum, but it is 3/2" in tconv_here("kernel", "-f", "2", "--kernel-size", "6")[1]
    assert "a checkerboard" in tconv_here("kernel", "-f", "3", "--kernel-size", "4")[1]


def test_the_usual_kernel_size_changes_nothing(tconv_here):
    assert tconv_here("kernel", "-f", "2", "--kernel-size", "4") == tconv_here("kernel", "-f", "2")
