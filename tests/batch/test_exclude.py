"""What is left out of folders: the litter of systems always, and what `--exclude` names."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.running import names, save, upsample, upsample_process

from upsample_cli.batch import exclude
from upsample_cli.batch.exclude import Exclusion
from upsample_cli.batch.inputs import find_inputs
from upsample_cli.errors import UsageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX file names and links"),
]

LITTER = (
    "@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information",
    "__MACOSX", ".thumbnails", ".Trash-1000", ".Trashes",
)  # fmt: skip


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*arguments, exclusion=None, recursive=True):
    return [Path(entry.path).as_posix() for entry in find_inputs(arguments, recursive=recursive, exclusion=exclusion)]


def test_litter_is_not_searched_and_is_counted():
    touch("f/a.png", *(f"f/{name}/b.png" for name in LITTER), "f/sub/@eaDir/a.jpg/c.jpg", "f/._a.png", "f/._DS_Store")
    exclusion = Exclusion()
    assert found("f", exclusion=exclusion) == ["f/a.png"]
    assert exclusion.litter == {**dict.fromkeys(LITTER, 1), "@eaDir": 2, "._*": 1}
    found("f", exclusion=(flat := Exclusion()), recursive=False)
    assert flat.litter == {"._*": 1}  # no folder would have been searched


def test_control_folders_with_similar_names_are_searched():
    similar = ("@eaDir2", "recycle", "#recycled", "System Volume", "MACOSX", "Trash-1000", "thumbnails")
    touch(*(f"f/{name}/b.png" for name in similar))
    assert sorted(found("f")) == sorted(f"f/{name}/b.png" for name in similar)


@pytest.mark.parametrize("name", LITTER)
def test_litter_that_the_user_names_is_searched(name):
    touch(f"f/{name}/a.png", f"f/{name}/sub/b.png")
    assert found(f"f/{name}") == [f"f/{name}/a.png", f"f/{name}/sub/b.png"]
    assert found(f"f/{name}/a.png") == [f"f/{name}/a.png"]


def test_a_pattern_that_the_shell_did_not_expand_finds_no_litter_unless_it_names_it():
    touch("f/a.png", "f/@eaDir/b.png", "f/Thumbs.db", "f/sub/@eaDir/c.png")
    assert found("f/**/*.png") == ["f/a.png"]
    assert found("f/*", recursive=False) == ["f/a.png"]
    assert found("f/@eaDir/*.png") == ["f/@eaDir/b.png"]


TREE = (
    "a.png", "a.tmp.png", "A.PNG", "a b.png", "[x].png", "keep.png", "raw/a.png", "raw/keep.png", "x/raw/a.png",
    "x/c.png", "top/only/a.png", "x/top/only/a.png", "cache/a.png", "x/cache/y/a.png", "#recycled/a.png",
)  # fmt: skip
EXCLUDED = {
    ("*.tmp.png",): "a.tmp.png",
    ("raw/",): "raw/a.png raw/keep.png x/raw/a.png",
    ("raw",): "raw/a.png raw/keep.png x/raw/a.png",
    ("/raw/",): "raw/a.png raw/keep.png",
    ("/top/only",): "top/only/a.png",
    ("top/only",): "top/only/a.png",
    ("**/cache/**",): "cache/a.png x/cache/y/a.png",
    ("x/*",): "x/raw/a.png x/c.png x/top/only/a.png x/cache/y/a.png",
    ("x/**/a.png",): "x/raw/a.png x/top/only/a.png x/cache/y/a.png",
    ("a?b.png",): "a%20b.png",
    (r"\[x\].png",): "[x].png",
    ("#recycled/",): "#recycled/a.png",
    ("raw/", "!raw/"): "",
    ("raw/", "!raw/keep.png"): "raw/a.png x/raw/a.png",
    ("!keep.png", "raw/"): "raw/a.png raw/keep.png x/raw/a.png",
    ("x/*", "!x/raw/"): "x/c.png x/top/only/a.png x/cache/y/a.png",
    ("*", "!*/", "!keep.png"): " ".join(
        path.replace(" ", "%20") for path in TREE if not path.endswith("keep.png")
    ),
    ("*", "!keep.png"): " ".join(path.replace(" ", "%20") for path in TREE if not path.endswith("keep.png")),
    ("nothing.png",): "",
}  # fmt: skip
"""Excluded paths of `TREE`, by patterns. Git gives the same, except that "!" also opens a folder that is excluded."""


@pytest.mark.parametrize("patterns", EXCLUDED, ids=" ".join)
@pytest.mark.parametrize("top", ["f", ".", "link"])
def test_patterns_match_as_in_a_gitignore_file(patterns, top):
    touch(*(f"f/{path}" for path in TREE))
    if top == ".":
        os.chdir("f")
    Path("link").symlink_to("f")
    prefix = "" if top == "." else f"{top}/"
    expected = set(TREE) - {path.replace("%20", " ") for path in EXCLUDED[patterns].split()}
    exclusion = Exclusion(patterns)
    assert set(found(top, exclusion=exclusion)) == {prefix + path for path in expected}
    assert bool(exclusion.causes) == bool(EXCLUDED[patterns])


def test_files_that_the_user_names_are_matched_by_the_path_as_typed():
    touch("a.png", "b.tmp.png", "raw/c.png", "f/raw/d.png")
    named = ["a.png", "b.tmp.png", "raw/c.png", "./raw/c.png", f"{Path.cwd()}/raw/c.png", "f/raw"]
    exclusion = Exclusion(("*.tmp.png", "raw/"))
    assert found(*named, exclusion=exclusion) == ["a.png", "f/raw/d.png"]  # a folder that is named is searched
    assert exclusion.causes == {"excluded: 4 images": 4}


def test_counts_are_of_images_and_of_whole_folders():
    touch("f/a.tmp", "f/a.png", "f/raw/b.png", "f/raw/c.png")
    exclusion = Exclusion(("a.*", "raw"))
    assert found("f", exclusion=exclusion) == []
    assert exclusion.causes == {"excluded: 1 image and 1 folder": 2}
    exclusion.clear()
    assert exclusion.causes == {}


def test_names_that_are_not_utf_8_are_matched():
    name = os.fsdecode(b"f/b\xe4d.png")
    touch("f/a.png", name)
    assert found("f", exclusion=Exclusion((os.fsdecode(b"b\xe4*"),))) == ["f/a.png"]
    assert found("f", exclusion=Exclusion(("a*",))) == [name]


def test_case_counts_except_on_windows(monkeypatch):
    assert [Exclusion(("*.TMP.png",)).is_excluded(path) for path in ("a.tmp.png", "a.TMP.png")] == [False, True]
    monkeypatch.setattr(exclude, "_IGNORES_CASE", True)
    assert [Exclusion(("RAW/",)).is_excluded(path) for path in ("a/Raw/b.png", "draw/b.png")] == [True, False]


@pytest.mark.parametrize("pattern", ["", " ", "!", "/", "//", "!/", "a\\", "[b-a]", "x[a-\\*]"])
def test_a_pattern_that_cannot_match_is_refused(pattern):
    with pytest.raises(UsageError, match="cannot match anything; give a pattern such as"):
        Exclusion(("a", pattern))


@given(st.lists(st.text(st.sampled_from("ab*?[]!-^/\\#. "), max_size=8), min_size=1, max_size=3))
@example(["[", "a[b"])
@example(["***/**/"])
def test_every_pattern_is_refused_or_matches_without_a_fault(patterns):
    try:
        rules = Exclusion(patterns)
    except UsageError:
        return
    for path in ("a", "a/", "a/b.png", "a/b/a", "[", "#"):
        assert rules.is_excluded(path) in {False, True}


@given(
    st.lists(st.text(st.sampled_from("ab**?[]!-/\\."), max_size=12), min_size=1, max_size=2),
    st.text("ab/.-", max_size=14),
)
@example(["*a*[ab]?*b"], "xaabab")
@example(["*[!a]*a**b"], "b-b/ab")
def test_patterns_with_many_stars_match_as_before(patterns, path):
    """The oracle is the library's own expression."""
    path = "/".join(part for part in path.split("/") if part.strip(".")) or "a"
    try:
        rules = Exclusion(patterns)
    except UsageError:
        return
    with mock.patch.object(exclude, "_with_fixed_stars", lambda expression: expression):
        slow = Exclusion(patterns)
    assert rules.is_excluded(path) == slow.is_excluded(path)


def test_a_name_made_for_a_pattern_does_not_stop_the_run():
    """Before, this name took 37 s, and each further star a hundred times as long."""
    rules = Exclusion(("*_*_*_*_*_*_*.bak",))
    before_s = time.process_time()
    assert not rules.is_excluded("_" * 250 + ".png")
    assert time.process_time() - before_s < 1
    assert rules.is_excluded("_" * 240 + ".bak")
    assert not rules.is_excluded("_" * 5 + ".bak")


def test_excluded_images_neither_fail_nor_enter_the_record():
    save("in/a.png")
    save("in/b.png")
    touch("in/bad.tmp.png", "in/raw/bad.png")  # empty: they would fail
    ended = upsample("in", "-r", "-v", "--exclude", "*.tmp.png", "--exclude", "raw/")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "left out      2  excluded: 1 image and 1 folder"
    with contextlib.closing(sqlite3.connect("in_x2/.upsample.sqlite")) as record:
        rows = "".join(record.iterdump())
    assert "a_x2.png" in rows
    assert "bad" not in rows
    assert names("in_x2") == ["a_x2.png", "b_x2.png"]
    again = upsample("in", "-r", "--exclude", "*.tmp.png", "--exclude", "raw/")
    assert again.status == 0
    assert "skipped       2  done already" in again.out.splitlines()
    control = upsample("in", "-r")
    assert (control.status, len(control.errors)) == (1, 2)


def test_a_plan_and_the_json_document_count_what_is_left_out():
    save("in/a.png")
    touch("in/b.png", "in/@eaDir/c.png")
    planned = upsample("in", "-r", "-n", "--exclude", "b.png", "--exclude", "#x")
    assert planned.out.splitlines() == ["in/a.png -> in_x2/a_x2.png  17x11 -> 34x22  planned"]
    assert planned.err.splitlines() == ["excluded: 1 image", "made by systems: @eaDir 1"]
    document = upsample("in", "-r", "-n", "--json", "--exclude", "b.png").document
    assert (document["excluded"], document["litter"], len(document["files"])) == (1, {"@eaDir": 1}, 1)
    assert "excluded" not in upsample("in", "-n", "--json").document
    quiet = upsample("in", "-r", "-q", "--exclude", "b.png")
    assert (quiet.out, quiet.err) == ("", "")


def test_if_all_is_left_out_the_error_says_so():
    touch("in/a.png")
    ended = upsample_process("in", "-r", "--exclude", "*")
    assert ended.status == 2
    next_step = "name images, or folders that contain some, or leave out --exclude"
    assert ended.err.splitlines() == [f"upsample: no images in in (excluded: 1 image); {next_step}"]
    assert upsample_process("in", "--exclude", "").err.splitlines() == [
        "upsample: --exclude '' cannot match anything; give a pattern such as '*.tmp.png', raw/ or /top/only"
    ]
    assert "cannot be combined with -" in upsample("in/a.png", "-o", "-", "--exclude", "b").err
