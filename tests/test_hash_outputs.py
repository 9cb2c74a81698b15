"""`hash_outputs.py` finds changes, and separates pixels from metadata, and messages from files."""

import io
import json

import hash_outputs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.corpus import animated_png, good_files, partial_frames
from support.decoded import decoded
from support.hash_cases import cases
from support.hash_inputs import input_files

GOOD = good_files()
CASE = ("upsample rgb.png -o out.png -v", "tconv shape 50 --factor 2 --json")
NAME = " && ".join(CASE)


def one_level(path):
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[5, 7, 1] ^= 1
    Image.fromarray(pixels).save(path)


def add_comment(path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a remark")
    with Image.open(path) as image:
        image.save(path, pnginfo=text)


def recorded_after(monkeypatch, change):
    """The record of the case, made with a program that changes its file before it ends."""
    found = hash_outputs.programs()

    def changed():
        try:
            found["upsample"]()
        finally:
            change("out.png")

    with monkeypatch.context() as patch:
        patch.setattr(hash_outputs, "programs", lambda: found | {"upsample": changed})
        return hash_outputs.recorded([CASE])["cases"]


def test_two_runs_are_equal_and_a_change_is_reported_by_its_group(monkeypatch):
    first = hash_outputs.recorded([CASE])["cases"]
    assert first[NAME]["status"] == [0, 0]
    assert first[NAME]["files"].keys() == {"out.png"}
    assert first[NAME]["messages"].keys() == {"1 stdout"}
    assert first[NAME]["json"].keys() == {"2 stdout"}
    same = recorded_after(monkeypatch, lambda _path: None)
    assert not any(hash_outputs.differences(first, same).values())
    for change, difference in ((one_level, "pixels"), (add_comment, "bytes, and the pixels are the same")):
        found = hash_outputs.differences(first, recorded_after(monkeypatch, change))
        assert found.pop("files") == [f"{NAME}: out.png: {difference}"]
        assert not any(found.values())


def test_allowed_differences_are_listed_and_others_fail(capsys):
    before = {"status": [0], "files": {"a.png": {"bytes": "1"}}, "json": {"1 stdout": "{}"}, "messages": {}}
    for change, group in (
        ({"status": [1]}, "status"),
        ({"files": {}}, "files"),
        ({"json": {"1 stdout": "[]"}}, "json"),
        ({"messages": {"1 stderr": "warning"}}, "messages"),
    ):
        found = hash_outputs.differences({"upsample x": before}, {"upsample x": before | change})
        assert [name for name, lines in found.items() if lines] == [group]
        assert hash_outputs._report(found, set(), in_full=False) == 1
        assert hash_outputs._report(found, {"json", "messages"}, in_full=True) == int(group in {"status", "files"})
        assert f"{group}: 1 differ" in capsys.readouterr().out
    assert hash_outputs._report(hash_outputs.differences({}, {"upsample x": before}), set(), in_full=False) == 1


def test_times_and_the_folder_are_masked_and_numbers_are_not(tmp_path):
    text = f"{tmp_path}/a.png 37x23  0.12 s\nwritten 1  0.5 MP in 12.5 s: 3 images/s, 1 MP/s; see big/\n3 steps"
    assert (
        hash_outputs._masked(text, tmp_path) == "FOLDER/a.png 37x23  N s\nwritten 1  0.5 MP in N s; see big/\n3 steps"
    )
    document = {"seconds": 1.5, "files": [{"elapsed_s": 2, "width": 37, "error": f"{tmp_path}/b"}]}
    assert json.loads(hash_outputs._masked_json(document, tmp_path)) == {
        "seconds": "masked",
        "files": [{"elapsed_s": "masked", "width": 37, "error": "FOLDER/b"}],
    }


def test_there_are_many_cases_with_repeatable_inputs():
    assert len(cases()) == len(set(cases())) > 1000
    assert input_files() == input_files()


INPUTS_ONLY = {"jpeg segments", "jpeg 12 bits", "tiff chroma", "bmp masks", "bmp deep"}
"""Kinds that no output of ours is, and that Pillow or tifffile does not read."""


@pytest.mark.parametrize("name", sorted(GOOD.keys() - INPUTS_ONLY))
def test_every_kind_of_image_is_decoded(name):
    assert decoded(GOOD[name]) is not None
    assert decoded(b"text") is None


def test_comments_of_a_pnm_are_not_pixels():
    bare = b"P5\n2 1\n255\n#\n"
    assert decoded(b"P5\n# remark\n" + bare[3:]) == decoded(bare) == bare
    assert decoded(b"P5\n# remark\n" + bare[3:-1] + b"!") != decoded(bare)


def test_the_low_byte_of_a_later_frame_is_included():
    pixels = np.full((9, 20, 3), 0x1234, np.uint16)
    changed = pixels.copy()
    changed[2, 3, 1] ^= 1
    first, other = (
        animated_png(9, 20, 16, 2, ((pixels, 0, 0, 0, 0), (each, 0, 0, 0, 0))) for each in (pixels, changed)
    )
    assert decoded(first) != decoded(other)
    with Image.open(io.BytesIO(first)) as image, Image.open(io.BytesIO(other)) as image_other:
        image.seek(1), image_other.seek(1)
        assert image.tobytes() == image_other.tobytes()  # the control: Pillow drops the low byte


def test_every_frame_of_a_file_is_included():
    data = animated_png(23, 37, 8, 2, partial_frames(np.zeros((23, 37, 3), np.uint8)))
    assert decoded(data).count(b"uint8") == 3
