"""Kernels from files: a trained layer runs unchanged, and a mismatch is refused in one line."""

import json
import re
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.facts import lines
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from torch import nn

from upsample_cli import upsample, upsample_file
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.errors import ImageError, UpsampleError, UsageError
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.weights.files import read_weights

pytestmark = pytest.mark.usefixtures("in_tmp_path")

BILINEAR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16


def noise(*shape, seed=3):
    """Weights as after training: not on a grid, not flat, some of them negative."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1 + 0.2


def layer_pixels(weight, pixels, factor, *, groups):
    """A torch layer in float64 over an image padded as with replicate, rounded and clipped: none of our code."""
    size = weight.shape[-1]
    halo = size  # larger than needed
    layer = nn.ConvTranspose2d(
        pixels.shape[2], pixels.shape[2], size, stride=factor, padding=(size - factor) // 2, groups=groups, bias=False
    ).double()
    numbers = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
    with torch.no_grad():
        layer.weight.copy_(weight)
        found = layer(nn.functional.pad(numbers, (halo,) * 4, mode="replicate"))[0].permute(1, 2, 0).numpy()
    crop = slice(halo * factor, -halo * factor)
    return np.floor(found[crop, crop] + 0.5)


@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("shape", "groups"), [((1, 1, 6, 6), None), ((3, 1, 4, 4), 3), ((3, 3, 4, 4), 1), ((3, 3, 2, 2), 1)]
)
def test_a_trained_layer_runs_unchanged(shape, groups, pixel_type):
    weight = noise(*shape)
    weight = weight / weight.sum() * shape[0] * 4  # scaled to keep images visible, but not flat
    np.save("up.npy", weight.numpy())
    pixels = hostile_pixels((17, 11, 3), pixel_type)
    whole = weight if groups else weight.expand(3, 1, *shape[2:])
    expected = layer_pixels(whole, pixels, 2, groups=groups or 3).clip(0, np.iinfo(pixel_type).max)
    found = upsample(pixels, 2, kernel="up.npy")
    # Weights are on a grid finer than 2**-24 and sums are exact: no value here is within a millionth of a half.
    assert_same_pixels(found, expected.astype(pixel_type))
    for tile in (1, 2, 5):
        assert_same_pixels(upsample(pixels, 2, kernel="up.npy", tile=tile), found)
    upside_down = layer_pixels(whole.flip(2), pixels, 2, groups=groups or 3).clip(0, np.iinfo(pixel_type).max)
    with pytest.raises(AssertionError):
        assert_same_pixels(found, upside_down.astype(pixel_type))


def test_channels_are_mixed_as_in_torch():
    weight = torch.zeros(3, 3, 2, 2)
    weight[0, 2], weight[1, 0], weight[2, 1] = 1.0, 1.0, 1.0  # (in, out): red becomes blue, green red, blue green
    np.save("turn.npy", weight.numpy())
    pixels = hostile_pixels((5, 7, 3), np.uint8)
    expected = expected_pixels(pixels[..., [1, 2, 0]].copy(), 2, kernel="nearest")
    assert_same_pixels(upsample(pixels, 2, kernel="turn.npy"), expected)


def test_every_kind_of_file_gives_the_same_kernel():
    weight = noise(1, 1, 4, 4)
    np.save("a.npy", weight.numpy())
    torch.save({"weight": weight}, "a.pt")
    torch.save({"state_dict": {"net.up.weight": weight, "net.down.weight": noise(8, 4, 3, 3)}}, "a.pth")
    save_file({"up.weight": weight, "other.weight": noise(4, 4, 3, 3)}, "a.safetensors")
    places = ["a.npy", "a.pt", "a.pth:state_dict.net.up.weight", "a.safetensors:up.weight"]
    kernels = [chosen_kernel(place, 2) for place in places]
    assert [kernel.name for kernel in kernels] == places
    assert len({(kernel.weights, kernel.denominator, kernel.padding, kernel.shape) for kernel in kernels}) == 1


def test_bfloat16_is_read_with_ml_dtypes_installed():
    pytest.importorskip("ml_dtypes")
    weight = noise(1, 1, 4, 4)
    save_file({"up.weight": weight.bfloat16()}, "half.safetensors")
    half = chosen_kernel("half.safetensors", 2)
    assert np.allclose(np.array(half.weights) / half.denominator, weight.bfloat16().double().ravel(), rtol=0, atol=0)


def test_bilinear_weights_from_a_file_are_bilinear():
    np.save("mine.npy", BILINEAR[None, None].astype(np.float32))
    pixels = hostile_pixels((17, 11, 4), np.uint8)
    for has_alpha in (False, True):
        expected = expected_pixels(pixels, 2, has_alpha=has_alpha)
        assert_same_pixels(upsample(pixels, 2, kernel="mine.npy", has_alpha=has_alpha), expected)


def test_thirds_in_float32_keep_flat_images_flat():
    taps = np.float32([1, 2, 3, 2, 1]) / np.float32(3)
    np.save("thirds.npy", np.outer(taps, taps)[None, None])
    flat = np.full((5, 7, 4), 200, np.uint8)
    assert np.unique(upsample(flat, 3, kernel="thirds.npy", has_alpha=True)).tolist() == [200]


def test_a_file_that_changed_is_read_again():
    for gain in (1.0, 0.5):
        np.save("mine.npy", np.full((1, 1, 2, 2), gain))
        Image.new("L", (3, 2), 100).save("a.png")
        upsample_file("a.png", "b.png", 2, kernel="mine.npy", overwrite=True)
        assert np.unique(np.asarray(Image.open("b.png"))).tolist() == [100 * gain]


BAD = {
    "missing.npy": "kernel missing.npy: there is no such file",
    "text.npy": "kernel text.npy: is damaged, or not what its name says",
    "text.txt": "text.txt: no weights end in '.txt'; use one of .safetensors, .pt, .pth, .npy",
    "hostile.pt": "holds more than tensors, which could run code",
    "hostile.npy": "kernel hostile.npy: is damaged, or not what its name says",
    "two.pt": "there are 2 weights in it; write two.pt:KEY with one of a, b",
    "two.pt:c": "two.pt: c is not in it",
    "odd.npy": "no padding makes kernel_size 5 enlarge exactly 2 times; use a factor that is odd, or append",
    "oblong.npy": "4x6 is not square",
    "volume.npy": "is not one for an image; give one of",
    "nan.npy": "holds infinities or NaN",
    "bias.pt": "up.weight has a bias, which depends on the network's own range of pixels; remove it, or apply",
    "huge.npy": "its weights make up to 1e+06 times a pixel or more; give weights that make 1024 times at the most",
    "strong.npy": "its weights make up to 9e+03 times a pixel or more; give weights that make 1024 times at the most",
    "beyond.npy": "the weight in it holds numbers above 1e+100; give smaller ones",
    "many.npy": "kernel many.npy: 4202500 weights are too many; give 4194304 at the most",
    "gaps.npy": "a kernel_size of 1 leaves gaps at factor 2; enlarge 1 times at the most",
    "archive.npy": "kernel archive.npy: is damaged, or not what its name says",
    "folder.npy": "kernel folder.npy: cannot be read: Is a directory; check its name and its permissions",
    "folder.pt": "kernel folder.pt: cannot be read: Is a directory; check its name and its permissions",
    "folder.safetensors": "cannot be read: Is a directory; check its name and its permissions",
    "truth.npy": "truth.npy: the weight in it is of type bool; give one of real numbers",
    "odd.npy:up": "odd.npy: up is not in it; its only weight has no name: give odd.npy",
    "sparse.pt": "kernel sparse.pt: the weight up is not a plain tensor; save it dense",
    "nowhere.pt": "kernel nowhere.pt: the weight up is not a plain tensor; save it dense",
    "coarse.pt": "kernel coarse.pt: the weight up is not a plain tensor; save it dense",
    "about0.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "about1.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "about2.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "about3.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "about4.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "about5.safetensors": "its metadata 'upsample-cli' are damaged; make it again with tconv fit",
    "x" * 256: "there is no kernel named 'xxx",
    f"{'x' * 256}.npy": "cannot be read: File name too long",
    f"{'x' * 256}.npy:up": "cannot be read: File name too long",
    "nothing": "there is no kernel named 'nothing'; choose one of bilinear",
    "": "there is no kernel named ''",
}


class Hostile:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.fixture
def _bad_files(in_tmp_path):
    Path("text.npy").write_text("not at all")
    Path("text.txt").write_text("not at all")
    torch.save({"weight": Hostile()}, "hostile.pt")
    np.save("hostile.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    torch.save({"a": noise(1, 1, 4, 4), "b": noise(1, 1, 4, 4)}, "two.pt")
    np.save("odd.npy", noise(1, 1, 5, 5).numpy())
    np.save("oblong.npy", noise(1, 1, 4, 6).numpy())
    np.save("volume.npy", noise(1, 1, 4, 4, 4).numpy())
    np.save("nan.npy", np.full((1, 1, 4, 4), np.nan))
    np.save("huge.npy", np.full((1, 1, 6, 6), 1e6))
    torch.save({"up.weight": noise(1, 1, 4, 4), "up.bias": torch.ones(1)}, "bias.pt")
    np.save("strong.npy", np.full((1, 1, 6, 6), 1e3))
    np.save("beyond.npy", np.full((1, 1, 6, 6), 1e300))
    np.save("many.npy", np.zeros((1, 1, 2050, 2050), np.uint8))
    np.save("gaps.npy", np.ones((1, 1, 1, 1)))
    np.savez("archive.npz", noise(1, 1, 4, 4).numpy())
    Path("archive.npz").rename("archive.npy")
    for suffix in ("npy", "pt", "safetensors"):
        Path(f"folder.{suffix}").mkdir()
    np.save("truth.npy", np.ones((1, 1, 4, 4), bool))
    torch.save({"up": noise(1, 1, 4, 4).to_sparse()}, "sparse.pt")
    torch.save({"up": noise(1, 1, 4, 4).to("meta")}, "nowhere.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates such tensors
        torch.save({"up": torch.quantize_per_tensor(noise(1, 1, 4, 4), 0.1, 0, torch.qint8)}, "coarse.pt")
    for index, about in enumerate(
        ["{no", "[]", '{"factor": "x"}', '{"factor": null}', '{"factor": 1e999}', "[" * 100_000]
    ):
        save_file({"up": noise(1, 1, 4, 4)}, f"about{index}.safetensors", metadata={"upsample-cli": about})


@pytest.mark.usefixtures("_bad_files")
@pytest.mark.parametrize("place", BAD)
def test_unsuitable_weights_are_one_line(place, capsys):
    with pytest.raises(UsageError) as raised:
        upsample(np.zeros((3, 5, 3), np.uint8), 2, kernel=place)
    message = str(raised.value)
    assert BAD[place] in message
    assert "\n" not in message
    assert len(message) < 500
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.usefixtures("_bad_files")
@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("missing.npy", "not-found"),
        ("folder.pt", "unreadable"),
        (f"{'x' * 256}.npy", "unreadable"),
        ("hostile.pt", "unsupported"),
        ("sparse.pt", "unsupported"),
        ("nan.npy", "unsupported"),
        ("beyond.npy", "unsupported"),
        ("archive.npy", "damaged"),
        ("text.txt", "usage"),
        ("two.pt:c", "usage"),
    ],
)
def test_each_fault_of_a_weight_file_has_its_code(place, kind):
    with pytest.raises(UpsampleError) as raised:
        read_weights(place)
    assert raised.value.failure.kind == kind


def test_a_kernel_fitted_for_one_factor_refuses_only_images_with_another():
    """The factor for a size depends on the image, so the run may start."""
    save_file({"up": torch.ones(1, 1, 3, 3)}, "mine.safetensors", metadata={"upsample-cli": '{"factor": 3}'})
    for side in (20, 30):
        Image.new("L", (side, side)).save(f"{side}.png")
    options = Options(kernel="mine.safetensors", width=60)
    assert plan_job(Path("20.png"), options).output.name == "20_60x60.png"
    with pytest.raises(ImageError, match=r"fitted for factor 3, and this size needs 2 times; enlarge 3 times"):
        plan_job(Path("30.png"), options)


def test_a_bias_of_zero_is_ignored():
    torch.save({"up.weight": torch.from_numpy(BILINEAR)[None, None], "up.bias": torch.zeros(1)}, "up.pt")
    assert chosen_kernel("up.pt", 2).denominator == 16


def test_channels_are_checked_in_the_plan():
    np.save("three.npy", noise(3, 3, 4, 4).numpy())
    np.save("four.npy", noise(4, 1, 4, 4).numpy())
    np.save("one.npy", noise(1, 1, 4, 4).numpy())
    for mode in ("L", "RGB", "RGBA"):
        Image.fromarray(hostile_pixels((5, 7, 4), np.uint8)).convert(mode).save(f"{mode}.png")
    plan_job(Path("RGB.png"), Options(kernel="three.npy"))
    plan_job(Path("L.png"), Options(kernel="one.npy"))
    plan_job(Path("RGBA.png"), Options(kernel="four.npy", alpha="straight"))
    refused = [
        ("L.png", "three.npy", {}, "kernel three.npy is for 3 channels, and the image has 1, alpha included"),
        ("RGBA.png", "three.npy", {"alpha": "straight"}, "is for 3 channels, and the image has 4, alpha included"),
        ("RGBA.png", "four.npy", {}, "treats channels differently, so colour cannot be premultiplied; add alpha="),
        (
            "RGBA.png",
            "one.npy",
            {},
            "does not keep flat images flat, so colour cannot be premultiplied; add alpha=straight",
        ),
    ]
    for image, kernel, options, message in refused:
        with pytest.raises(ImageError, match=message) as raised:
            plan_job(Path(image), Options(kernel=kernel, **options))
        assert str(raised.value).startswith(f"{image}: ")
    with pytest.raises(UsageError, match="is for 3 channels") as unsuited:
        upsample(np.zeros((3, 5), np.uint8), 2, kernel="three.npy")
    assert unsuited.value.failure.kind == "no-kernel"


RUN = "import sys; from upsample_cli.cli.start import upsample; sys.argv[0] = 'upsample'; upsample()"
HEAVY = """
import sys
from pathlib import Path
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
plan_job(Path("a.png"), Options(kernel=sys.argv[1]))
print("torch" in sys.modules)
"""


def command(*arguments, code=RUN):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_accepts_files_and_prints_their_names_as_typed():
    np.save("mine.npy", BILINEAR[None, None])
    pixels = hostile_pixels((5, 7, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    ran = command("a.png", "-o", "b.png", "--kernel", "mine.npy", "--json")
    assert json.loads(ran.stdout)["kernel"] == "mine.npy"
    assert_same_pixels(np.asarray(Image.open("b.png")), expected_pixels(pixels, 2))
    bad = command("a.png", "-o", "c.png", "--kernel", "none.npy")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "upsample: kernel none.npy: there is no such file; check the name\n"
    assert not Path("c.png").exists()


def test_plans_import_torch_only_for_pickled_tensors():
    Image.new("RGB", (3, 2)).save("a.png")
    np.save("mine.npy", BILINEAR[None, None])
    save_file({"weight": torch.from_numpy(BILINEAR)[None, None].contiguous()}, "mine.safetensors")
    torch.save(torch.from_numpy(BILINEAR)[None, None], "mine.pt")
    for kernel, imported in (("lanczos3", False), ("mine.npy", False), ("mine.safetensors", False), ("mine.pt", True)):
        ran = command(kernel, code=HEAVY)
        assert (ran.stdout, ran.stderr) == (f"{imported}\n", "")


def warned(weight, factor=2, mode="L", **options):
    """The warnings of the plan and then of the run for a flat image, and the levels in the output."""
    np.save("k.npy", np.asarray(weight, np.float64))
    Image.new(mode, (7, 5), (200,) * len(mode) if len(mode) > 1 else 200).save("flat.png")
    given_ = {"kernel": "k.npy"} | ({} if "width" in options else {"factor": factor}) | options
    planned = plan_job(Path("flat.png"), Options(**given_)).losses
    result = upsample_file("flat.png", "made.png", overwrite=True, **given_)
    assert result.warnings == lines(planned)
    return lines(planned), set(np.unique(np.asarray(Image.open("made.png"))).tolist())


def test_weights_for_another_factor_are_a_warning_that_names_it():
    warnings_, levels = warned(BILINEAR[None, None], 4)
    assert warnings_ == (
        "at factor 4 the weights' phases sum to 0.0625 to 0.5625, not to 1: the image gets darker and patterned; "
        "they suit factor 2",
    )
    assert levels == {13, 38, 113}  # 200 * 1/16, 3/16 and 9/16, half up
    assert warned(BILINEAR[None, None], 2) == ((), {200})


def test_warnings_distinguish_brightness_patterns_and_zeros():
    quarter = np.full((1, 1, 2, 2), 0.25)
    assert warned(quarter)[0][0].endswith("sum to 0.25, not to 1: the image gets darker")
    assert warned(quarter * 5)[0][0].endswith("sum to 1.25, not to 1: the image gets brighter")
    uneven = np.array([[[[0.5, 1.5], [1, 1]]]])
    assert warned(uneven)[0][0].endswith("sum to 0.5 to 1.5, not to 1: the image gets patterned")
    assert warned(quarter * 0) == (("the weights are all 0: the image gets black",), {0})
    assert warned(np.full((1, 1, 4, 4), 0.25))[0] == ()
    middle = np.zeros((1, 1, 5, 5))
    middle[0, 0, 1:4, 1:4] = 1  # nearest at 3; at 5 with gaps; at 1 nine times too bright
    assert warned(middle, 5)[0][0].endswith(
        "sum to 0 to 1, not to 1: the image gets darker and patterned; they suit factor 3"
    )


def test_dense_weights_are_judged_by_their_result_for_grey():
    turn = np.zeros((3, 3, 2, 2))
    turn[0, 2], turn[1, 0], turn[2, 1] = 1, 1, 1
    assert warned(turn, mode="RGB") == ((), {200})
    turn[1, 0] = 0.5
    assert warned(turn, mode="RGB")[0][0].endswith("sum to 0.5 to 1, not to 1: the image gets darker and patterned")
    into_one = np.zeros((3, 3, 2, 2))  # (in, out): half of red and half of green become red, and blue the other two
    into_one[0, 0], into_one[1, 0], into_one[2, 1], into_one[2, 2] = 0.5, 0.5, 1, 1
    assert warned(into_one, mode="RGB") == ((), {200})
    own = np.ones((3, 1, 2, 2)) * np.reshape([1, 1, 0.5], (3, 1, 1, 1))
    assert "sum to 0.5 to 1," in warned(own, mode="RGB")[0][0]


@pytest.mark.parametrize(("off", "is_told"), [(0.0018, False), (0.0021, True)])
def test_weights_that_change_white_by_less_than_half_a_level_are_accepted(off, is_told):
    assert bool(warned(np.full((1, 1, 2, 2), 1 - off))[0]) == is_told


@pytest.mark.parametrize("asked", [{"factor": Fraction(7, 2)}, {"width": 25}])
def test_the_warning_for_a_fraction_or_a_size_names_the_factor_of_the_layer(asked):
    assert warned(BILINEAR[None, None], **asked)[0][0].startswith("at factor 4 the weights' phases sum to 0.0625")


def test_strict_refuses_weights_that_are_not_flat():
    np.save("k.npy", BILINEAR[None, None])
    Image.new("L", (7, 5), 200).save("flat.png")
    with pytest.raises(ImageError, match=r"refused by strict: at factor 4 the weights' phases sum"):
        plan_job(Path("flat.png"), Options(kernel="k.npy", factor=4, strict=True))
    assert plan_job(Path("flat.png"), Options(kernel="k.npy", factor=2, strict=True)).losses == ()


@pytest.mark.parametrize(
    ("asked", "expected_text"),
    [
        ({"factor": 3}, "fitted for factor 2; enlarge 2 times"),
        ({"factor": Fraction(5, 2)}, "fitted for factor 2, and factor 2.5 needs 3 times; enlarge 2 times"),
        ({"width": 20}, "fitted for factor 2, and this size needs 3 times; enlarge 2 times"),
    ],
)
def test_the_error_of_a_fitted_kernel_names_the_needed_factor(asked, expected_text):
    save_file({"up": torch.ones(1, 1, 2, 2)}, "mine.safetensors", metadata={"upsample-cli": '{"factor": 2}'})
    Image.new("L", (7, 5)).save("a.png")
    with pytest.raises(UpsampleError, match=re.escape(expected_text)):
        plan_job(Path("a.png"), Options(kernel="mine.safetensors", **asked))
