"""Outputs are not more readable than inputs, and what is replaced keeps its owner and permissions."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from support.commands import call
from support.running import leave, save, upsample

from upsample_cli.atomic import permissions
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.folders import Place, make_bases
from upsample_cli.enlarge.run import upsample_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")


@pytest.fixture(autouse=True)
def _umask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return oct(stat.S_IMODE(Path(path).stat().st_mode))


@pytest.mark.parametrize(
    ("of_input", "umask", "of_output"),
    [
        (0o600, 0o022, "0o600"),
        (0o640, 0o022, "0o640"),
        (0o644, 0o022, "0o644"),
        (0o664, 0o002, "0o664"),
        (0o644, 0o077, "0o600"),
        (0o444, 0o022, "0o644"),  # its owner may write it, as any file
        (0o4755, 0o022, "0o644"),
    ],
)
def test_a_new_output_is_not_more_readable_than_its_input_from_the_first_byte_on(of_input, umask, of_output):
    save("a.png").chmod(of_input)
    os.umask(umask)
    with new_file("b.png", overwrite=False, sources=["a.png"]) as file:
        (temporary,) = Path().glob(".b.png.*.part")
        assert int(mode(temporary), 8) & ~int(of_output, 8) == 0
        file.write(b"x")
    assert mode("b.png") == of_output
    Path("b.png").unlink()
    upsample_file("a.png", "b.png")
    assert mode("b.png") == of_output


def test_all_sources_count_a_link_for_what_it_leads_to_and_one_that_has_gone_for_a_private_one():
    save("a.png")
    save("private/b.png").chmod(0o600)
    Path("link.png").symlink_to("private/b.png")
    for sources, expected in (
        (["a.png"], "0o644"),
        (["a.png", "link.png"], "0o600"),
        (["gone.png"], "0o600"),
        ([], "0o644"),
    ):
        with new_file("out.png", overwrite=False, sources=sources):
            pass
        assert mode("out.png") == expected
        Path("out.png").unlink()


def test_a_file_of_another_group_lets_that_group_do_what_all_may_do(monkeypatch):
    save("a.png").chmod(0o640)
    folder = Path().stat()
    assert oct(permissions.new_mode(["a.png"], folder)) == "0o640"
    monkeypatch.setattr(os, "getegid", lambda: Path("a.png").stat().st_gid + 1)
    assert oct(permissions.new_mode(["a.png"], folder)) == "0o600"
    Path("a.png").chmod(0o644)
    assert oct(permissions.new_mode(["a.png"], folder)) == "0o644"


@pytest.mark.parametrize("old", [0o600, 0o640, 0o666, 0o400, 0o755])
def test_a_replaced_file_keeps_its_permissions_and_is_private_until_then(old):
    save("a.png")
    save("a_x2.png").chmod(old)
    with new_file("a_x2.png", overwrite=True, sources=["a.png"]) as file:
        (temporary,) = Path().glob(".a_x2.png.*.part")
        assert mode(temporary) == "0o600"
        file.write(b"x")
    assert mode("a_x2.png") == oct(old)
    assert upsample("a.png", "--overwrite").status == 0
    assert mode("a_x2.png") == oct(old)


def test_a_replaced_file_does_not_run_as_its_owner_any_more():
    save("a.png")
    save("a_x2.png").chmod(0o6755)
    assert upsample("a.png", "--overwrite").status == 0
    assert mode("a_x2.png") == "0o755"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner_unless_a_stranger_put_it_there():
    save("a.png").chmod(0o600)
    old = save("a_x2.png")
    old.chmod(0o664)
    os.chown("a.png", 1234, 1235)
    for owner, kept in (((1234, 1235), True), ((0, 1236), True), ((4321, 4321), False)):
        old.chmod(0o664)
        os.chown("a_x2.png", *owner)
        assert upsample("a.png", "--overwrite").status == 0
        status = old.stat()
        assert ((status.st_uid, status.st_gid) == owner) == kept
        assert mode(old) == ("0o664" if kept else "0o600")


def test_where_the_owner_cannot_be_kept_the_other_group_may_do_what_all_may_do(monkeypatch):
    """As who is not root and no member of the group."""
    old = save("b.png")
    old.chmod(0o664)
    status = old.stat()
    seen = os.stat_result((*status[:4], status.st_uid, status.st_gid + 1, *status[6:10]))
    monkeypatch.setattr(os, "fchown", lambda *_: (_ for _ in ()).throw(PermissionError))
    save("c.png")
    with open("c.png", "r+b") as file:  # noqa: PTH123
        permissions.take_over(file.fileno(), seen)
        assert mode("c.png") == "0o644"
        permissions.take_over(file.fileno(), status)
        assert mode("c.png") == "0o664"


@pytest.mark.parametrize("state", [(), ("--no-state",)])
@pytest.mark.parametrize(("arguments", "base"), [((), "in_x2"), (("-o", "out"), "out")])
def test_new_folders_are_as_private_as_those_that_they_mirror(arguments, base, state):
    save("in/a.png")
    save("in/sub/deep/b.png")
    Path("in").chmod(0o750)
    Path("in/sub").chmod(0o700)
    assert upsample("in", "-r", *arguments, *state, "--name", "new/{stem}{ext}").status == 0
    modes = {folder: mode(f"{base}/{folder}") for folder in ("", "new", "sub", "sub/deep", "sub/deep/new")}
    assert modes == {"": "0o750", "new": "0o750", "sub": "0o700", "sub/deep": "0o755", "sub/deep/new": "0o755"}


def test_the_folder_of_several_trees_is_as_private_as_the_most_private_and_an_old_one_stays_as_it_is():
    for name in ("open/a.png", "closed/b.png"):
        save(name)
    Path("closed").chmod(0o700)
    assert upsample("open", "closed", "-o", "out").status == 0
    assert mode("out") == "0o700"
    Path("out").chmod(0o711)
    assert upsample("closed", "-o", "out", "--overwrite").status == 0
    assert mode("out") == "0o711"
    make_bases([Place(Path("nowhere"), Path("nowhere/in_x2"), Path("open"))])  # the first image will say so
    assert not Path("nowhere").exists()


def test_a_page_of_images_and_what_tconv_makes_are_not_more_readable_either(capsys, monkeypatch):
    monkeypatch.setattr(os, "_exit", leave)
    save("a.png", (40, 40))
    np.save("a.npy", np.zeros((4, 4), np.float32))
    np.save("w.npy", np.ones((1, 1, 4, 4), np.float32))
    commands = {
        "run.npy": ("run", "a.npy", "--factor", "2", "-o"),
        "run.png": ("run", "a.png", "--weights", "w.npy", "--stride", "2", "--padding", "1", "-o"),
        "cured.npy": ("checkerboard", "--weights", "w.npy", "--stride", "2", "--cure", "sums", "-o"),
        "compared.png": ("compare", "a.png", "--kernels", "bilinear", "--rounds", "0", "-o"),
    }
    for private, expected in ((0o644, "0o644"), (0o600, "0o600")):
        for name in ("a.png", "a.npy", "w.npy"):
            Path(name).chmod(private)
        for name, command in commands.items():
            Path(name).unlink(missing_ok=True)
            assert call(capsys, monkeypatch, *command, name)[0] == 0
            assert mode(name) == expected, name
        assert upsample("a.png", "-o", f"{private}/", "--gallery", f"{private}.html").status == 0
        assert mode(f"{private}.html") == expected
