"""`tconv run` on real files: images, sound of every width, arrays and stacks, and refusals."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.commands import call, imported_by
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import Loss
from upsample_cli.tconv.run import apply as applying
from upsample_cli.tconv.run.request import Request
from upsample_cli.tconv.run.run import run


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "run", *arguments)


def write_wav(path, frames, width, rate=8000):
    """frames: (length, channels) of signed integers."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        offset = 128 if width == 1 else 0
        content = b"".join((int(n) + offset).to_bytes(width, "little", signed=width > 1) for n in frames.reshape(-1))
        file.writeframes(content)


def read_wav(path, width):
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == width
        content, channels = file.readframes(file.getnframes()), file.getnchannels()
        numbers = [
            int.from_bytes(content[i : i + width], "little", signed=width > 1) - (128 if width == 1 else 0)
            for i in range(0, len(content), width)
        ]
        return np.array(numbers, dtype=np.int64).reshape(-1, channels), file.getframerate()


def doubled(frames):
    """Linear, factor 2, edges repeated, rounded half up, in integers: 1/4 and 3/4 of neighbours."""
    before = np.vstack([frames[:1], frames[:-1]])
    after = np.vstack([frames[1:], frames[-1:]])
    result = np.empty((2 * len(frames), frames.shape[1]), dtype=np.int64)
    result[::2], result[1::2] = (before + 3 * frames + 2) // 4, (3 * frames + after + 2) // 4
    return result


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sound_of_every_width_is_exact_at_twice_the_rate(width, tconv_here, tmp_path):
    least, most = -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1
    frames = np.random.default_rng(width).integers(least, most + 1, (501, 2))
    frames[100:104] = [[least, most], [most, least], [most, most], [least, least]]
    write_wav(tmp_path / "in.wav", frames, width)
    status, out, err = tconv_here(tmp_path / "in.wav", "--factor", "2", "-o", tmp_path / "out.wav", "--tile", "37")
    assert (status, err) == (0, "")
    assert "2x501 -> 2x1002" in out
    found, rate = read_wav(tmp_path / "out.wav", width)
    assert rate == 16000
    assert np.array_equal(found, doubled(frames))
    assert not np.array_equal(found, doubled(frames + 1) - 2)  # the control: one level off is detected
    assert tconv_here(tmp_path / "in.wav", "-f", "1", "-o", tmp_path / "same.wav")[0] == 0
    assert (tmp_path / "same.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()


def test_sound_is_clamped(tconv_here, tmp_path):
    write_wav(tmp_path / "in.wav", np.array([[-30000], [100], [30000]]), 2)
    np.save(tmp_path / "gain.npy", np.full((1, 1, 1), 2.0))
    line = (tmp_path / "in.wav", "--weights", tmp_path / "gain.npy", "-o", tmp_path / "out.wav")
    assert tconv_here(*line)[0] == 0
    assert read_wav(tmp_path / "out.wav", 2)[0].tolist() == [[-32768], [200], [32767]]


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("RGB", "png"), ("RGBA", "png"), ("RGB", "tif")])
def test_an_image_with_a_factor_uses_the_engine_and_bilinear_weights_give_the_same(mode, suffix, tconv_here, tmp_path):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = hostile_pixels((11, 17, channels), np.uint8)
    Image.frombytes(mode, (17, 11), pixels.tobytes()).save(tmp_path / f"in.{suffix}")
    assert tconv_here(tmp_path / f"in.{suffix}", "-f", "2", "-o", tmp_path / f"a.{suffix}")[0] == 0
    with Image.open(tmp_path / f"a.{suffix}") as image:
        found = np.array(image).reshape(22, 34, channels)
    assert_same_pixels(found, expected_pixels(pixels, 2, has_alpha=mode == "RGBA"))
    taps = np.array([0.25, 0.75, 0.75, 0.25])
    np.save(tmp_path / "up.npy", np.outer(taps, taps)[None, None])
    line = ("--weights", tmp_path / "up.npy", "--stride", "2", "--padding", "1", "--border", "replicate")
    status, _, err = tconv_here(tmp_path / f"in.{suffix}", *line, "--tile", "3", "-o", tmp_path / f"b.{suffix}")
    assert status == 0
    assert ("not premultiplied" in err) == (mode == "RGBA")
    with Image.open(tmp_path / f"b.{suffix}") as image:
        assert_same_pixels(np.array(image).reshape(22, 34, channels), expected_pixels(pixels, 2))


def test_weights_that_mix_channels_turn_colour_into_grey(tconv_here, tmp_path):
    pixels = hostile_pixels((7, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    weight = np.random.default_rng(0).uniform(0, 0.2, (3, 1, 3, 3)).astype(np.float32)
    torch.save({"up.weight": torch.from_numpy(weight), "up.bias": torch.tensor([7.0])}, tmp_path / "up.pt")
    line = (tmp_path / "in.png", "ConvTranspose2d(3, 1, 3, stride=2, padding=1)", "--weights", tmp_path / "up.pt")
    status, _, err = tconv_here(*line, "-o", tmp_path / "out.png")
    assert (status, err) == (0, "")
    x = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float64))[None]
    bias = torch.tensor([7.0], dtype=torch.float64)
    expected = F.conv_transpose2d(x, torch.from_numpy(weight).double(), bias, stride=2, padding=1)[0, 0].numpy()
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.array(image), np.floor(expected + 0.5).clip(0, 255))


def test_arrays_with_and_without_channels(tconv_here, tmp_path):
    generator = np.random.default_rng(0)
    for shape, axes, result in (
        ((9,), None, (18,)), ((2, 9), 1, (2, 18)), ((5, 9), None, (10, 18)), ((3, 4, 5), 2, (3, 8, 10)),
        ((3, 4, 5), None, (6, 8, 10)), ((2, 3, 4, 5), 3, (2, 6, 8, 10)), ((2, 3, 4, 5), None, (2, 6, 8, 10)),
    ):  # fmt: skip
        for dtype in ("float32", "int16", ">u2", "float64"):
            np.save(tmp_path / "in.npy", (generator.random(shape) * 1000).astype(dtype))
            option = () if axes is None else ("--axes", str(axes))
            line = (tmp_path / "in.npy", "-f", "2", *option, "-o", tmp_path / "out.npy", "--overwrite")
            assert tconv_here(*line)[0] == 0
            out = np.load(tmp_path / "out.npy")
            assert (out.shape, out.dtype) == (result, np.dtype(dtype).newbyteorder("="))


def test_a_stack_of_pages_is_a_volume(tconv_here, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    volume = np.random.default_rng(0).integers(0, 65536, (4, 5, 7), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", volume, photometric="minisblack")
    status, out, err = tconv_here(tmp_path / "in.tif", "-f", "2", "-o", tmp_path / "out.tif", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["layer"] == "ConvTranspose3d(kernel_size=4, stride=2, padding=1)"
    assert document["output_shape"] == [1, 8, 10, 14]
    exact = F.interpolate(torch.from_numpy(volume.astype(np.float64))[None, None], scale_factor=2, mode="trilinear")
    # Sixty-fourths are exact in float64, so the floor is the exact value rounded half up.
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), np.floor(exact[0, 0].numpy() + 0.5))


WRAPPED = [("-f", "2"), ("-f", "3"), ("--kernel-size", "7", "--stride", "3", "--padding", "1", "--output-padding", "2")]


@pytest.mark.parametrize("layer", WRAPPED)
@pytest.mark.parametrize("shape", [(1,), (23,), (9, 1), (4, 7), (1, 4, 5), (3, 4, 5)])
def test_a_signal_that_wraps_is_the_centre_of_its_copies(shape, layer, tconv_here, tmp_path):
    """With one, two and three axes, and any tile. The control: the border of the layer differs."""
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, shape).astype(np.int16)
    np.save(tmp_path / "in.npy", samples)
    np.save(tmp_path / "copies.npy", np.tile(samples, (9,) * len(shape)))
    common = (*layer, "--overwrite", "-o", tmp_path / "out.npy")
    assert tconv_here(tmp_path / "copies.npy", *common)[0] == 0
    copies, stride = np.load(tmp_path / "out.npy"), int(layer[1] if layer[0] == "-f" else layer[3])
    for tile in ((), ("--tile", "1"), ("--tile", "3")):
        status, out, _ = tconv_here(tmp_path / "in.npy", *common, *tile, "--border", "wrap")
        assert (status, ", border wrap" in out) == (0, True)
        found = np.load(tmp_path / "out.npy")
        starts = [4 * length * stride for length in shape]
        box = tuple(slice(start, start + length) for start, length in zip(starts, found.shape, strict=True))
        assert np.array_equal(found, copies[box])
    assert tconv_here(tmp_path / "in.npy", *common, "--border", "zeros")[0] == 0
    assert not np.array_equal(np.load(tmp_path / "out.npy"), found)


def test_sound_that_loops_and_volumes_that_repeat(tconv_here, tmp_path):
    frames = np.random.default_rng(0).integers(-(2**15), 2**15, (50, 2))
    write_wav(tmp_path / "in.wav", frames, 2)
    assert tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.wav", "--border", "wrap")[0] == 0
    assert np.array_equal(read_wav(tmp_path / "out.wav", 2)[0], doubled(np.tile(frames, (3, 1)))[100:200])
    tifffile = pytest.importorskip("tifffile")
    volume = np.random.default_rng(0).integers(0, 65536, (4, 5, 7), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", volume, photometric="minisblack")
    assert tconv_here(tmp_path / "in.tif", "-f", "2", "-o", tmp_path / "out.tif", "--border", "wrap")[0] == 0
    copies = torch.from_numpy(np.tile(volume, (3, 3, 3)).astype(np.float64))[None, None]
    exact = F.interpolate(copies, scale_factor=2, mode="trilinear")[0, 0, 8:16, 10:20, 14:28].numpy()
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), np.floor(exact + 0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in.npy", "-o", "out.npy"), "no layer is described"),
        (("in.npy", "-f", "2", "--stride", "2", "-o", "out.npy"), "--factor is a layer of its own"),
        (("in.npy", "-f", "0", "-o", "out.npy"), "factor 0 is too small"),
        (("in.npy", "-f", "2", "-o", "out.png"), "this input is not written as '.png'; use .npy"),
        (("in.npy", "-f", "2", "--axes", "1", "-o", "out.npy"), "an array of shape (3, 4, 5) for 1 axes"),
        (("in.npy", "-f", "2", "--border", "mirror", "-o", "out.npy"), "there is no border 'mirror'"),
        (("in.npy", "-f", "2", "--tile", "0", "-o", "out.npy"), "a tile of 0 samples holds nothing"),
        (("in.npy", "ConvTranspose2d(1, 1, 3)", "-o", "out.npy"), "ConvTranspose2d for an input of 3 axes"),
        (("in.npy", "ConvTranspose3d(1, 1, 3, padding_mode='reflect')", "-o", "o.npy"), "has no padding_mode"),
        (("in.npy", "--kernel-size", "3", "--padding", "9", "-o", "out.npy"), "depth: nothing remains"),
        (("in.npy", "--weights", "w.npy", "-o", "out.npy"), "the weight takes 5 channels, the input has 3"),
        (("in.wav", "-f", "2", "-o", "out.mp3"), "this input is not written as '.mp3'; use .npy or .wav"),
        (("in.png", "--weights", "w.npy", "-o", "out.png"), "the weight takes 5 channels, the input has 3"),
        (("in.png", "--kernel-size", "3", "-o", "out.xyz"), "is not the extension of an image format"),
        (("in.png", "-f", "2", "--axes", "3", "-o", "out.png"), "--axes 3 for an image; an image has 2"),
        (("in.png", "-f", "2", "-o", "-"), "- is not the name of a file; give --output one"),
        (("in.png", "-f", "2", "-o", "out.xyz"), "is not the extension of an image format; use one of .jpg, "),
    ],
)
def test_invalid_arguments_exit_with_2_and_one_line(arguments, message, tconv_here, tmp_path, in_tmp_path):
    np.save("in.npy", np.ones((3, 4, 5)))
    np.save("w.npy", np.ones((5, 1, 2, 2)))
    write_wav(tmp_path / "in.wav", np.zeros((4, 1)), 2)
    Image.new("RGB", (5, 3)).save("in.png")
    before = {path.name for path in tmp_path.iterdir()}
    status, out, err = tconv_here(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ConvTranspose2d(3, 1, 2)", "--weights", "plain.npy"), "the layer has a bias, the weights have none"),
        (("ConvTranspose2d(3, 1, 2, bias=False)", "--weights", "up.pt"), "the weights have a bias, the layer has none"),
        (("ConvTranspose2d(5, 1, 2)", "--weights", "up.pt"), "the layer takes 5 channels to 1"),
        (("ConvTranspose2d(3, 2, 2)", "--weights", "up.pt"), "the layer takes 3 channels to 2"),
        (("ConvTranspose2d(6, 3, 2, groups=3)", "--weights", "up.pt"), "the layer takes 6 channels to 3 with groups=3"),
        (
            ("ConvTranspose2d(3, 1, 2)", "--weights", "up.pt", "--groups", "3"),
            "the layer has groups=1, not 3; leave groups out",
        ),
        (
            ("ConvTranspose2d(3, 1, 3)", "--weights", "up.pt"),
            "the layer has kernel_size (3, 3), the weights (2, 2); write",
        ),
        (("--kernel-size", "3", "--weights", "up.pt"), "the layer has kernel_size (3, 3), the weights (2, 2); leave"),
        (("ConvTranspose1d(3, 1, 2)", "--weights", "up.pt"), "the layer has kernel_size (2,)"),
        (("ConvTranspose2d(16, 8, 4, 2, 1)",), "works on each channel alone, and the input has 3"),
        (("ConvTranspose2d(3, 1, 4, 2, 1)",), "works on each channel alone, and the input has 3"),
        (("--kernel-size", "4", "--groups", "3"), "groups are for weights; add --weights FILE"),
        (("-f", "2", "--groups", "3"), "--factor is a layer of its own"),
    ],
)
def test_weights_and_layer_must_agree(arguments, message, tconv_here, in_tmp_path):
    Image.new("RGB", (5, 3)).save("in.png")
    np.save("plain.npy", np.ones((3, 1, 2, 2)))
    torch.save({"weight": torch.ones(3, 1, 2, 2), "bias": torch.ones(1)}, "up.pt")
    status, out, err = tconv_here("in.png", *arguments, "-o", "out.png")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("ConvTranspose2d(3, 1, 2)", "--weights", "up.pt"),
        ("--stride", "2", "--weights", "up.pt"),
        ("ConvTranspose2d(3, 1, 2, bias=False)", "--weights", "plain.npy"),
        ("ConvTranspose2d(3, 3, 2, groups=3, bias=False)", "--weights", "each.npy"),
        ("ConvTranspose2d(3, 3, 4, 2, 1)",),
        ("ConvTranspose2d(1, 1, 4, 2, 1)",),
    ],
)
def test_control_weights_and_layers_that_agree_run(arguments, tconv_here, in_tmp_path):
    Image.new("RGB", (5, 3)).save("in.png")
    np.save("plain.npy", np.ones((3, 1, 2, 2)))
    np.save("each.npy", np.ones((3, 1, 2, 2)))
    torch.save({"weight": torch.ones(3, 1, 2, 2), "bias": torch.ones(1)}, "up.pt")
    assert tconv_here("in.png", *arguments, "-o", "out.png")[0] == 0


def test_unreadable_inputs_and_existing_outputs_are_one_line_and_status_1(tconv_here, tmp_path, in_tmp_path):
    for name in ("bad.wav", "bad.npy", "bad.png", "bad.tif"):
        (tmp_path / name).write_bytes(b"RIFF nothing of the kind")
    (tmp_path / "there.npy").write_bytes(b"precious")
    np.save("in.npy", np.ones(4))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for source, target in (
        ("bad.wav", "o.wav"), ("bad.npy", "o.npy"), ("bad.png", "o.png"), ("bad.tif", "o.tif"), ("no.wav", "o.wav"),
        ("no.npy", "o.npy"), ("no.png", "o.png"), ("objects.npy", "o.npy"), ("in.npy", "there.npy"),
    ):  # fmt: skip
        status, out, err = tconv_here(source, "-f", "2", "-o", target)
        assert (status, out, err.count("\n")) == (1, "", 1), (source, err)
    assert (tmp_path / "there.npy").read_bytes() == b"precious"
    assert not list(tmp_path.glob("o.*"))


def test_help_imports_nothing_heavy(tmp_path):
    assert imported_by(("run", "-h")) == []
    np.save(tmp_path / "in.npy", np.ones(4))
    assert "torch" in imported_by(("run", tmp_path / "in.npy", "-f", "2", "-o", tmp_path / "out.npy"))  # the control


@pytest.mark.parametrize(
    "layer", [Request(factor=2), Request(settings=(("kernel_size", 3), ("stride", 2)))], ids=["engine", "layer"]
)
def test_losses_are_kept_as_objects_until_printed(layer, tmp_path):
    Image.new("RGBA", (8, 8)).save(tmp_path / "in.png")
    remarks = run(tmp_path / "in.png", tmp_path / "out.jpg", layer).remarks
    assert Loss("alpha", "JPEG cannot hold transparency; it is laid over white") in remarks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("there.npy",), "there.npy: exists already; add --overwrite to replace it"),
        (("no/out.npy",), "its folder does not exist"),
        (("there.npy", "--overwrite"), None),
        (("out.npy",), None),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_layer_runs(
    arguments, message, tconv_here, in_tmp_path, monkeypatch
):
    """A signal of 600x600 samples took 48 s and was then refused. None in place of the layer would be an error."""
    np.save("in.npy", np.ones((4, 5)))
    Path("there.npy").touch()
    monkeypatch.setattr(applying, "apply", None)
    _, _, err = tconv_here("in.npy", "--factor", "2", "-o", *arguments)
    assert (message or "unexpected TypeError") in err


@pytest.mark.parametrize(
    ("name", "weights", "output", "message"),
    [
        ("image.png", (1, 2), "out.png", "an image of 2 channels cannot be written"),
        ("image.png", (1, 1), "out.webp", "16383"),
        ("volume.tif", (1, 2), "out.tif", "a TIFF stack of 2 channels is not written"),
        ("sound.wav", (1, 1), "out.wav", "the result is too much for a WAV file"),
        ("image.png", (1, 1), "out.png", None),
        ("sound.wav", (1, 1), "out.npy", None),
    ],
)
def test_a_result_that_the_format_cannot_hold_is_refused_before_the_layer_runs(
    name, weights, output, message, tconv_here, in_tmp_path, monkeypatch
):
    Image.fromarray(np.ones((4, 500), np.uint8)).save("image.png")
    tifffile.imwrite("volume.tif", np.ones((3, 4, 500), np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    write_wav(Path("sound.wav"), np.ones((50, 1), int), 2, rate=2**31 - 1)
    axes = {"image.png": 2, "volume.tif": 3, "sound.wav": 1}[name]
    np.save("w.npy", np.ones((*weights, *(1,) * (axes - 1), 33)))
    monkeypatch.setattr(applying, "apply", None)
    stride = "1,1,33"[-(2 * axes) :].lstrip(",") if axes > 1 else "33"
    _, _, err = tconv_here(name, "--weights", "w.npy", "--stride", stride, "-o", output)
    assert (message or "unexpected TypeError") in err
