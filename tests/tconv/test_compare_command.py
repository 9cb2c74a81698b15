"""`tconv compare` used by people and scripts."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from support.commands import call, imported_by


@pytest.fixture
def tconv(capsys, monkeypatch, in_tmp_path):
    """The command, run next to `photo.png`: 121x95, so a row and a column are left out at factor 2."""
    Image.fromarray(skimage.data.chelsea()[50:145, 100:221]).save("photo.png")
    return lambda *arguments: call(capsys, monkeypatch, "compare", *arguments)


def test_a_table_is_printed_and_an_image_is_written(tconv):
    status, out, err = tconv("photo.png", "--kernels", "bilinear,lanczos3,fitted", "-o", "kernels.png")
    assert status == 0
    assert err == "warning: photo.png: 121x95 is compared as 120x94, a multiple of the factor\n"
    lines = out.splitlines()
    assert lines[0] == "photo.png: factor 2, 120x94, degradation bicubic"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [row[0] for row in rows] == ["fitted", "lanczos3", "bilinear"]
    assert [row[-1] for row in rows] == ["PSNR, SSIM", "", ""]
    assert all(float(row[3]) > 0 for row in rows)
    assert lines[-1] == "written: kernels.png"
    with Image.open("kernels.png") as page:
        assert page.format == "PNG"
        assert page.width > 4 * 288


def test_without_rounds_the_output_has_no_times_and_is_repeatable(tconv):
    arguments = ("photo.png", "--rounds", "0", "-o", "page.png", "--overwrite")
    first = tconv(*arguments)
    page = Path("page.png").read_bytes()
    assert tconv(*arguments) == first
    assert Path("page.png").read_bytes() == page
    assert "megapixel" not in first[1]


def test_the_json_document_has_the_compared_kernels(tconv):
    status, out, _ = tconv("photo.png", "--json", "--kernels", "nearest, bicubic,nearest", "--crop", "10,20,33x21")
    document = json.loads(out)
    assert status == 0
    assert list(document["kernels"]) == ["bicubic", "nearest"]
    assert document["kernels"]["bicubic"]["psnr_db"] > document["kernels"]["nearest"]["psnr_db"]
    assert 0 < document["kernels"]["nearest"]["ssim"] < 1
    assert document["kernels"]["nearest"]["ms_per_megapixel"] > 0
    assert document["best"] == {"psnr_db": ["bicubic"], "ssim": ["bicubic"]}
    assert (document["crop"], document["measured"]) == ([10, 20, 33, 21], [0, 0, 120, 94])
    assert (document["factor"], document["degradation"], document["channels"]) == (2, "bicubic", 3)
    assert (document["reference"], document["written"]) == (None, None)
    assert document["warnings"] == ["photo.png: 121x95 is compared as 120x94, a multiple of the factor"]


def test_a_reference_gives_the_factor(tconv):
    with Image.open("photo.png") as image:
        image.crop((0, 0, 120, 93)).save("large.png")
        image.crop((0, 0, 120, 93)).resize((40, 31), Image.Resampling.BOX).save("small.png")
    status, out, err = tconv("small.png", "--reference", "large.png", "--json", "--rounds", "0")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert (document["factor"], document["degradation"]) == (3, "that of small.png")
    refused = tconv("small.png", "--reference", "large.png", "-f", "2")
    assert refused == (2, "", "tconv: large.png is 3 times as large as small.png; leave --factor 2 out\n")
    same = json.loads(tconv("large.png", "-f", "3", "--degrade", "area", "--json", "--rounds", "0")[1])
    assert document["kernels"] == same["kernels"]
    other = json.loads(tconv("large.png", "-f", "3", "--degrade", "lanczos", "--json", "--rounds", "0")[1])
    assert document["kernels"] != other["kernels"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.png"], "none.png: no such file"),
        (["broken.png"], "broken.png"),
        (["photo.png", "-f", "0"], "cannot be compared at factor 0; give --factor 2 to 64"),
        (["photo.png", "-f", "96"], "cannot be compared at factor 96"),
        (["photo.png", "-f", "64", "--kernels", "fitted"], "only for 2, 3, 4; use --kernels lanczos3, or fit one to "),
        (["photo.png", "--kernels", "bilinear,nope"], "there is no kernel named 'nope'"),
        (["photo.png", "--kernels", "bilinear,,"], "names nothing between its commas"),
        (["photo.png", "--kernels", "broken.npy"], "broken.npy"),
        (["photo.png", "--degrade", "blur"], "there is no degradation 'blur'"),
        (["photo.png", "--crop", "1,2,3"], "--crop 1,2,3 is not a box; write --crop X,Y,WIDTHxHEIGHT"),
        (["photo.png", "--crop", "0,0,0x9"], "is not a box"),
        (["photo.png", "--crop", "100,0,21x9"], "is outside what is measured, 120x94 at 0,0"),
        (["photo.png", "--measure", "much"], "--measure 'much' is not a quantity"),
        (["photo.png", "--max-pixels", "9k"], "more than the limit of 9000"),
        (["photo.png", "--reference", "photo.png"], "is not a whole number of times as large"),
        (["photo.png", "--reference", "none.png"], "none.png: no such file"),
        (["photo.png", "--reference", "photo.png", "--degrade", "area"], "leave one out"),
        (["photo.png", "-o", "photo.png", "--overwrite"], "photo.png is an input, and inputs are never written to"),
        (["photo.png", "-o", "link.png", "--overwrite"], "is an input"),
        (["none.png", "--reference", "photo.png", "-o", "photo.png", "--overwrite"], "is an input"),
        (["photo.png", "-o", "taken.png"], "taken.png: exists already; add --overwrite"),
        (["photo.png", "-o", "page.jpg"], "page.jpg: comparisons are written as .png"),
        (["photo.png", "-o", "nowhere/page.png"], "its folder does not exist"),
    ],
)
def test_invalid_arguments_are_one_line(tconv, tmp_path, arguments, complaint):
    (tmp_path / "taken.png").write_bytes(b"kept")
    (tmp_path / "link.png").symlink_to("photo.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    status, out, err = tconv(*arguments)
    assert status in (1, 2)
    assert out == ""
    assert err.count("\n") == 1
    assert complaint in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_kernel_from_a_file_is_compared_and_names_are_not_markup(tconv):
    weight = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32)[None, None] / 16
    np.save("[red]mine.npy", weight)
    status, out, _ = tconv("photo.png", "--kernels", "bilinear,[red]mine.npy", "--rounds", "0", "-o", "page.png")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["bilinear", "[red]mine.npy"]
    assert rows[0][1:3] == rows[1][1:3]


def test_help_imports_neither_torch_nor_numpy_nor_pillow():
    assert imported_by(["compare", "--help"]) == []
