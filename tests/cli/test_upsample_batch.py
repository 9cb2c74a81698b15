"""Many images in one run: each once, each correct, independent of the others; inputs never change."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import assert_same_pixels, expected_pixels
from support.running import names, pixels_of, save, tree, upsample

from upsample_cli.enlarge import run

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def test_one_bad_file_among_fifty_is_one_line_and_the_others_are_correct():
    for index in range(50):
        save(f"in/{index:02}.png", (1 + index % 7, 1 + index % 5), ("RGB", "L", "RGBA")[index % 3], seed=index)
    whole = Path("in/23.png").read_bytes()
    Path("in/23.png").write_bytes(whole[: len(whole) // 2])
    before = {path: path.stat().st_mtime_ns for path in Path("in").iterdir()}
    ended = upsample("in", "-f", 3, "--workers", 4)
    assert ended.status == 1
    assert ended.errors == ["in/23.png: is truncated: the file ends before its image does; get a new copy of it"]
    assert [line.split()[:2] for line in ended.out.splitlines()] == [
        ["written", "49"],
        ["failed", "1"],
        ["--retry-failed", "tries"],
    ]
    assert names("in_x3") == [f"{index:02}_x3.png" for index in range(50) if index != 23]
    for index in set(range(50)) - {23}:
        found = pixels_of(f"in_x3/{index:02}_x3.png")
        expected = expected_pixels(pixels_of(f"in/{index:02}.png"), 3, has_alpha=found.shape[2] == 4)
        assert_same_pixels(found, expected)
    assert {path: path.stat().st_mtime_ns for path in Path("in").iterdir()} == before


def test_a_batch_with_only_bad_files_ends_with_status_1():
    for name in ("in/a.png", "in/b.jpg"):
        save(name).write_bytes(b"")
    ended = upsample("in")
    assert ended.status == 1
    assert len(ended.errors) == 2
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["written", "0"], ["failed", "2"]]
    assert not Path("in_x2").exists()


def test_other_files_and_hidden_files_in_a_folder_are_ignored():
    save("in/a.png")
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", ".hidden.png", "movie.mp4", "png", ".cache/b.png"):
        path = Path("in", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"none of ours")
    ended = upsample("in", "-r")
    assert (ended.status, ended.err) == (0, "")
    assert names("in_x2") == ["a_x2.png"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_looping_links_are_not_followed_forever():
    save("in/a.png")
    save("in/deep/b.png", seed=1)
    Path("in/deep/up").symlink_to("..")
    Path("in/self").symlink_to("self")
    Path("in/c.png").symlink_to("deep/b.png")
    ended = upsample("in", "-r")
    assert (ended.status, ended.err) == (0, "")
    assert names("in_x2") == ["a_x2.png", "c_x2.png", "deep/b_x2.png"]
    assert tree("in_x2")["c_x2.png"] == tree("in_x2")["deep/b_x2.png"]


def test_an_input_named_twice_is_enlarged_once():
    save("in/a.png")
    document = upsample("in", "in/a.png", "./in/../in/a.png", "in/*.png", "--json", "-o", "out/").document
    assert [(file["input"], file["status"]) for file in document["files"]] == [("in/a.png", "written")]
    assert names("out") == ["a_x2.png"]


def test_an_output_that_appears_during_decoding_is_not_replaced(monkeypatch):
    save("in/a.png")
    save("in/b.png")
    opened_regular = run.opened_regular

    def slow_opened_regular(path, **keywords):
        if Path(path).name == "a.png":
            Path("out").mkdir(exist_ok=True)
            Path("out/a_x2.png").write_bytes(b"someone else's")
        return opened_regular(path, **keywords)

    monkeypatch.setattr(run, "opened_regular", slow_opened_regular)
    ended = upsample("in", "-o", "out", "--json")
    assert ended.status == 0
    assert [file["status"] for file in ended.document["files"]] == ["skipped", "written"]
    assert Path("out/a_x2.png").read_bytes() == b"someone else's"
    assert names("out") == ["a_x2.png", "b_x2.png"]
    Path("out/a_x2.png").unlink()
    ended = upsample("in/a.png", "-o", "out/a_x2.png")  # a single image is an error
    assert (ended.status, ended.err) == (1, "error: out/a_x2.png: exists already; add --overwrite to replace it\n")


def test_an_input_that_disappears_or_changes_during_the_run_is_one_line(monkeypatch):
    for name in ("a", "b", "c"):
        save(f"in/{name}.png")
    opened_regular = run.opened_regular

    def late_opened_regular(path, **keywords):
        if Path(path).name == "a.png":
            Path(path).unlink()
        if Path(path).name == "b.png":
            Path(path).write_bytes(b"")
        return opened_regular(path, **keywords)

    monkeypatch.setattr(run, "opened_regular", late_opened_regular)
    ended = upsample("in")
    assert ended.status == 1
    assert sorted(ended.errors) == [
        "in/a.png: no such file; check the name",
        "in/b.png: is empty; get a new copy of it",
    ]
    assert names("in_x2") == ["c_x2.png"]


_FILES = st.sets(
    st.builds(
        lambda folder, stem, end: f"{folder}{stem}{end}",
        st.sampled_from(["", "é/", "a b/", "a b/[c]/"]),
        st.sampled_from(["1", "2", "1_x2"]),
        st.sampled_from([".png", ".bmp", ".PNG"]),
    ),
    min_size=1,
    max_size=6,
)


@given(_FILES, st.integers(1, 4))
@settings(max_examples=25)
def test_any_tree_is_mirrored_and_a_second_run_changes_nothing(files, factor):
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for seed, file in enumerate(sorted(files)):
            save(f"in/{file}", (2, 3), seed=seed)
        before = tree("in")
        ended = upsample("in", "-r", "-f", factor)
        assert (ended.status, ended.err) == (0, "")
        mirror = tree(f"in_x{factor}")
        assert sorted(mirror) == sorted(f"{file[:-4]}_x{factor}{file[-4:]}" for file in files)
        for file in files:
            found = pixels_of(f"in_x{factor}/{file[:-4]}_x{factor}{file[-4:]}")
            assert_same_pixels(found, expected_pixels(pixels_of(f"in/{file}"), factor))
        document = upsample("in", "-r", "-f", factor, "--json").document
        assert document["summary"] == {"written": 0, "skipped": len(files), "failed": 0, "planned": 0}
        assert tree(f"in_x{factor}") == mirror
        assert tree("in") == before
