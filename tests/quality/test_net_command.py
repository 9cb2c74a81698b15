"""`tconv fit --net` used by people and scripts."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from safetensors.numpy import load_file
from support.commands import call
from support.running import pixels_of, upsample

from upsample_cli.kernels.weights.readers import opened_safetensors


@pytest.fixture
def tconv(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "fit", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("coffee.png", "chelsea.png"):
        with Image.open(Path(skimage.data.__file__).parent / name) as image:
            image.crop((100, 60, 300, 240)).save(folder / name)
    return folder


def test_the_network_is_scored_and_written_and_the_unfinished_training_is_removed(tconv, folder, tmp_path):
    output = tmp_path / "mine.safetensors"
    status, out, err = tconv(folder, "--net", "--steps", "12", "-o", output)
    assert (status, err) == (0, "")
    assert "trained: factor 2, 16828 multiplications per input pixel" in out
    for name in ("bilinear", "lanczos3", "fitted", "net"):
        assert f"│ {name}" in out
    assert "held out: 1 of 2 images, which the network has not seen" in out
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    assert load_file(output)["trunk.3.weight"].shape == (24, 24, 3, 3)
    metadata = opened_safetensors(output, "numpy").metadata()
    assert json.loads(metadata["upsample-cli"])["factor"] == 2


def test_the_network_enlarges_an_image(tconv, folder, tmp_path):
    output = tmp_path / "mine.safetensors"
    assert tconv(folder, "--net", "--steps", "10", "--factor", "3", "--json", "-o", output)[0] == 0
    ended = upsample(folder / "coffee.png", "-f", "3", "--kernel", output, "-o", tmp_path / "big.png")
    assert (ended.status, ended.err) == (0, "")
    assert pixels_of(tmp_path / "big.png").shape == (540, 600, 3)
    flat = tmp_path / "flat.png"
    Image.fromarray(np.full((20, 20), 77, np.uint8)).save(flat)
    upsample(flat, "-f", "3", "--kernel", output, "-o", tmp_path / "flat3.png")
    assert (pixels_of(tmp_path / "flat3.png") == 77).all()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--net"], "give --output NAME.safetensors"),
        (["--net", "--steps", "3", "-o", "new.safetensors"], "3 steps are too few; give --steps 10 or more"),
        (["--net", "--noise", "99", "-o", "new.safetensors"], "noise of 99 levels is not possible"),
        (["--net", "--factor", "5", "-o", "new.safetensors"], "give --factor 2, 3 or 4"),
        (["--net", "--support", "7", "-o", "new.safetensors"], "--support is for kernels, not for networks"),
        (["--net", "--degrade", "bicubic,foo", "-o", "new.safetensors"], "there is no degradation 'foo'"),
        (["--degrade", "bicubic,area"], "a kernel is fitted for one degradation; give one, or add --net"),
        (["--steps", "100"], "without steps; give --net, or leave it out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tconv, folder, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    status, out, err = tconv(folder, *arguments)
    assert (status, out) == (2, "")
    assert problem in err
    assert not list(tmp_path.iterdir())
