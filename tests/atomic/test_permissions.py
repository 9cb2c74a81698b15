"""Outputs are not more readable than inputs, and a replaced file keeps its owner and permissions."""

import os
import stat
import struct
import wave
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import call
from support.running import leave, save, upsample

from upsample_cli.atomic import permissions
from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.folders import Folder, make_bases
from upsample_cli.atomic.opened import OpenedFile, opened
from upsample_cli.atomic.place import Place
from upsample_cli.atomic.same_file import check_inputs_stay
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError, OutputExistsError, UsageError, WritingError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")


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
        (0o444, 0o022, "0o644"),  # the owner can write to the new file, as to any new file
        (0o4755, 0o022, "0o644"),
    ],
)
def test_a_new_output_is_never_more_readable_than_its_input(of_input, umask, of_output):
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


def test_every_source_limits_the_permissions_and_a_missing_source_counts_as_private():
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


def test_a_different_group_gets_only_the_rights_of_others(monkeypatch):
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


def test_a_replaced_file_loses_its_setuid_and_setgid_bits():
    save("a.png")
    save("a_x2.png").chmod(0o6755)
    assert upsample("a.png", "--overwrite").status == 0
    assert mode("a_x2.png") == "0o755"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a file away")
def test_a_replaced_file_keeps_its_owner_unless_it_belongs_to_a_stranger():
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


def test_a_group_that_cannot_be_kept_gets_only_the_rights_of_others(monkeypatch):
    """Simulates a user that is not root and not a member of the group."""
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
def test_new_folders_are_as_private_as_the_folders_they_mirror(arguments, base, state):
    save("in/a.png")
    save("in/sub/deep/b.png")
    Path("in").chmod(0o750)
    Path("in/sub").chmod(0o700)
    assert upsample("in", "-r", *arguments, *state, "--name", "new/{stem}{ext}").status == 0
    modes = {folder: mode(f"{base}/{folder}") for folder in ("", "new", "sub", "sub/deep", "sub/deep/new")}
    assert modes == {"": "0o750", "new": "0o750", "sub": "0o700", "sub/deep": "0o755", "sub/deep/new": "0o755"}


def test_an_output_folder_is_as_private_as_the_most_private_of_its_inputs_and_an_existing_one_is_unchanged():
    for name in ("open/a.png", "closed/b.png"):
        save(name)
    Path("closed").chmod(0o700)
    assert upsample("open", "closed", "-o", "out").status == 0
    assert mode("out") == "0o700"
    Path("out").chmod(0o711)
    assert upsample("closed", "-o", "out", "--overwrite").status == 0
    assert mode("out") == "0o711"
    make_bases([Place(Path("nowhere"), Path("nowhere/in_x2"), Path("open"))])  # the first image will report the error
    assert not Path("nowhere").exists()


def test_galleries_and_tconv_outputs_are_not_more_readable_than_their_inputs(capsys, monkeypatch):
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


def swap_before_writing(monkeypatch, module, link, target):
    """Replace the target of a link just before the output is opened, when the input has been read completely."""
    module = import_module(f"upsample_cli.{module}")

    def swapped(*arguments, **settings):
        Path(link).unlink()
        Path(link).symlink_to(target)
        return new_file(*arguments, **settings)

    monkeypatch.setattr(module, "new_file", swapped)


def make_inputs(suffix):
    """private and public, with different pixels."""
    for seed, name in enumerate(("private", "public"), start=1):
        if suffix == ".npy":
            np.save(f"{name}.npy", np.full((1, 1, 4, 4), seed, np.float32))
        elif suffix == ".wav":
            with wave.open(f"{name}.wav", "wb") as file:
                file.setparams((1, 2, 8000, 4, "NONE", ""))
                file.writeframes(bytes(8))
        elif suffix == ".tif":
            pages = [Image.new("L", (9, 9), 10 * seed + page) for page in range(2)]
            pages[0].save(f"{name}.tif", save_all=True, append_images=pages[1:])
        else:
            save(f"{name}{suffix}", (40, 40), seed=seed)
    Path(f"private{suffix}").chmod(0o600)


@pytest.mark.parametrize(
    ("module", "suffix", "command"),
    [
        ("enlarge.run", ".png", ()),
        ("tconv.run.image", ".png", ("run", "a.png", "--weights", "w.npy", "--stride", "2", "-o", "out.png")),
        ("tconv.run.run", ".npy", ("run", "a.npy", "--axes", "3", "--factor", "2", "-o", "out.npy")),
        (
            "tconv.weights",
            ".npy",
            ("checkerboard", "--weights", "a.npy", "--stride", "2", "--cure", "sums", "-o", "out.npy"),
        ),
        ("tconv.run.run", ".wav", ("run", "a.wav", "--factor", "2", "-o", "out.wav")),
        ("tconv.run.run", ".tif", ("run", "a.tif", "--axes", "3", "--factor", "2", "-o", "out.tif")),
        (
            "quality.sheet",
            ".png",
            ("compare", "a.png", "--kernels", "bilinear", "--rounds", "0", "-o", "out.png"),
        ),
    ],
)
def test_an_input_replaced_after_reading_leaves_its_output_private(capsys, monkeypatch, module, suffix, command):
    monkeypatch.setattr(os, "_exit", leave)
    make_inputs(suffix)
    np.save("w.npy", np.ones((1, 1, 4, 4), np.float32))
    output = f"out{suffix}"
    for read, expected in (("private", "0o600"), ("public", "0o644")):
        Path(f"a{suffix}").unlink(missing_ok=True)
        Path(f"a{suffix}").symlink_to(f"{read}{suffix}")
        other = {"private": "public", "public": "private"}[read]
        swap_before_writing(monkeypatch, module, f"a{suffix}", f"{other}{suffix}")
        if command:
            assert call(capsys, monkeypatch, *command)[0] == 0
        else:
            upsample_file("a.png", output)
        assert mode(output) == expected, read
        Path(output).unlink()


@pytest.mark.parametrize("kind", ["pages", "animation"])
def test_all_pages_come_from_the_file_that_was_opened_first(monkeypatch, kind):
    suffix = ".tif" if kind == "pages" else ".gif"
    for seed, name in enumerate(("private", "public"), start=1):
        pages = [Image.new("L", (9, 9), 50 * seed + page) for page in range(2)]
        pages[0].save(f"{name}{suffix}", save_all=True, append_images=pages[1:])
    Path(f"a{suffix}").symlink_to(f"public{suffix}")
    swap_before_writing(monkeypatch, "enlarge.run", f"a{suffix}", f"private{suffix}")
    upsample_file(f"a{suffix}", f"out{suffix}")
    assert Path(f"a{suffix}").readlink() == Path(f"private{suffix}")  # the control
    with Image.open(f"out{suffix}") as made:
        seen = []
        for page in range(2):
            made.seek(page)
            seen.append(made.convert("L").getpixel((3, 3)))
    assert seen == [100, 101]


def test_an_input_moved_to_the_output_name_is_not_replaced():
    save("a.png")
    with open("a.png", "rb") as file:  # noqa: PTH123
        read = opened("a.png", file)
    check_inputs_stay(Path("out.png"), [read])
    Path("a.png").rename("out.png")
    save("a.png")
    with (
        pytest.raises(UsageError, match=r"out\.png is an input"),
        new_file("out.png", overwrite=True, sources=[read]),
    ):
        pass
    check_inputs_stay(Path("out.png"), ["a.png"])  # the control


def owned_by(path, owner):
    status = Path(path).stat()
    return os.stat_result((*status[:4], owner, *status[5:10]))


def test_an_old_file_keeps_its_owner_only_if_that_user_owns_all_sources(monkeypatch):
    save("a.png")
    mine, theirs = (OpenedFile(Path("a.png"), owned_by("a.png", owner)) for owner in (1, 2))
    monkeypatch.setattr(os, "geteuid", lambda: 3)
    old = owned_by("a.png", 2)
    assert not permissions.is_kept(old, [mine, theirs])
    assert not permissions.is_kept(old, [theirs, "gone.png"])
    assert permissions.is_kept(old, [theirs, theirs])
    assert permissions.is_kept(old, [])
    monkeypatch.setattr(os, "geteuid", lambda: 2)
    assert permissions.is_kept(old, [mine, "gone.png"])


def test_a_link_is_followed_only_if_the_user_named_it():
    Path("mine.txt").write_text("mine")
    Path("link.txt").symlink_to("mine.txt")
    for overwrite, error in ((True, WritingError), (False, OutputExistsError)):
        with (
            pytest.raises(error, match=r"link\.txt: is a symbolic link, which is neither followed nor replaced"),
            new_file("link.txt", overwrite=overwrite, follow=False),
        ):
            pass
    assert Path("mine.txt").read_text() == "mine"
    with new_file("link.txt", overwrite=True) as file:  # the control
        file.write(b"new")
    assert Path("mine.txt").read_text() == "new"


def acl(*entries):
    """An ACL of (kind, rights, id) entries as Linux stores it; see `linux/posix_acl_xattr.h`."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 2**32 - 1


def add_acl(path, name="system.posix_acl_access", *, group=0, others=0):
    """Let user 1234 read the file. The group bits of its mode then show the mask instead of the group's rights."""
    entries = ((1, 6, NOBODY), (2, 4, 1234), (4, group, NOBODY), (16, 4, NOBODY), (32, others, NOBODY))
    try:
        os.setxattr(path, name, acl(*entries))
    except (AttributeError, OSError):
        pytest.skip("this file system has no POSIX ACLs")
    return path


def acl_of(path):
    try:
        return os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return None


def test_an_output_does_not_inherit_the_acl_of_its_folder():
    Path("out").mkdir()
    add_acl("out", "system.posix_acl_default", group=4)
    Path("out/control").touch()
    assert acl_of("out/control") is not None
    for of_input, expected in ((0o600, "0o600"), (0o640, "0o640"), (0o644, "0o640")):
        save("a.png").chmod(of_input)
        with new_file("out/b.png", overwrite=True, sources=["a.png"]) as file:
            assert acl_of(file.fileno()) is None
        assert (mode("out/b.png"), acl_of("out/b.png")) == (expected, None)
        Path("out/b.png").unlink()


def test_a_user_in_the_inherited_acl_cannot_read_the_output_through_an_early_open(monkeypatch):
    """Another user opens the temporary file before its inherited ACL is removed."""
    Path("out").mkdir()
    add_acl("out", "system.posix_acl_default")
    create, held = Folder.create, []

    def watched(self, name, mode):
        made = create(self, name, mode)
        held.append((os.open(f"out/{name}", os.O_RDONLY), stat.S_IMODE(os.fstat(made).st_mode)))
        return made

    monkeypatch.setattr(Folder, "create", watched)
    save("a.png").chmod(0o640)
    with new_file("out/b.png", overwrite=False, sources=["a.png"]) as file:
        file.write(b"secret")
    contents = [os.read(number, 9) for number, rights in held if rights & 0o077]
    assert contents == [b""]
    assert Path("out/b.png").read_bytes() == b"secret"


def test_the_mode_of_an_input_with_an_acl_is_not_trusted():
    save("a.png").chmod(0o600)
    add_acl("a.png")
    assert mode("a.png") == "0o640"
    upsample_file("a.png", "b.png")
    assert mode("b.png") == "0o600"
    with new_file("c.png", overwrite=False, sources=["a.png"]):
        pass
    assert mode("c.png") == "0o600"
    save("in/a.png")
    Path("in").chmod(0o700)
    add_acl("in")
    upsample_file("in/a.png", "b2.png")
    assert upsample("in", "-o", "new/").status == 0
    assert mode("new") == "0o700"


def test_a_replaced_file_with_an_acl_becomes_private():
    save("a.png")
    add_acl(save("b.png"), others=4)
    assert mode("b.png") == "0o644"
    with new_file("b.png", overwrite=True, sources=["a.png"]):
        pass
    assert (mode("b.png"), acl_of("b.png")) == ("0o600", None)


def test_weights_replaced_while_they_are_read_are_refused(monkeypatch):
    make_inputs(".npy")
    Path("a.npy").symlink_to("private.npy")
    files = import_module("upsample_cli.kernels.weights.files")
    read_npy = files.WEIGHT_READERS[".npy"]
    assert files.read_weights("a.npy").weight[0, 0, 0, 0] == 1  # the control

    def exchanged(path):
        state = read_npy(path)
        Path("a.npy").unlink()
        Path("a.npy").symlink_to("public.npy")
        return state

    monkeypatch.setitem(files.WEIGHT_READERS, ".npy", exchanged)
    with pytest.raises(ImageError, match=r"a\.npy: was replaced while it was read"):
        files.read_weights("a.npy")
