"""`tconv checkerboard`: its results for settings and weights match what torch does to a flat input."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.commands import call, imported_by
from torch import nn
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import GeometryError, ImageError, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.kernels.weights.files import read_weights
from upsample_cli.tconv import checkerboard_weights
from upsample_cli.tconv.checkerboard import checkerboard, overlap_map
from upsample_cli.tconv.checkerboard_weights import CURES, cured, flat_response, gains
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.layers.convolution import TransposedConvolution
from upsample_cli.tconv.weights import write_weights

TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
AXES = st.builds(
    lambda k, s, p, op, d: LayerAxis(k, s, min(p, d * (k - 1) // 2), min(op, max(s, d) - 1), d, transposed=True),
    st.integers(1, 7), st.integers(1, 5), st.integers(0, 5), st.integers(0, 4), st.integers(1, 3),
)  # fmt: skip


def torch_response(weight, axes, size, groups=1):
    """torch's output for a flat input of 1 in every channel, (out_channels, *sizes)."""
    names = ("stride", "padding", "output_padding", "dilation")
    keywords = {name: tuple(getattr(axis, name) for axis in axes) for name in names}
    flat = torch.ones(1, len(weight), *(size,) * len(axes), dtype=torch.float64)
    return TRANSPOSED[len(axes)](flat, torch.from_numpy(weight), groups=groups, **keywords)[0].numpy()


def inside(response, axes):
    """Whole periods of the phases, far from both ends, starting at phase 0."""
    where = tuple(slice(6 * a.stride * a.dilation, 8 * a.stride * a.dilation) for a in axes)
    return response[(..., *where)]


@given(axes=st.lists(AXES, min_size=1, max_size=2))
@settings(deadline=None, max_examples=150)
def test_the_overlap_equals_torchs_result_with_taps_of_one(axes):
    axes = tuple(axes)
    ones = np.ones((1, 1, *(axis.kernel_size for axis in axes)))
    small = torch_response(ones, axes, 5)[0]
    assert np.array_equal(np.atleast_2d(small)[:60, :60], overlap_map(axes))
    large = inside(torch_response(ones, axes, 48)[0], axes)
    counts = [axis.taps_per_phase for axis in axes]
    expected = np.array(counts[0]) if len(axes) == 1 else np.outer(*counts)
    assert np.array_equal(large[tuple(slice(axis.stride) for axis in axes)], expected)
    assert (np.ptp(large) == 0) == all(axis.is_even for axis in axes)
    # The control: the phases shifted by one sample differ, unless all are equal.
    assert np.array_equal(np.roll(expected, 1, axis=0), expected) == axes[0].is_even


@given(kernel_size=st.integers(1, 40), stride=st.integers(1, 20), padding=st.integers(0, 9))
@settings(deadline=None, max_examples=200)
def test_the_overlap_is_even_if_and_only_if_stride_divides_kernel_size(kernel_size, stride, padding):
    """Only kernel_size % stride == 0 matters."""
    assert LayerAxis(kernel_size, stride, padding, transposed=True).is_even == (kernel_size % stride == 0)


def test_a_larger_stride_or_a_smaller_kernel_does_not_reduce_checkerboards():
    def levels(kernel_size, stride):
        return checkerboard(TransposedConvolution(2, kernel_size=kernel_size, stride=stride)).amplitude_levels

    assert levels(3, 4) > levels(3, 2) > 0  # a larger stride makes it worse
    assert levels(3, 2) > levels(5, 2) > 0  # so does a smaller kernel
    assert levels(4, 2) == levels(6, 3) == levels(2, 2) == 0  # stride divides kernel_size
    assert levels(3, 2) == pytest.approx(128 * ((4 / 3) ** 2 - (2 / 3) ** 2))


@given(axes=st.lists(AXES, min_size=1, max_size=3))
@settings(deadline=None, max_examples=150)
def test_cures_are_even_and_keep_every_output_size(axes):
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    layer = TransposedConvolution(len(axes), **{name: tuple(getattr(a, name) for a in axes) for name in names})
    verdict = checkerboard(layer)
    if verdict.is_even:
        assert verdict.cures == ()
    elif all(axis.dilation == 1 for axis in axes):
        assert verdict.cures
    for cure in verdict.cures:
        assert checkerboard(cure).is_even
        for size in (9, 12):
            assert cure.output_sizes((size,) * len(axes)) == layer.output_sizes((size,) * len(axes))


def random_weight(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(
    axes=st.lists(AXES, min_size=1, max_size=2), groups=st.integers(1, 2), pair=st.tuples(*[st.integers(1, 2)] * 2),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_gains_equal_torchs_and_cures_keep_flat_inputs_flat(axes, groups, pair, seed):
    axes = tuple(axes)
    weight = random_weight(seed, (pair[0] * groups, pair[1], *(axis.kernel_size for axis in axes)))
    response = torch_response(weight, axes, 48, groups)
    measured = gains(weight, axes, groups=groups)
    period = (slice(None), *(slice(axis.stride) for axis in axes))
    # float64, a few dozen terms of size about 1: far below 1e-12.
    assert np.allclose(inside(response, axes)[period], measured.per_channel, rtol=0, atol=1e-12)
    small = torch_response(weight, axes, 5, groups)[measured.worst_channel]
    found = flat_response(weight, axes, measured.worst_channel, groups=groups)
    assert np.allclose(found, np.atleast_2d(small), rtol=0, atol=1e-12)
    assume(all(0 not in axis.taps_per_phase for axis in axes))
    for cure in CURES:
        if cure == "icnr" and not all(axis.is_even for axis in axes):
            with pytest.raises(UsageError, match="use cure=sums"):
                cured(weight, axes, cure)
            continue
        flat = inside(torch_response(cured(weight, axes, cure), axes, 48, groups), axes)
        spread = np.ptp(flat.reshape(len(flat), -1), axis=1)
        assert spread.max() < 1e-12
    if measured.spreads.max() > 0.1:  # the control: without a cure, torch shows the measured spread
        flat = inside(response, axes).reshape(len(response), -1)
        assert np.ptp(flat, axis=1).max() == pytest.approx(measured.spreads.max())
        assert not measured.is_even


def test_icnr_equals_nearest_enlargement_and_a_convolution():
    """Source: Aitken et al. 2017. With equal sub-kernels: enlarge with nearest, then convolve with repeated taps."""
    axes = (LayerAxis(6, stride=3, transposed=True), LayerAxis(4, stride=2, transposed=True))
    weight = cured(random_weight(1, (2, 3, 6, 4)), axes, "icnr")
    sub = torch.from_numpy(weight[:, :, ::3, ::2].copy())
    x = torch.from_numpy(random_weight(2, (1, 2, 5, 7)))
    found = F.conv_transpose2d(x, torch.from_numpy(weight), stride=(3, 2))
    # A transposed convolution with stride 1 and the sub-kernel, and then each sample repeated.
    expected = F.conv_transpose2d(x, sub).repeat_interleave(3, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    uncured = F.conv_transpose2d(x, torch.from_numpy(random_weight(1, (2, 3, 6, 4))), stride=(3, 2))
    assert not torch.allclose(uncured, expected, rtol=0, atol=1e-3)


def test_cures_are_the_nearest_weights():
    """Applying a cure twice changes nothing, and small steps within the cured weights only lead further away."""
    axes = (LayerAxis(5, stride=2, transposed=True),)
    weight = random_weight(3, (1, 1, 5))
    best = cured(weight, axes, "sums")
    assert np.allclose(cured(best, axes, "sums"), best, rtol=0, atol=1e-14)
    distance = np.square(best - weight).sum()
    for move in ([1, 0, -1, 0, 0], [0, 1, 0, -1, 0], [1, 1, 0, 0, 0], [-1, 0, 0, -1, 0]):  # these keep the sums equal
        assert np.square(best + 0.01 * np.array(move) - weight).sum() > distance


def test_weights_are_read_from_and_written_to_every_kind_of_file(tmp_path):
    weight, bias = (torch.from_numpy(random_weight(4, shape)).float() for shape in ((4, 2, 4, 4), (2,)))
    state = {"up.weight": weight, "up.bias": bias, "head.weight": torch.ones(3, 3, 3), "steps": torch.tensor(7)}
    torch.save(state, tmp_path / "model.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    np.save(tmp_path / "up.npy", weight.numpy())
    places = [f"{tmp_path / 'model.pt'}:up.weight", f"{tmp_path / 'nested.pth'}:state_dict.up.weight", f"{tmp_path / 'up.npy'}"]  # fmt: skip  # noqa: E501
    try:
        from safetensors.torch import save_file
    except ImportError:
        pass
    else:
        half = {**state, "up.weight": weight.bfloat16()}
        save_file(half, tmp_path / "model.safetensors")
        places.append(f"{tmp_path / 'model.safetensors'}:up.weight")
    axes = (LayerAxis(4, 2, 1, transposed=True), LayerAxis(4, 2, 1, transposed=True))
    for number, place in enumerate(places):
        read = read_weights(place)
        tolerance = 0.02 if "safetensors" in place else 0  # bfloat16 has 8 significant bits
        assert np.allclose(read.weight, weight.double(), rtol=0, atol=tolerance)
        assert (read.bias is None) == place.endswith("npy")
        suffix = read.path.suffix
        write_weights(read, cured(read.weight, axes, "icnr"), tmp_path / f"cured{number}{suffix}")
        again = read_weights(f"{tmp_path / f'cured{number}{suffix}'}" + (f":{read.key}" if read.key else ""))
        assert gains(again.weight, axes).is_even
        assert not gains(read.weight, axes).is_even
        assert set(again.state) == set(read.state)
        if read.key:
            assert again.state[read.key].dtype == read.state[read.key].dtype


def as_plain(value):
    """A value with lists in place of tensors, to compare it."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: as_plain(inner) for key, inner in value.items()}
    return [as_plain(inner) for inner in value] if isinstance(value, list) else value


def test_everything_else_in_a_file_of_weights_is_kept(tmp_path):
    weight = torch.from_numpy(random_weight(6, (2, 1, 4, 4))).float()
    layer = nn.Sequential(nn.ConvTranspose2d(2, 1, 4, 2, 1))
    layer[0].weight.data = weight
    whole = {"epoch": 3, "model": layer.state_dict(), "names": ["a"], "list": [torch.ones(2)], 7: torch.zeros(1)}
    axes = (LayerAxis(4, 2, 1, transposed=True),) * 2

    def cured_copy(path, key):
        read = read_weights(f"{path}:{key}")
        write_weights(read, cured(read.weight, axes, "icnr"), path.with_name(f"cured{path.suffix}"))
        return path.with_name(f"cured{path.suffix}")

    torch.save(whole, tmp_path / "given.pt")
    again = torch.load(cured_copy(tmp_path / "given.pt", "model.0.weight"), weights_only=True)
    assert again["model"]._metadata == layer.state_dict()._metadata
    assert not torch.equal(again["model"]["0.weight"], weight)  # control: only this one is new
    again["model"]["0.weight"] = weight
    assert as_plain(again) == as_plain(whole)

    save_file({"up.weight": weight}, tmp_path / "given.safetensors", metadata={"licence": "CC BY", "format": "pt"})
    with safe_open(cured_copy(tmp_path / "given.safetensors", "up.weight"), "pt") as written:
        assert written.metadata() == {"licence": "CC BY", "format": "pt"}


class Hostile:
    def __reduce__(self):
        return (print, ("code was run",))


def test_hostile_and_damaged_files_are_one_line(tmp_path, capsys):
    torch.save({"weight": Hostile()}, tmp_path / "hostile.pt")
    np.save(tmp_path / "hostile.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array([[["a"]]]))
    np.save(tmp_path / "nan.npy", np.full((1, 1, 4), np.nan))
    np.save(tmp_path / "flat.npy", np.ones((4, 4)))
    np.save(tmp_path / "empty.npy", np.ones((0, 1, 4)))
    torch.save({"a": torch.ones(1, 1, 3), "b": torch.ones(1, 1, 3)}, tmp_path / "two.pt")
    names = ["broken.pt", "broken.npy", "broken.safetensors"]
    for name in names:
        (tmp_path / name).write_bytes(b"not at all")
    names += ["hostile.pt", "hostile.npy", "words.npy", "nan.npy", "flat.npy", "empty.npy", "two.pt", "two.pt:c",
              "missing.pt", "missing.safetensors", "model.onnx", "."]  # fmt: skip
    for name in names:
        with pytest.raises((ImageError, UsageError)) as caught:
            read_weights(f"{tmp_path}/{name}")
        assert "\n" not in str(caught.value), name
        assert caught.value.next_step, name
        assert len(str(caught.value)) < 500
    assert "code was run" not in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"two.pt:KEY with one of a, b"):
        read_weights(f"{tmp_path}/two.pt")


# The command


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "checkerboard", *arguments)


K3S2 = ("--kernel-size", "3", "--stride", "2", "--padding", "1", "--output-padding", "1")


def test_settings_are_analysed_and_cured(tconv_here):
    status, out, err = tconv_here(*K3S2)
    assert (status, err) == (0, "")
    assert "uneven: with equal taps a flat 128 becomes uneven by 170.7 levels" in out
    assert "  ConvTranspose2d(kernel_size=4, stride=2, padding=1)\n  ConvTranspose2d(kernel_size=2, stride=2)\n" in out
    assert "\n▒▒██▒▒██▒▒██▒▒██▒▒▒▒\n" in out
    status, out, _ = tconv_here("ConvTranspose2d(8, 4, 4, stride=2, padding=1)")
    assert "the overlap is even" in out
    assert "ConvTranspose2d(8, 4, kernel_size=4" in out
    assert json.loads(tconv_here(*K3S2, "--axes", "1", "--json")[1])["taps_per_phase"] == [[1, 2]]
    document = json.loads(tconv_here(*K3S2, "--json")[1])
    assert [parse_layer(cure.replace("(", "(1, 1, ")).kernel_size for cure in document["cures"]] == [4, 2]


def test_weights_are_measured_and_cured_weights_are_written(tconv_here, tmp_path):
    torch.save({"weight": torch.from_numpy(random_weight(5, (3, 2, 4, 4)))}, tmp_path / "up.pt")
    line = ("--weights", tmp_path / "up.pt", "--stride", "2", "--padding", "1")
    status, out, err = tconv_here(*line)
    assert (status, err) == (0, "")
    assert "a checkerboard: " in out
    for cure in CURES:
        path = tmp_path / f"{cure}.pt"
        assert tconv_here(*line, "--cure", cure, "-o", path)[0] == 0
        document = json.loads(tconv_here("--weights", path, "--stride", "2", "--padding", "1", "--json")[1])
        assert document["weights_even"]
        assert tconv_here(*line, "--cure", cure, "-o", path)[0] == 1  # it exists
    document = json.loads(tconv_here(*line, "--json")[1])
    assert not document["weights_even"]
    assert document["weights_amplitude_levels"] > 1


ALL_HOLD = (torch.int8, torch.int64, torch.float16, torch.float32)
HELD = {
    ".pt": (*ALL_HOLD, torch.bool, torch.bfloat16), ".safetensors": (*ALL_HOLD, torch.bfloat16),
    ".npy": (*ALL_HOLD, torch.uint8),
}  # fmt: skip


@pytest.mark.parametrize("cure", CURES)
@pytest.mark.parametrize(("suffix", "dtype"), [(suffix, dtype) for suffix, dtypes in HELD.items() for dtype in dtypes])
def test_the_reported_evenness_is_that_of_the_written_file(suffix, dtype, cure, tconv_here, tmp_path):
    """A dtype of whole numbers cannot hold cured weights, and a half rounds them: torch judges what is in the file."""
    weight = torch.from_numpy(np.random.default_rng(3).integers(-5, 6, (3, 2, 4, 4))).to(dtype)
    before, after = tmp_path / f"before{suffix}", tmp_path / f"after{suffix}"
    if suffix == ".npy":
        np.save(before, weight.numpy())
    else:
        (torch.save if suffix == ".pt" else save_file)({"weight": weight}, before)
    line = ("--weights", before, "--stride", "2", "--padding", "1", "--cure", cure, "-o", after, "--json")
    status, out, err = tconv_here(*line)
    assert (status, err) == (0, "")
    if suffix == ".npy":
        written = torch.from_numpy(np.load(after))
    else:
        written = (torch.load if suffix == ".pt" else load_file)(after)["weight"]
    assert written.dtype == (dtype if dtype.is_floating_point else torch.float32)

    def uneven(weight):
        flat = F.conv_transpose2d(torch.full((1, 3, 9, 9), 128.0).double(), weight.double(), stride=2, padding=1)
        inner = flat[0, :, 3:-3, 3:-3].flatten(1)
        return (inner.amax(1) - inner.amin(1)).max().item()

    assert json.loads(out)["cured_amplitude_levels"] == pytest.approx(uneven(written), abs=1e-9)
    assert uneven(written) < uneven(weight) / 50  # the control: the weights were uneven before


def test_no_weights_are_written_if_the_map_is_refused(tconv_here, tmp_path):
    np.save(tmp_path / "wide.npy", random_weight(0, (1, 1, 64, 64)))
    line = ("--weights", tmp_path / "wide.npy", "--stride", "32", "--cure", "icnr", "-o", tmp_path / "cured.npy")
    status, _, err = tconv_here(*line, "--picture", tmp_path / "map.png")
    assert (status, "too large to draw" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["wide.npy"]
    assert tconv_here(*line)[0] == 0  # the control: without the map they are written
    assert (tmp_path / "cured.npy").exists()


def test_an_existing_output_is_refused_before_the_weights_are_measured(tconv_here, tmp_path, monkeypatch):
    np.save(tmp_path / "up.npy", random_weight(6, (3, 2, 4, 4)))
    (tmp_path / "cured.npy").touch()
    line = ("--weights", tmp_path / "up.npy", "--stride", "2", "--cure", "icnr", "-o", tmp_path / "cured.npy")
    monkeypatch.setattr(checkerboard_weights, "gains", None)
    assert "exists already" in tconv_here(*line)[2]
    assert "exists already" not in tconv_here(*line, "--overwrite")[2]  # the control: it goes on to measure


def test_the_heat_map_is_drawn(tconv_here, tmp_path):
    path = tmp_path / "map.png"
    assert tconv_here(*K3S2, "--picture", path)[0] == 0
    with Image.open(path) as image:
        assert (37, 99, 180) in {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), None),
        (("--stride", "2"), "no layer is described"),
        (("--kernel-size", "0"), "kernel_size 0 is too small"),
        (("--kernel-size", "3", "--stride", "0"), "stride 0 is too small"),
        (("--kernel-size", "3", "--output-padding", "1"), "output_padding 1 must be smaller"),
        (("--kernel-size", "3", "--stride", "9" * 30), "a setting above 256"),
        (("--kernel-size", "3,3,3"), "kernel_size has 3 numbers for 2 axes"),
        (("--kernel-size", "3", "--axes", "4"), "there is no ConvTranspose4d"),
        (("Conv2d(1, 1, 3)",), "is not a transposed convolution"),
        (("ConvTranspose2d(1, 1, 3, padding='same')",), "height: padding 'same' is not a whole number; use 0 or more"),
        (("ConvTranspose2d(1, 1, k)",), "kernel_size is not a whole number; write it in digits"),
        (("ConvTranspose2d(1, 1, 3, padding_mode='reflect')",), "has no padding_mode 'reflect'"),
        (("ConvTranspose2d(1, 1, 3)", "--stride", "2"), "a layer and --stride cannot be combined"),
        (("ConvTranspose2d(1, 1, 3)", "--axes", "1"), "--axes 1 for ConvTranspose2d"),
        (("__import__('os').system('x')",), "is unknown"),
        (("--kernel-size", "3", "--cure", "icnr"), "--cure, --output and --groups are for weights"),
        (("--weights", "x.zip", "--stride", "2"), "no weights end in '.zip'"),
        (("--kernel-size", "3", "--picture", "x.jpg"), "x.jpg: the image is a PNG"),
    ],
)
def test_invalid_arguments_exit_with_2_and_one_line(arguments, message, tconv_here):
    status, out, err = tconv_here(*arguments)
    assert status == 2
    if message is not None:  # without arguments typer prints the help
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


def test_settings_that_do_not_match_the_weights_are_refused(tconv_here, tmp_path):
    np.save(tmp_path / "up.npy", random_weight(6, (3, 2, 4, 4)))
    for arguments, message in (
        (("--kernel-size", "3"), "the layer has kernel_size (3, 3), the weights (4, 4)"),
        (("--groups", "2"), "3 in_channels are not divisible by groups 2"),
        (("--cure", "nonsense", "-o", "x.npy"), "there is no cure 'nonsense'; add --cure icnr or sums"),
        (("--cure", "icnr"), "no file is named for the cured weights"),
        (("--cure", "icnr", "-o", "x.pt"), "the weights were read from a .npy file"),
        (("--stride", "3", "--cure", "icnr", "-o", "x.npy"), "use --cure sums"),
        (("--stride", "5", "--cure", "sums", "-o", "x.npy"), "some phases have no tap"),
        (("ConvTranspose2d(2, 3, 4)",), "the layer takes 2 channels to 3 with groups=1; the weights have the shape"),
        (("ConvTranspose2d(3, 2, 4)", "--groups", "3"), "the layer has groups=1, not 3; leave groups out"),
        (
            ("ConvTranspose2d(3, 2, 3)",),
            "the layer has kernel_size (3, 3), the weights (4, 4); write kernel_size=(4, 4)",
        ),
        (("--axes", "1"), "--axes 1 for ConvTranspose2d"),
    ):
        status, out, err = tconv_here("--weights", tmp_path / "up.npy", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), arguments
        assert message in err
    with pytest.raises(GeometryError):
        gains(random_weight(6, (3, 2, 4)), (LayerAxis(4, transposed=True),), groups=0)


def test_settings_need_neither_torch_nor_numpy(tmp_path):
    assert imported_by(("checkerboard", *K3S2), ("checkerboard", *K3S2, "--json"), ("checkerboard", "-h")) == []
    np.save(tmp_path / "up.npy", random_weight(7, (1, 1, 4, 4)))
    assert imported_by(("checkerboard", "--weights", tmp_path / "up.npy", "--stride", "2")) == ["numpy"]  # the control


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"), [(4, 2, 9), (3, 2, 7), (5, 3, 30), (1, 1, 3), (2, 4, 11)]
)
def test_the_map_is_never_cropped_to_nothing(axes, kernel_size, stride, padding, tconv_here, tmp_path):
    """An input of 5 would be cropped to nothing, so a larger one is shown, as torch computes it."""
    line = ("--kernel-size", kernel_size, "--stride", stride, "--padding", padding)
    status, out, err = tconv_here(*map(str, line), "--axes", str(axes), "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    size = document["map_input"]
    layer = getattr(nn, f"ConvTranspose{axes}d")(1, 1, kernel_size, stride, padding, bias=False).requires_grad_(False)
    layer.weight.fill_(1)
    expected = layer(torch.ones(1, 1, *[size] * axes))[0, 0].numpy()
    expected = expected[len(expected) // 2] if axes == 3 else np.atleast_2d(expected)
    assert np.array_equal(document["overlap"], expected[:60, :60])
    assert expected.size
    assert size > 5
    assert f"of a {size}-sample input" in tconv_here(*map(str, line), "--axes", str(axes))[1]
    np.save(tmp_path / "w.npy", np.ones((1, 1, *[kernel_size] * axes)))
    weighed = json.loads(tconv_here(*map(str, line), "--weights", tmp_path / "w.npy", "--json")[1])
    assert np.array_equal(weighed["weights_flat_response"], expected)
    assert tconv_here(*map(str, line), "--axes", str(axes), "--picture", tmp_path / "map.png")[0] == 0


def test_no_cure_is_advised_after_a_cure(tconv_here, tmp_path):
    np.save(tmp_path / "up.npy", random_weight(6, (3, 2, 4, 4)))
    line = ("--weights", tmp_path / "up.npy", "--stride", "2", "--padding", "1")
    assert "--cure icnr or --cure sums, with -o FILE" in tconv_here(*line)[1]
    for cure in CURES:
        out = tconv_here(*line, "--cure", cure, "-o", tmp_path / f"{cure}.npy")[1]
        assert "--cure" not in out
        assert re.search(r"cured: a flat 128 becomes uneven by (0|\d(\.\d+)?e-\d+) levels", out)
        out = tconv_here("--weights", tmp_path / f"{cure}.npy", *line[2:])[1]
        assert "--cure" not in out
    document = json.loads(tconv_here(*line, "--cure", "sums", "-o", tmp_path / "again.npy", "--json")[1])
    assert document["cure"] == "sums"
    assert document["cured_amplitude_levels"] < 1e-4 < document["weights_amplitude_levels"]


def test_a_cure_that_would_be_refused_is_not_advised(tconv_here, tmp_path):
    """Phases without taps cannot be cured by weights."""
    np.save(tmp_path / "up.npy", random_weight(6, (1, 1, 2)))
    line = ("--weights", tmp_path / "up.npy", "--stride", "3")
    assert "--cure" not in tconv_here(*line)[1]
    status, _, err = tconv_here(*line, "--cure", "sums", "-o", tmp_path / "x.npy")
    assert status == 2
    assert "some phases have no tap" in err


def test_cures_leave_no_output_without_a_tap(tconv_here):
    for kernel_size, stride, dilation, extra in itertools.product(range(1, 7), range(1, 5), range(1, 4), range(3)):
        if extra >= max(stride, dilation):
            continue
        layer = parse_layer(f"ConvTranspose1d(1, 1, {kernel_size}, {stride}, 0, {extra}, dilation={dilation})")
        for cure in checkerboard(layer).cures:
            assert not any(any(axis.unreached) for axis in cure.each_axis)
            assert cure.output_sizes((9,)) == layer.output_sizes((9,))
    out = tconv_here("--kernel-size", "2", "--stride", "2", "--output-padding", "1")[1]
    assert "note: no tap reaches the last output" in out
