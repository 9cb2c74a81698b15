"""`--keep-times`: outputs have the times, the owner and the mode of their inputs from the moment they appear."""

import os
import stat
from pathlib import Path

import pytest
from support.running import save, upsample, upsample_process

from upsample_cli import upsample_file
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.folders import Folder
from upsample_cli.atomic.opened import OpenedFile, found
from upsample_cli.atomic.permissions import follow
from upsample_cli.errors import ImageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="times of open files, owners and modes"),
]

ACCESSED_NS, CHANGED_NS = 1_100_000_000_123_456_789, 1_200_000_000_987_654_321  # of 2004 and 2008: reading changes it


def old(path, **settings):
    image = save(path, **settings)
    os.utime(image, ns=(ACCESSED_NS, CHANGED_NS))
    return image


def times(path):
    status = Path(path).stat()
    return status.st_atime_ns, status.st_mtime_ns


def mode(path):
    return oct(stat.S_IMODE(Path(path).stat().st_mode))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".gif", ".bmp", ".avif", ".ppm"])
def test_every_format_gets_the_times(suffix):
    old("a.png")
    assert upsample("a.png", "-o", f"out{suffix}", "--keep-times").status == 0
    assert times(f"out{suffix}") == (ACCESSED_NS, CHANGED_NS)


def test_control_without_the_option_the_times_are_those_of_the_run():
    old("a.png")
    upsample_file("a.png", "out.png")
    assert min(times("out.png")) > CHANGED_NS


@pytest.mark.parametrize("name", ["pages.tif", "moving.gif"])
def test_files_with_several_images_get_them_too(name):
    from PIL import Image

    images = [Image.new("L", (5, 4), shade) for shade in (1, 99)]
    images[0].save(name, save_all=True, append_images=images[1:])
    os.utime(name, ns=(ACCESSED_NS, CHANGED_NS))
    upsample_file(name, f"out_{name}", keep_times=True)
    assert times(f"out_{name}") == (ACCESSED_NS, CHANGED_NS)


def test_worker_processes_give_the_times_and_the_record_stays_valid():
    for name in ("in/a.png", "in/sub/b.png"):
        old(name)
    first = upsample_process("in", "-r", "--keep-times", "--workers", "2")
    assert (first.status, first.err) == (0, "")
    for name in ("in_x2/a_x2.png", "in_x2/sub/b_x2.png"):
        assert times(name)[1] == CHANGED_NS
    again = upsample("in", "-r", "--keep-times")
    assert "done already" in again.out
    assert "done already" in upsample("in", "-r").out  # it does not change what the outputs are


def test_the_output_never_has_other_times_or_another_mode(monkeypatch):
    old("a.png").chmod(0o640)
    seen = []

    def put(link, folder, temporary, name):
        status = folder.status(temporary)
        seen.append((name, status.st_atime_ns, status.st_mtime_ns, stat.S_IMODE(status.st_mode)))
        link(folder, temporary, name)

    link = Folder.link
    monkeypatch.setattr(Folder, "link", lambda folder, temporary, name: put(link, folder, temporary, name))
    upsample_file("a.png", "out.png", keep_times=True)
    assert seen == [("out.png", ACCESSED_NS, CHANGED_NS, 0o640)]


@pytest.mark.parametrize(
    ("of_input", "umask", "of_output"),
    [
        (0o600, 0o022, "0o600"),
        (0o444, 0o022, "0o444"),
        (0o664, 0o002, "0o664"),
        (0o664, 0o022, "0o644"),
        (0o644, 0o077, "0o600"),
        (0o6777, 0o000, "0o666"),
    ],
)
def test_the_mode_is_the_inputs_without_what_the_umask_forbids(of_input, umask, of_output):
    old("a.png").chmod(of_input)
    before = os.umask(umask)
    try:
        upsample_file("a.png", "out.png", keep_times=True)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert mode("out.png") == of_output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_gives_new_outputs_the_owner_and_a_replaced_file_keeps_its_own():
    old("a.png").chmod(0o640)
    os.chown("a.png", 1234, 1235)
    for options, owner, expected in (((), (0, 0), "0o600"), (("--keep-times",), (1234, 1235), "0o640")):
        assert upsample("a.png", "-o", "out.png", *options).status == 0
        status = Path("out.png").stat()
        assert (status.st_uid, status.st_gid, mode("out.png")) == (*owner, expected)
        Path("out.png").unlink()
    save("out.png").chmod(0o604)
    assert upsample("a.png", "-o", "out.png", "--keep-times", "--overwrite").status == 0
    assert (Path("out.png").stat().st_uid, mode("out.png")) == (0, "0o604")
    assert times("out.png")[1] == CHANGED_NS


def test_a_user_who_may_not_give_files_away_keeps_them_as_private(monkeypatch):
    """Simulates an input of another user and group."""
    old("a.png").chmod(0o664)
    (source,) = found(["a.png"])
    status = source.status
    ns = {"st_atime_ns": ACCESSED_NS, "st_mtime_ns": CHANGED_NS}
    other = os.stat_result((*status[:4], status.st_uid + 1, status.st_gid + 1, *status[6:10]), ns)
    refused = []

    def refuse(*arguments):
        refused.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    with new_file("out.png", overwrite=False) as file:
        assert follow(file.fileno(), OpenedFile(Path("a.png"), other), None) is None
    assert mode("out.png") == "0o644"
    assert len(refused) == 2


def test_times_that_cannot_be_set_are_said_once_and_are_not_fatal(monkeypatch):
    for name in ("in/a.png", "in/b.png", "in/c.png"):
        old(name)

    def refuse(*_arguments, **_more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "supports_fd", {refuse})
    ended = upsample("in", "--keep-times")
    assert ended.status == 0
    line = "warning: in/a.png: the output could not get the times of its input: Operation not permitted"
    assert ended.err.splitlines() == [line]
    files = upsample("in", "-o", "other", "--keep-times", "--json").document["files"]
    assert [file["warning_kinds"] for file in files] == [["times"]] * 3
    with pytest.raises(ImageError, match=r"refused by strict: the output could not .*; leave out keep_times, or"):
        upsample_file("in/a.png", "out.png", keep_times=True, strict=True)
    assert not Path("out.png").exists()
    monkeypatch.setattr(os, "supports_fd", set())
    assert "this system does not set them on open files" in upsample("in/a.png", "-o", "out.png", "--keep-times").err


def test_a_pipe_has_no_times():
    save("a.png")
    ended = upsample("a.png", "-o", "-", "--keep-times")
    assert (ended.status, ended.err) == (
        2, "upsample: --keep-times cannot be combined with -; leave it out: a pipe has no times\n"
    )  # fmt: skip
