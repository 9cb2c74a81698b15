"""The files that a command line names."""

import os
import string
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upsample_cli.batch.inputs import Found, find_inputs
from upsample_cli.errors import UsageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX file names and links"),
]


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*arguments, recursive=False, exclude=None):
    inputs = find_inputs(arguments, recursive=recursive, exclude=exclude and Path(exclude))
    return [entry.path for entry in inputs]


def test_only_files_with_image_extensions_are_found_in_a_folder():
    touch("f/b.png", "f/A.JPEG", "f/c.tif", "f/notes.txt", "f/.hidden.png", "f/png", "f/e.png.bak", "f/sub/d.png")
    assert found("f") == ["f/A.JPEG", "f/b.png", "f/c.tif"]
    assert found("f", recursive=True) == ["f/A.JPEG", "f/b.png", "f/c.tif", "f/sub/d.png"]


def test_hidden_folders_are_skipped_unless_named():
    touch("f/.cache/a.png", ".g/b.png", ".g/.h/c.png")
    assert found("f", recursive=True) == []
    assert found(".g", ".g/.h", recursive=True) == [".g/b.png", ".g/.h/c.png"]


def test_a_named_file_is_an_input_whatever_its_extension():
    touch("notes.txt", ".hidden", "a.png")
    assert found("notes.txt", ".hidden", "missing.png", "a.png") == ["notes.txt", ".hidden", "missing.png", "a.png"]


def test_inputs_keep_the_order_of_the_arguments():
    touch("z.png", "f/b.png", "f/a.png", "c.png")
    assert found("z.png", "f", "c.png") == ["z.png", "f/a.png", "f/b.png", "c.png"]


def test_inputs_remember_the_folder_they_were_found_in():
    touch("f/sub/a.png")
    assert list(find_inputs(["f", "f/sub/a.png"], recursive=True)) == [
        Found("f/sub/a.png", "f"),
        Found("f/sub/a.png"),
    ]


def test_paths_are_text_as_pathlib_writes_it(tmp_path):
    touch("a.png", "f/sub/b.png")
    for folder in (".", "./", "f", "./f/", "f//sub", "f/../f", str(tmp_path)):
        expected = [str(Path(folder) / path.relative_to(folder)) for path in Path(folder).rglob("*.png")]
        inputs = list(find_inputs([folder], recursive=True))
        assert sorted(file.path for file in inputs) == sorted(expected) != []
        assert {file.folder for file in inputs} == {str(Path(folder))}
    assert list(find_inputs(["./a.png", "f//sub/b.png"], recursive=True)) == [Found("a.png"), Found("f/sub/b.png")]


def test_patterns_that_the_shell_did_not_expand_are_expanded(tmp_path):
    touch("a1.png", "a2.png", "b.png", "f/c.png", "f/g/d.png", ".h.png")
    assert found("a*.png") == ["a1.png", "a2.png"]
    assert found(f"{tmp_path}/a?.png") == [f"{tmp_path}/a1.png", f"{tmp_path}/a2.png"]
    assert found("**/*.png") == ["a1.png", "a2.png", "b.png", "f/c.png", "f/g/d.png"]
    assert found("[bf]*") == ["b.png", "f/c.png"]  # a folder that matches is a folder
    assert found("z*.png") == ["z*.png"]  # for the message that the file does not exist


def test_a_file_whose_name_looks_like_a_pattern_is_not_expanded():
    touch("[1].png", "1.png", "a*.png", "ab.png")
    assert found("[1].png", "a*.png") == ["[1].png", "a*.png"]
    assert found("[2].png") == ["[2].png"]


def test_links_to_images_are_inputs_and_links_to_folders_are_not_followed():
    touch("f/a.png", "other/b.png", "f/sub/c.png")
    Path("f/link.png").symlink_to("a.png")
    Path("f/dangling.png").symlink_to("nowhere.png")
    Path("f/sub/up").symlink_to("..")  # one loop only: with two, following them would take years
    Path("f/elsewhere").symlink_to("../other")
    Path("f/self.png").symlink_to("self.png")
    images = ["f/a.png", "f/dangling.png", "f/link.png", "f/self.png", "f/sub/c.png"]
    assert found("f", recursive=True) == images
    assert found("f/elsewhere") == ["f/elsewhere/b.png"]  # unless the user named it


def test_a_folder_named_like_an_image_is_a_folder():
    touch("x.png/a.png", "f/y.png/b.png")
    assert found("x.png") == ["x.png/a.png"]
    assert found("f") == []
    assert found("f", recursive=True) == ["f/y.png/b.png"]


def test_the_output_folder_is_not_an_input():
    touch("f/a.png", "f/big/a_x2.png", "f/big/deep/b.png", "f/bigger/c.png")
    assert found("f", recursive=True, exclude="f/big") == ["f/a.png", "f/bigger/c.png"]
    assert found("f", recursive=True, exclude="f/../f/big/") == ["f/a.png", "f/bigger/c.png"]
    assert found("f/a.png", "f/big", "f/bigger", exclude="f/big") == [
        "f/a.png",
        "f/bigger/c.png",
    ]  # as from f/* in a shell
    assert found("f/*", exclude="f/big") == ["f/a.png", "f/bigger/c.png"]
    assert "f/big/a_x2.png" in found("f", recursive=True, exclude="f/small")  # the control


def test_the_output_folder_is_an_input_if_it_is_the_only_argument():
    touch("f/a.png", "f/sub/b.png")
    assert found("f", recursive=True, exclude="f") == ["f/a.png", "f/sub/b.png"]


def test_an_output_link_that_loops_does_not_end_the_search():
    touch("f/a.png")
    Path("o").symlink_to("o")
    assert found("f", recursive=True, exclude="o") == ["f/a.png"]


def test_an_empty_argument_is_refused_and_does_not_mean_the_current_folder():
    touch("a.png")
    with pytest.raises(UsageError, match="no name"):
        found("")
    with pytest.raises(UsageError, match="no name"):
        found("a.png", "")


def test_a_name_that_is_too_long_is_a_missing_file():
    name = "a" * 300 + ".png"
    assert found(name, name + "/b.png") == [name, name + "/b.png"]


def test_a_folder_that_cannot_be_read_is_reported(monkeypatch):
    """Not simulated with permissions, because these tests may run as root."""
    touch("f/a.png", "f/closed/b.png", "f/open/c.png")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    inputs = list(find_inputs(["f"], recursive=True))
    assert [entry.path for entry in inputs if entry.failure is None] == ["f/a.png", "f/open/c.png"]
    (error,) = [entry.failure.sentence() for entry in inputs if entry.failure is not None]
    assert error == "f/closed: cannot be opened: Permission denied; check its permissions"


PARTS = st.text(string.ascii_letters + " .[]*é", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
ENDS = st.sampled_from(["", ".png", ".JPG", ".tiff", ".txt", ".png~"])
PATHS = st.builds(lambda folders, name, end: "/".join([*folders, name + end]), st.lists(PARTS, max_size=2), PARTS, ENDS)


@given(st.sets(PATHS, max_size=8), st.booleans())
@settings(max_examples=60)
def test_exactly_the_visible_images_of_any_folder_are_found(paths, recursive):
    """Compared with the definition, applied to the created names without walking a folder."""
    with tempfile.TemporaryDirectory() as root:
        made = set()
        for path in sorted(paths):
            try:
                touch(f"{root}/{path}")
                made.add(path)
            except OSError:
                continue  # the name is taken by a folder, or a parent is a file
        expected = {
            path
            for path in made
            if (recursive or "/" not in path)
            and not any(part.startswith(".") for part in path.split("/"))
            and PurePosixPath(path).suffix.lower() in {".png", ".jpg", ".tiff"}
        }
        taken = [os.path.relpath(path, root) for path in found(root, recursive=recursive)]
        assert sorted(taken) == sorted(expected)


def test_a_tree_deeper_than_the_recursion_limit_is_walked(tmp_path):
    """Each folder is created inside the other, because the whole path is longer than the system accepts."""
    os.chdir(tmp_path)
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    Path("a.png").touch()
    deepest = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    taken = found("d", recursive=True)
    os.fchdir(deepest)  # pytest's own removal is recursive and would fail
    os.close(deepest)
    Path("a.png").unlink()
    for _ in range(1200):
        os.chdir("..")
        Path("d").rmdir()
    assert [path.count("d/") for path in taken] == [1200]
