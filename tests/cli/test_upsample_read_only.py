"""Inputs whose format is not written: the format of their outputs, what is said about it, and the missing extra."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.corpus import RGB
from support.read_only import hdr, light
from support.running import names, save, upsample

from upsample_cli.images import formats
from upsample_cli.images.input_formats import READ_ONLY

NOTE = "read and not written, so the output is"


@pytest.fixture(autouse=True)
def _shots(in_tmp_path):
    Path("shots").mkdir()
    Path("shots/a.qoi").write_bytes(imagecodecs.qoi_encode(RGB))
    Image.fromarray(RGB).save("shots/b.tga")
    Path("shots/c.hdr").write_bytes(hdr(light()))
    save("shots/d.jpg")


def notes(ended):
    return [line for line in ended.err.splitlines() if line.startswith("note: ")]


def test_outputs_are_png_or_tiff_which_is_said_once():
    before = {path: path.read_bytes() for path in Path("shots").iterdir()}
    ended = upsample("shots")
    assert ended.status == 0
    assert names("shots_x2") == ["a_x2.png", "b_x2.png", "c_x2.tif", "d_x2.jpg"]
    assert notes(ended) == [
        f"note: QOI, TGA: {NOTE} PNG; choose with --format",
        f"note: Radiance HDR: {NOTE} TIFF; choose with --format",
    ]
    assert {path: path.read_bytes() for path in Path("shots").iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [("shots/a.qoi", "-o", "a.webp"), ("shots", "--format", "tiff"), ("shots", "--name", "{stem}.png"),
     ("shots/d.jpg",), ("shots", "-q")],
)  # fmt: skip
def test_nothing_is_said_about_a_format_that_was_chosen(arguments):
    ended = upsample(*arguments)
    assert ended.status == 0
    assert notes(ended) == []


def test_the_plan_and_a_second_run_name_the_same_files():
    planned = upsample("shots", "-n", "--json")
    outputs = [Path(file["output"]).name for file in planned.document["files"]]
    assert outputs == ["a_x2.png", "b_x2.png", "c_x2.tif", "d_x2.jpg"]
    assert len(notes(planned)) == 2
    assert upsample("shots").status == 0
    assert "done already" in upsample("shots").out


def test_a_png_with_the_same_name_is_a_collision_and_is_not_overwritten():
    save("shots/a.png")
    ended = upsample("shots")
    assert ended.status == 2
    assert "a_x2.png" in ended.err
    assert not Path("shots_x2").exists()


def test_light_beyond_white_stays_in_a_tiff():
    import tifffile

    assert upsample("shots/c.hdr", "--kernel", "nearest").status == 0
    written = tifffile.imread("shots/c_x2.tif")
    np.testing.assert_array_equal(written, np.repeat(np.repeat(light(), 2, 0), 2, 1))
    ended = upsample("shots/c.hdr", "-o", "c.png")
    assert "floating point; 0 to 1 becomes black to white" in ended.err


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_format_that_is_only_read_cannot_be_the_output(name):
    title, extension = READ_ONLY[name].title, READ_ONLY[name].extensions[0]
    for arguments in (("-o", f"x{extension}"), ("--format", extension), ("--format", name)):
        ended = upsample("shots/d.jpg", *arguments)
        assert ended.status == 2
        assert f"{title} is read and not written; " in ended.err
        assert ".png" in ended.err or "png, " in ended.err


def test_outputs_cannot_be_named_like_a_format_that_is_only_read():
    ended = upsample("shots", "--name", "{stem}.TGA")
    assert ended.status == 2
    assert "is the name of a TGA file, which is not written; end --name in {ext}" in ended.err
    ended = upsample("shots", "-o", "all.tga")
    assert ended.status == 2
    assert "named like an image" in ended.err


@pytest.mark.parametrize("is_there", [False, True])
def test_without_the_extra_heic_in_a_folder_is_counted_and_the_extra_is_named(is_there, monkeypatch):
    for module in (formats, __import__("upsample_cli.cli.report.summary", fromlist=["x"])):
        monkeypatch.setattr(module, "has_extra", lambda: is_there)
    Path("shots/e.HEIC").write_bytes(b"not looked into")
    ended = upsample("shots", "-n")
    said = ended.out + ended.err
    assert ("1 file of other formats: .heic 1; for HEIC, pip install 'upsample-cli[heif]'" in said) == (not is_there)
    assert ("shots/e.HEIC: is not an image" in said) == is_there
