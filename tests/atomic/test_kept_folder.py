"""A worker keeps the folder of its outputs open, and notices when the path leads elsewhere."""

import os
from pathlib import Path

import pytest
from support.running import names

from upsample_cli.atomic import folders
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.folders import folder_kept_open
from upsample_cli.atomic.place import Place
from upsample_cli.errors import WritingError

OPEN = Path("/proc/self/fd")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes an output into `out/sub`, and counts how often its folder was opened."""
    monkeypatch.chdir(tmp_path)
    Path("image.png").write_bytes(b"image")
    opened = folders._opened_place

    def counted(*arguments):
        write.opened += 1
        return opened(*arguments)

    def write(name, folder="out/sub"):
        place = Place(Path("out"), Path("out"))
        with new_file(Path(folder, name), overwrite=False, place=place, sources=[Path("image.png")]) as file:
            file.write(name.encode())

    monkeypatch.setattr(folders, "_opened_place", counted)
    write.opened = 0
    return write


def test_outputs_of_one_folder_open_it_once(write):
    with folder_kept_open():
        for name in "abc":
            write(name)
        assert write.opened == 1
        write("d", "out/other")
        write("e")
        assert write.opened == 3
    assert names("out/sub") == ["a", "b", "c", "e"]
    write("f")  # the control
    write("g")
    assert write.opened == 5


def test_a_folder_that_was_removed_is_made_again(write):
    with folder_kept_open():
        write("a")
        Path("out/sub").rename("moved")
        write("b")
    assert (names("moved"), names("out/sub")) == (["a"], ["b"])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("holds_folders", [folders._HOLDS_FOLDERS, False])
def test_a_link_that_replaces_the_folder_is_refused(write, monkeypatch, holds_folders):
    """Also where folders cannot be held open, so that each output checks for links."""
    monkeypatch.setattr(folders, "_HOLDS_FOLDERS", holds_folders)
    Path("elsewhere").mkdir()
    with folder_kept_open():
        write("a")
        Path("out/sub").rename("moved")
        Path("out/sub").symlink_to("../elsewhere")
        with pytest.raises(WritingError, match="is a symbolic link"):
            write("b")
    assert (names("moved"), names("elsewhere")) == (["a"], [])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("linked", ["out/sub", "out/sub/deep"])
def test_a_link_to_the_kept_folder_itself_is_refused_too(write, linked):
    with folder_kept_open():
        write("a", "out/sub/deep")
        write("b", "out/sub/deep")  # the control
        Path(linked).rename("moved")
        Path(linked).symlink_to(Path("moved").absolute())
        with pytest.raises(WritingError, match="is a symbolic link"):
            write("c", "out/sub/deep")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_that_the_user_turns_to_another_folder_is_followed(write):
    Path("one").mkdir()
    Path("other").mkdir()
    Path("out").symlink_to("one")
    with folder_kept_open():
        write("a")
        Path("out").unlink()
        Path("out").symlink_to("other")
        write("b")
    assert (names("one/sub"), names("other/sub")) == (["a"], ["b"])


@pytest.mark.skipif(not OPEN.is_dir(), reason="needs Linux")
def test_the_folder_is_closed_at_the_end(write):
    before = len(list(OPEN.iterdir()))
    with folder_kept_open():
        write("a")
        assert len(list(OPEN.iterdir())) > before
    assert len(list(OPEN.iterdir())) == before
