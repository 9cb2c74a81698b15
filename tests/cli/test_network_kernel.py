"""`upsample --kernel FILE` with a network: formats, sizes, batches, records, and what is refused in one line."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.commands import call
from support.network_files import expected, network_file, random_network
from support.running import save, upsample

from upsample_cli.batch.record.identity import settings_text
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize import resized_bands
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.enlarge.options import Options
from upsample_cli.kernels.kernel import NETWORKS, kernel_named
from upsample_cli.kernels.network import shipped_file

pytestmark = pytest.mark.usefixtures("in_tmp_path")


@pytest.fixture
def net(in_tmp_path):
    return network_file(Path("n.safetensors"), random_network(2, 4, 2), 2)


def pixels_of(path):
    pixels = np.asarray(Image.open(path))
    return pixels[..., None] if pixels.ndim == 2 else pixels


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("engine", ["auto", "layer"])
def test_a_network_enlarges_a_file(mode, engine, net):
    save("in.png", (21, 34), mode)
    ended = upsample("in.png", "-o", "out.png", "--kernel", net, "--engine", engine, "--border", "wrap")
    assert ended.status == 0, ended.err
    wanted = expected(net, pixels_of("in.png"), 2, border="wrap", alpha=mode in ("LA", "RGBA"))
    assert np.array_equal(pixels_of("out.png"), wanted)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_shipped_networks_have_names(name, factor):
    save("in.png", (9, 14))
    ended = upsample("in.png", "-o", "out.png", "--kernel", name, "-f", factor)
    assert ended.status == 0, ended.err
    assert np.array_equal(pixels_of("out.png"), expected(shipped_file(name, factor), pixels_of("in.png"), factor))


def test_tconv_compare_takes_a_network(capsys, monkeypatch):
    save("in.png", (64, 64))
    status, out, err = call(capsys, monkeypatch, "compare", "in.png", "--rounds", "0")
    assert status == 0, err
    assert {"bilinear", "fitted", "net"} <= set(re.findall(r"^│ (\S+) ", out, re.MULTILINE))


def test_eight_bits_as_sixteen_and_palettes(net):
    save("in.png", (12, 15), "RGB")
    upsample("in.png", "-o", "deep.tif", "--kernel", net, "--depth", "16")
    deep = pixels_of("in.png").astype(np.uint16) * 257
    assert np.array_equal(tifffile.imread("deep.tif"), expected(net, deep, 2))
    image = Image.open("in.png").quantize(8)
    image.save("few.png")
    upsample("few.png", "-o", "many.png", "--kernel", net)
    assert np.array_equal(pixels_of("many.png"), expected(net, np.asarray(image.convert("RGB")), 2))


@pytest.mark.parametrize("size", [("--factor", "1.5"), ("--width", "29"), ("--fit", "30x30")])
@pytest.mark.parametrize("border", ["replicate", "wrap"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_other_sizes_are_the_enlarged_pixels_reduced(mode, size, border, net):
    save("in.png", (13, 19), mode)
    settings = ("--kernel", net, "--border", border)
    ended = upsample("in.png", "-o", "out.png", *settings, *size)
    assert ended.status == 0, ended.err
    upsample("in.png", "-o", "large.png", *settings)
    large, found = pixels_of("large.png"), pixels_of("out.png")
    same, arithmetic = exact_form(kernel_named("nearest", 1), large.dtype, has_alpha=mode == "RGBA")
    reduced = resized_bands(
        lambda first, last: large[first:last], large.shape, found.shape[:2],
        settings=Settings(same, border, "cpu"), arithmetic=arithmetic, weigh=filter_for("net"),
    )  # fmt: skip
    assert np.array_equal(found, np.concatenate(list(reduced)))
    assert upsample("in.png", "-o", "layer.png", *settings, *size, "--engine", "layer").status == 0
    assert np.array_equal(found, pixels_of("layer.png"))


def test_animations_use_the_network_for_every_frame(net):
    frames = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)) for seed in range(3)]
    frames[0].save("in.webp", save_all=True, append_images=frames[1:], lossless=True)
    ended = upsample("in.webp", "-o", "out.webp", "--kernel", net, "--quality", "100")
    assert ended.status == 0, ended.err
    with Image.open("out.webp") as moving:
        assert moving.n_frames == 3


@pytest.mark.parametrize(
    ("name", "make", "more", "message"),
    [
        ("a.jpg", lambda: Image.new("CMYK", (8, 8)), (), "is a network for grey or RGB: it needs luma"),
        ("a.tif", lambda: Image.new("LAB", (8, 8)), (), "is a network for grey or RGB: it needs luma"),
        ("a.tif", lambda: Image.new("F", (8, 8)), (), "is a network for whole pixels of 8 or 16 bits"),
        ("a.png", lambda: Image.new("RGBA", (8, 8)), ("--alpha", "straight"), "leave out --alpha straight"),
        ("a.png", lambda: Image.new("RGB", (8, 8)), ("--linear-light",), "leave out --linear-light"),
        ("a.png", lambda: Image.new("RGB", (8, 8)), ("--factor", "3"), "is a network for factor 2"),
        ("a.png", lambda: Image.new("RGB", (8, 8)), ("--width", "30"), "is a network for factor 2"),
    ],
)
def test_what_a_network_cannot_enlarge_is_one_line(name, make, more, message, net):
    make().save(name)
    ended = upsample(name, "-o", "out.tif", "--kernel", net, *more)
    assert ended.status != 0
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("out.tif").exists()


def test_a_record_notices_other_weights(net):
    save("in/a.png", (8, 9))
    arguments = ("in", "-o", "out", "--kernel", net, "--json")
    assert [upsample(*arguments).document["files"][0]["status"] for _ in range(2)] == ["written", "skipped"]
    before = settings_text(Options(kernel=net))
    network_file(Path(net), random_network(2, 4, 2, seed=5), 2)
    assert settings_text(Options(kernel=net)) != before
    (again,) = upsample(*arguments).document["files"]
    assert "other weights in the file" in str(again)


def test_tconv_kernel_has_no_taps_of_a_network(capsys, monkeypatch):
    status, _, err = call(capsys, monkeypatch, "kernel", "--factor", "2", "--kernel", "net")
    assert status == 2
    assert "is a network, not one layer" in err


def test_a_network_that_is_not_there_is_one_line():
    save("in.png", (8, 9))
    ended = upsample("in.png", "--kernel", "net", "-f", "5")
    assert ended.status == 2
    assert "--kernel net exists for factors 2, 3, 4, not for 5" in ended.err
