"""`tconv fit` used by people and scripts, and its file in `upsample --kernel` and in a network."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file
from support.commands import call, imported_by
from support.running import pixels_of, upsample

from upsample_cli.errors import ImageError, Setting
from upsample_cli.quality import photos
from upsample_cli.quality.pieces import whole_part


@pytest.fixture
def tconv(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "fit", *arguments)


@pytest.fixture
def folder(tmp_path):
    """Two pieces of photographs in a folder, one of them in a subfolder."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name, place in (("coffee.png", "a.png"), ("chelsea.png", "more/b.jpg")):
        with Image.open(Path(skimage.data.__file__).parent / name) as image:
            image.crop((100, 100, 220, 190)).save(tmp_path / "photos" / place)
    return tmp_path / "photos"


def test_the_score_is_printed_with_those_of_the_classical_kernels(tconv, folder):
    status, out, err = tconv(folder, "-r", "--support", "3")
    assert (status, err) == (0, "")
    assert "fitted: factor 2, 3x3 input pixels, degradation bicubic; 2 images" in out
    for name in ("bilinear", "bicubic", "lanczos3", "fitted"):
        assert f"│ {name}" in out
    assert out.endswith("held out: each image by a kernel fitted to the others\n")


def test_the_same_images_give_the_same_bytes_and_the_file_has_its_recipe(tconv, folder, tmp_path):
    for name in ("one", "two"):
        status, out, _ = tconv(folder, "-r", "-o", tmp_path / f"{name}.safetensors", "--json")
        assert status == 0
    document = json.loads(out)
    content = (tmp_path / "one.safetensors").read_bytes()
    assert content == (tmp_path / "two.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["upsample-cli"])
    assert about["layer"] == "ConvTranspose2d(1, 1, 10, stride=2, padding=4, bias=False)"
    assert about["made_by"].startswith("upsample-cli ")
    assert (about["pictures"], about["degradation"], about["symmetric"]) == (2, "bicubic", True)
    assert {key: value for key, value in document.items() if key != "written"}.items() <= about.items()
    tconv(folder, "-r", "-o", tmp_path / "other.safetensors", "--degrade", "area")
    assert content != (tmp_path / "other.safetensors").read_bytes()


@pytest.mark.parametrize("factor", [2, 3])
def test_the_file_works_in_the_command_and_in_a_network(tconv, folder, tmp_path, factor):
    file = tmp_path / "mine.safetensors"
    assert tconv(folder, "-f", factor, "-o", file)[0] == 0
    ended = upsample(folder / "a.png", "-f", factor, "--kernel", file, "-o", tmp_path / "big.png")
    assert (ended.status, ended.err) == (0, "")
    layer = torch.nn.ConvTranspose2d(1, 1, 5 * factor, stride=factor, padding=2 * factor, bias=False)
    layer.load_state_dict(load_file(file))
    pixels = torch.from_numpy(pixels_of(folder / "a.png").astype(np.float32)).permute(2, 0, 1)[:, None]
    with torch.no_grad():
        padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2), mode="replicate")
        enlarged = layer(padded)[:, 0, 2 * factor : -2 * factor, 2 * factor : -2 * factor]
    expected = (enlarged.clamp(0, 255) + 0.5).floor().permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.array_equal(pixels_of(tmp_path / "big.png"), expected)
    refused = upsample(folder / "a.png", "-f", factor + 2, "--kernel", file, "-o", tmp_path / "no.png")
    assert refused.status == 2
    assert f"was fitted for factor {factor}; enlarge {factor} times" in refused.err


def test_a_repeated_image_counts_once(tconv, folder):
    _, out, _ = tconv(folder / "a.png", folder, folder / "more" / ".." / "a.png")
    assert "; 1 image, " in out
    assert "each half of the image" in out


def test_unusable_images_are_one_line_each_and_the_others_are_used(tconv, folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("RGB", (5, 5)).save(folder / "tiny.png")
    status, out, err = tconv(folder, "-r")
    assert status == 0
    assert "2 images" in out
    assert [line.split(": ")[:2] for line in err.splitlines()] == [["warning", "skipped"]] * 2
    assert "tiny.png: 5x5 is too small to learn from; give images of 10x10 or more" in err


def test_a_setting_in_a_message_is_spelled_as_an_option(tconv, folder, monkeypatch):
    """In a warning about one of several images, and in the error about a single one."""

    def refuse_b(path, **settings):
        if path.name == "b.jpg":
            raise ImageError(path, "is too large", ("try ", Setting("factor", 2)))
        return whole_part(path, **settings)

    monkeypatch.setattr(photos, "whole_part", refuse_b)
    status, _, err = tconv(folder, "-r")
    assert (status, err) == (0, f"warning: skipped: {folder / 'more' / 'b.jpg'}: is too large; try --factor 2\n")
    status, out, err = tconv(folder / "more")
    assert (status, out) == (1, "")
    problem = f"{folder / 'more' / 'b.jpg'}: is too large; try --factor 2"
    assert err == f"tconv: there is no image to learn from: {problem}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["nowhere.png"], 1, "there is no image to learn from: nowhere.png: no such file"),
        (["empty"], 2, "there is no image among the inputs"),
        ([""], 2, "an input has no name"),
        (["a.png", "--degrade", "blur"], 2, "there is no degradation 'blur'"),
        (
            ["a.png", "--support", "6"],
            2,
            "a kernel with a support of 6 input pixels cannot be fitted; give --support 3, 5 or 7",
        ),
        (["a.png", "--factor", "1"], 2, "a kernel for factor 1 cannot be fitted"),
        (["a.png", "-o", "mine.pt"], 2, "mine.pt: kernels are written as .safetensors"),
        (["a.png", "-o", "taken.safetensors"], 1, "taken.safetensors: exists already; add --overwrite"),
        (["a.png", "-o", "none/mine.safetensors"], 1, "its folder does not exist"),
        (["a.png", "-o", "a.png/mine.safetensors"], 1, "a part of its path is not a folder"),
        (["a.png", "-o", f"{'n' * 300}.safetensors"], 1, "its name is longer than the file system allows"),
        (["a.png", "-o", "folder.safetensors", "--overwrite"], 1, "folder.safetensors: is a folder"),
    ],
)
def test_invalid_arguments_are_one_line(tconv, folder, arguments, status, complaint, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    (folder / "folder.safetensors").mkdir()
    (folder / "taken.safetensors").write_bytes(b"kept")
    ended, out, err = tconv(*arguments)
    assert (ended, out) == (status, "")
    assert err.count("\n") == 1
    assert complaint in err
    assert (folder / "taken.safetensors").read_bytes() == b"kept"


def test_overwrite_replaces_the_file(tconv, folder):
    target = folder / "taken.safetensors"
    target.write_bytes(b"old")
    assert tconv(folder, "-o", target, "--overwrite")[0] == 0
    assert target.stat().st_size > 400


def test_help_imports_neither_torch_nor_numpy_nor_pillow():
    assert imported_by(["fit", "--help"]) == []
