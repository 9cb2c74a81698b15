"""New files: complete or absent, never replace another file without permission, and fail with one clear line."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from upsample_cli.atomic.files import new_file, remove_unfinished
from upsample_cli.atomic.folders import Folder
from upsample_cli.errors import ImageError, Interrupted, OutputExistsError, WritingError


def write(path, content=b"x", *, overwrite=False, meanwhile=lambda: None):
    with new_file(path, overwrite=overwrite) as file:
        file.write(content)
        meanwhile()


def failing(error):
    def fail():
        raise error

    return fail


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "a.png"
    with new_file(target, overwrite=False) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
        (part,) = names(tmp_path)
        assert part.startswith(".a.png.")
        assert part.endswith(".part")
        file.write(b" and half")
    assert target.read_bytes() == b"half and half"
    assert names(tmp_path) == ["a.png"]


def test_a_new_file_has_the_default_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        with new_file(tmp_path / "a.png", overwrite=False) as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), ImageError("in.png", "is damaged")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_exception_leaves_no_new_file_and_keeps_the_old_one(tmp_path, error, overwrite):
    target = tmp_path / "a.png"
    if overwrite:
        target.write_bytes(b"old")
    with pytest.raises(type(error)) as caught:
        write(target, overwrite=overwrite, meanwhile=failing(error))
    assert caught.value is error
    assert names(tmp_path) == (["a.png"] if overwrite else [])
    assert not overwrite or target.read_bytes() == b"old"


def test_an_existing_file_is_replaced_only_on_request(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"a\.png: exists already; add overwrite=True"):
        write(target)
    with new_file(target, overwrite=True) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.png"]


def refuse_links(*_, **_settings):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_during_the_write_is_not_replaced(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(Folder, "link", refuse_links)
    target = tmp_path / "a.png"
    with pytest.raises(OutputExistsError):
        write(target, b"ours", meanwhile=lambda: target.write_bytes(b"theirs"))
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.png"]


def test_a_rename_would_replace_such_a_file(tmp_path, monkeypatch):
    """Negative control: without the link, the test above fails."""
    monkeypatch.setattr(Folder, "link", Folder.rename)
    target = tmp_path / "a.png"
    write(target, b"ours", meanwhile=lambda: target.write_bytes(b"theirs"))
    assert target.read_bytes() == b"ours"


def test_exactly_one_of_many_concurrent_writers_wins(tmp_path):
    target, barrier, lost = tmp_path / "a.png", threading.Barrier(8), []

    def compete(number):
        try:
            write(target, b"%d" % number * 1000, meanwhile=barrier.wait)
        except OutputExistsError:
            lost.append(number)

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    (winner,) = set(range(8)) - set(lost)
    assert target.read_bytes() == b"%d" % winner * 1000
    assert names(tmp_path) == ["a.png"]


def test_file_systems_without_hard_links_are_supported(tmp_path, monkeypatch):
    monkeypatch.setattr(Folder, "link", refuse_links)
    write(tmp_path / "a.png", b"x")
    assert (tmp_path / "a.png").read_bytes() == b"x"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png", "spaces and [brackets].png", "-n.png"])
def test_names_may_be_as_long_and_as_odd_as_the_file_system_allows(tmp_path, name):
    write(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


def test_writing_to_a_symbolic_link_writes_its_target(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (here / "a.png").symlink_to(there / "real.png")
    write(here / "a.png", b"1")  # its target does not exist yet
    with pytest.raises(OutputExistsError):
        write(here / "a.png")
    write(here / "a.png", b"2", overwrite=True)
    assert (here / "a.png").is_symlink()
    assert (there / "real.png").read_bytes() == b"2"
    assert names(there) == ["real.png"]


def test_an_output_that_cannot_be_written_is_one_line_with_the_next_step(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    cases = {
        "folder.png": "is a folder; remove it, or give another output",
        "missing/a.png": "its folder does not exist; create it, or give another output",
        "file/a.png": "a part of its path is not a folder",
        "pipe.png": "is not a regular file and is not replaced",
        "loop.png": "leads in a circle",
        "x" * 300: "longer than the file system allows",
        "zero\0byte": "holds a zero byte",
    }
    before = names(tmp_path)
    for name, expected in cases.items():
        for overwrite in (False, True):
            with pytest.raises(ImageError) as caught:
                write(tmp_path / name, overwrite=overwrite)
            assert expected in str(caught.value)
            assert str(caught.value).startswith(str(tmp_path / name))
            assert "\n" not in str(caught.value)
    assert names(tmp_path) == before


def test_a_device_is_never_replaced():
    for overwrite in (False, True):
        # Not "- for a pipe": most commands have no such output.
        with pytest.raises(ImageError, match=r"is not a regular file and is not replaced; give another output$"):
            write("/dev/null", overwrite=overwrite)
    assert Path("/dev/null").is_char_device()


def test_a_folder_without_write_permission_is_one_line(tmp_path, monkeypatch):
    """The refusal is simulated: root may write everywhere."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Folder, "create", refuse)
    with pytest.raises(ImageError, match="it or its folder may not be written to; check the permissions"):
        write(tmp_path / "a.png")


def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path):
    """A limit on file sizes simulates the full disk; it can fail in write, in flush and in close."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for size in (20_000, 10_001):
            with pytest.raises(ImageError, match="cannot be written: the file would be larger than allowed"):
                write(tmp_path / "a.png", bytes(size))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert names(tmp_path) == []
    with pytest.raises(ImageError, match="the disk is full; free some space"):
        write(tmp_path / "b.png", meanwhile=failing(OSError(errno.ENOSPC, "No space left on device")))


def test_an_encoder_error_is_a_writing_error(tmp_path):
    with pytest.raises(ImageError, match=r"a\.webp: cannot be written: the WebP encoder gave up"):
        write(tmp_path / "a.webp", meanwhile=failing(OSError("the WebP encoder gave up")))


def test_removed_unfinished_files_never_appear(tmp_path):
    with pytest.raises(Interrupted):
        write(tmp_path / "a.png", meanwhile=remove_unfinished)
    assert names(tmp_path) == []
    write(tmp_path / "b.png", b"x")
    remove_unfinished()
    assert names(tmp_path) == ["b.png"]  # finished files stay


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_removed_temporary_file_is_an_error_and_not_an_interrupt(tmp_path, overwrite):
    """A moved folder causes the same error. The run was not interrupted, so it must report something."""
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(WritingError, match="its temporary file was removed, or its folder moved, meanwhile; start"):
        write(folder / "a.png", overwrite=overwrite, meanwhile=lambda: folder.rename(tmp_path / "elsewhere"))
    assert not folder.exists()


def test_a_killed_write_leaves_no_file_under_the_final_name(tmp_path):
    code = (
        "import sys, time\n"
        "from upsample_cli.atomic.files import new_file\n"
        "with new_file(sys.argv[1], overwrite=False) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "a.png"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    assert not (tmp_path / "a.png").exists()
    assert all(name.startswith(".") for name in names(tmp_path))
